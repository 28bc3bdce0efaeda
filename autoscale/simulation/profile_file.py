"""A replica's profile from a JSON file of numbers."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

from autoscale.simulation.workload import Profile


def read_profile(path: Path | None) -> Profile:
    """The profile in `path`, or the default one without a path.

    Raises: ValueError naming the file and the key.
    """
    if path is None:
        return Profile()
    given = _object(path)
    known = {field.name for field in fields(Profile)}
    if unknown := sorted(set(given) - known):
        raise ValueError(
            f"{path}: unknown key {unknown[0]!r}; known are {', '.join(sorted(known))}"
        )
    try:
        if "colocation_curve" in given:
            given["colocation_curve"] = tuple(float(c) for c in given["colocation_curve"])
        return Profile(**given)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{path}: {error}") from None


def _object(path: Path) -> dict[str, Any]:
    """The JSON object in a file."""
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file") from None
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: line {error.lineno}: not JSON") from None
    except (ValueError, RecursionError):
        raise ValueError(f"{path}: not JSON") from None
    if not isinstance(given, dict):
        raise ValueError(f"{path}: need a JSON object of numbers")
    return given
