"""What a safetensors file says it holds, from its header alone: no weight is read."""

import json
import math
from pathlib import Path
from typing import Any, NamedTuple

from models.errors import CheckpointError

# Bits of one element. Source: safetensors 0.8 `Dtype`.
DTYPE_BITS = {
    "F64": 64, "I64": 64, "U64": 64, "F32": 32, "I32": 32, "U32": 32, "F16": 16, "BF16": 16,
    "I16": 16, "U16": 16, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "I8": 8, "U8": 8, "BOOL": 8,
    "F4": 4,
}  # fmt: skip
# The library refuses longer headers too (safetensors 0.8 `MAX_HEADER_SIZE`).
MAX_HEADER_BYTES = 100_000_000


_DAMAGED = (
    ValueError, TypeError, KeyError, AttributeError, IndexError, OverflowError, RecursionError,
)  # fmt: skip


class TensorFacts(NamedTuple):
    """One stored tensor."""

    dtype: str
    shape: tuple[int, ...]
    stored_bytes: int


def read_header(path: Path) -> dict[str, TensorFacts]:
    """The tensors of one file by name.

    Raises: `CheckpointError` if the file is truncated, too long or not safetensors.
    """
    try:
        with path.open("rb") as stream:
            header_bytes = int.from_bytes(stream.read(8), "little")
            if not 2 <= header_bytes <= MAX_HEADER_BYTES:
                raise CheckpointError(f"{path.name} is not a safetensors file")
            text = stream.read(header_bytes)
        file_bytes = path.stat().st_size
        entries = json.loads(text)
        entries.pop("__metadata__", None)
        tensors = {name: _tensor(entry) for name, entry in entries.items()}
        end = max((entry["data_offsets"][1] for entry in entries.values()), default=0)
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from error
    except CheckpointError:
        raise
    except _DAMAGED as error:
        raise CheckpointError(f"{path.name} has a damaged safetensors header") from error
    expected = 8 + header_bytes + end
    if file_bytes != expected:
        kind = "truncated" if file_bytes < expected else "longer than its header says"
        raise CheckpointError(f"{path.name} is {kind}: {file_bytes} bytes, expected {expected}")
    return tensors


def _tensor(entry: dict[str, Any]) -> TensorFacts:
    shape = tuple(int(size) for size in entry["shape"])
    start, end = entry["data_offsets"]
    stored_bytes = math.prod(shape) * DTYPE_BITS[entry["dtype"]] // 8
    if end - start != stored_bytes or min(shape, default=0) < 0:
        raise ValueError("offsets and shape disagree")
    return TensorFacts(entry["dtype"], shape, stored_bytes)
