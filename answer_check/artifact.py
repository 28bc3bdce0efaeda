"""The file of a trained answer check: one JSON document of numbers, which can run no code."""

import hashlib
import json
import math
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from answer_check.model import HEADS, AnswerModel, Head, names_of

FORMAT = 2
NAME = "answer_check.json"
MAX_BYTES = 1_000_000
# As many log-probabilities as a replica sends at once; who waits for more gets a document.
MAX_HOLD_TOKENS = 8192


class AnswerCheckError(ValueError):
    """What a user can mend, in one line."""


def finite(value: Any) -> float:
    """A number, as JSON has it. Raises: `AnswerCheckError` for NaN, infinity and what is none."""
    try:
        if not isinstance(value, bool) and isinstance(value, int | float) and math.isfinite(value):
            return float(value)
    except OverflowError:
        pass  # an integer beyond every float
    raise AnswerCheckError(f"{value!r:.40} is no finite number")


def read(folder: Path) -> AnswerModel:
    """The model in a folder. Raises: `AnswerCheckError`."""
    manifest, digest = _manifest(folder)
    path = folder / NAME
    try:
        if manifest["format"] != FORMAT:
            raise AnswerCheckError(f"format {manifest['format']!r:.40}; train again")
        return _model(manifest, digest)
    except AnswerCheckError as fault:
        raise AnswerCheckError(f"{path}: {fault}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as fault:
        raise AnswerCheckError(f"{path}: not an answer check ({fault!r:.80})") from None


def write(folder: Path, model: AnswerModel, about: dict[str, Any]) -> AnswerModel:
    """Write the file, with what `about` tells of its training; the model as it will be read."""
    folder.mkdir(parents=True, exist_ok=True)
    heads = {
        name: {
            "features": list(names_of(name)),
            "mean": list(head.mean),
            "scale": list(head.scale),
            "weights": list(head.weights),
            "offset": head.offset,
            "calibration": list(head.calibration),
        }
        for name, head in model.heads.items()
    }
    manifest = {
        "format": FORMAT,
        "served_model": model.served_model,
        "quantisation": model.quantisation,
        "hold_tokens": hold_tokens_of(model.hold_tokens),
        "budget_probability": model.budget_probability,
        "classifier": model.classifier,
        "heads": heads,
        "about": about,
    }
    text = json.dumps(manifest, indent=1, sort_keys=True, allow_nan=False) + "\n"
    # A gateway that starts meanwhile reads the old file or the new one, never a part.
    with TemporaryDirectory(prefix=".", suffix=".partial", dir=folder) as aside:
        (Path(aside) / NAME).write_bytes(text.encode())
        (Path(aside) / NAME).replace(folder / NAME)
    return read(folder)


def about(folder: Path) -> dict[str, Any]:
    """What was written of the training. Raises: `AnswerCheckError`."""
    read(folder)
    told = _manifest(folder)[0].get("about")
    return told if isinstance(told, dict) else {}


def _manifest(folder: Path) -> tuple[dict[str, Any], str]:
    """What the file holds, and its digest. Raises: `AnswerCheckError`."""
    path = folder / NAME
    try:
        if path.stat().st_size > MAX_BYTES:
            raise AnswerCheckError(f"{path}: larger than {MAX_BYTES} bytes; not our file")
        content = path.read_bytes()
        manifest = json.loads(content)
    except AnswerCheckError:
        raise
    except OSError as fault:
        why = fault.strerror or "cannot be read"
        raise AnswerCheckError(f"{path}: {why}; give a folder that `train` wrote") from None
    except (ValueError, RecursionError) as fault:
        why = f"{path}: not an answer check ({fault!r:.80})".replace("\0", "\\0")
        raise AnswerCheckError(why) from None
    if not isinstance(manifest, dict):
        raise AnswerCheckError(f"{path}: not an answer check (no object)")
    return manifest, hashlib.sha256(content).hexdigest()[:12]


def hold_tokens_of(value: Any) -> int:
    """A number of tokens that an answer can be held for. Raises: `AnswerCheckError`."""
    number = finite(value)
    if not (number.is_integer() and 1 <= number <= MAX_HOLD_TOKENS):
        raise AnswerCheckError(
            f"hold_tokens {number:g} is no whole number from 1 to {MAX_HOLD_TOKENS}"
        )
    return int(number)


def _model(manifest: dict[str, Any], artifact_id: str) -> AnswerModel:
    heads = {name: _head(name, manifest["heads"][name]) for name in HEADS}
    return AnswerModel(
        artifact_id,
        _text(manifest["served_model"]),
        _text(manifest["quantisation"]),
        hold_tokens_of(manifest["hold_tokens"]),
        heads,
        min(max(finite(manifest["budget_probability"]), 1e-6), 1 - 1e-6),
        _text(manifest["classifier"]),
    )


def _head(name: str, saved: dict[str, Any]) -> Head:
    if tuple(saved["features"]) != names_of(name):
        raise AnswerCheckError(f"{name}: weighs other features than this version; train again")
    count = len(names_of(name))
    mean, scale, weights = (_numbers(saved[key], count) for key in ("mean", "scale", "weights"))
    below, above, offset = _numbers(saved["calibration"], 3)
    if min(scale) <= 0 or min(below, above) < 0:
        raise AnswerCheckError(f"{name}: a scale or a slope is not positive; train again")
    return Head(mean, scale, weights, finite(saved["offset"]), (below, above, offset))


def _numbers(values: Any, count: int) -> tuple[float, ...]:
    if not isinstance(values, list) or len(values) != count:
        raise AnswerCheckError(f"{count} numbers expected; train again")
    return tuple(map(finite, values))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise AnswerCheckError("holds no name where one belongs; train again")
    return value
