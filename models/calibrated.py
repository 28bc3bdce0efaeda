"""INT4 rounding that looks at activations (GPTQ, AWQ), done by the library `llmcompressor`.

The library pins an older torch and transformers than serving does. So it lives in an environment of
its own, and `compress` starts that environment's Python on `calibrated_worker.py`.
"""

import json
import re
import shutil
import subprocess
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from models.calibrated_worker import MISSING_LIBRARY
from models.errors import CheckpointError
from models.int4 import Int4Scheme

# The library's bar for each decoder layer and its surroundings.
_LAYER = re.compile(r"^\((\d+)/(\d+)\): Calibrating")
MEND = (
    "needs llmcompressor in an environment of its own: python3.11 -m venv Q && "
    "Q/bin/pip install llmcompressor==0.12.0.2, then add --python Q/bin/python"
)


@dataclass(frozen=True, slots=True)
class Calibration:
    """How to round with the library: its environment's Python and the texts it looks at."""

    method: Literal["gptq", "awq"]
    texts: tuple[str, ...]
    python: Path


def compress(
    source: Path,
    out: Path,
    scheme: Int4Scheme,
    calibration: Calibration,
    on_step: Callable[[str, float], None],
) -> None:
    """The INT4 checkpoint of `source` in the existing folder `out`; nothing to do if it is there.

    Raises: `CheckpointError` without texts, without the library, or with its last line.
    """
    method = calibration.method
    if not calibration.texts:
        raise CheckpointError(f"--method {method} needs --calibration FILE.jsonl with 'text' lines")
    if (out / "config.json").exists():
        return
    written = out / "llmcompressor"
    shutil.rmtree(written, ignore_errors=True)
    request = {
        "model": str(source.resolve()),
        "out": str(written.resolve()),
        "method": method,
        "config_groups": _groups(method, scheme),
        "texts": calibration.texts,
    }
    _run(calibration, request, on_step)
    # The configuration last: with it, the checkpoint is complete.
    for file in sorted(written.iterdir(), key=lambda file: file.name == "config.json"):
        file.rename(out / file.name)
    shutil.rmtree(written)


def _groups(method: str, scheme: Int4Scheme) -> dict[str, Any]:
    groups: dict[str, Any] = scheme.quantization_config(ignore=[])["config_groups"]
    if method == "gptq":
        # Columns that matter most are rounded first; stored in their old order, so free to serve.
        groups["group_0"]["weights"]["actorder"] = "static"
    return groups


def _run(
    calibration: Calibration, request: dict[str, Any], on_step: Callable[[str, float], None]
) -> None:
    worker = Path(__file__).with_name("calibrated_worker.py")
    command = [str(calibration.python), "-I", str(worker)]
    pipe = subprocess.PIPE
    try:
        process = subprocess.Popen(
            command, stdin=pipe, stdout=subprocess.DEVNULL, stderr=pipe, text=True
        )
    except OSError as error:
        raise CheckpointError(f"--python {calibration.python}: {error.strerror}") from error
    with process:
        assert process.stdin is not None and process.stderr is not None
        process.stdin.write(json.dumps(request))
        process.stdin.close()
        last = deque[str](maxlen=1)
        for line in filter(None, map(str.strip, process.stderr)):
            last.append(line)
            if part := _LAYER.match(line):
                done, total = int(part[1]) - 1, int(part[2])
                on_step(f"{calibration.method}, part {done + 1} of {total}", 0.8 * done / total)
    if process.returncode == MISSING_LIBRARY:
        raise CheckpointError(f"--method {calibration.method} {MEND}")
    if process.returncode:
        raise CheckpointError(f"llmcompressor failed: {last[-1] if last else 'no message'}")
