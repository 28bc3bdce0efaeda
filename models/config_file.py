"""Reads the JSON files of a checkpoint."""

import json
from pathlib import Path
from typing import Any

from models.errors import CheckpointError


def read_config(path: Path) -> dict[str, Any]:
    """The JSON object in `path`. Raises: `CheckpointError` in one line."""
    try:
        config = json.loads(path.read_text())
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is not JSON: {error}") from error
    if not isinstance(config, dict):
        raise CheckpointError(f"{path} must hold a JSON object")
    return config
