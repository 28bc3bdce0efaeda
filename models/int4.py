"""INT4 weights by rounding to nearest, in the layout of compressed-tensors `pack-quantized`.

Each row is cut into groups of `group_size` inputs; a group shares one scale and, if asymmetric, one
zero point: `weight = scale * (code - zero_point)`, codes 0 to 15. For each group the scale and zero
point with the least squared error are searched on a small grid.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

BITS = 4
CODES = 1 << BITS
CODES_PER_INT32 = 32 // BITS
# Fractions of the group's range tried as the quantised range; 1.0 is plain min-max rounding.
# More and finer steps cost time and changed the divergence by less than its noise
# (`python -m bench.packing.int4_quality`).
SHRINKS: tuple[float, ...] = (0.75, 0.80, 0.85, 0.90, 0.93, 0.96, 1.0, 1.03)


@dataclass(frozen=True, slots=True)
class Int4Scheme:
    """How weights are rounded: group length along the input, and whether zero is always code 8."""

    group_size: int = 32
    symmetric: bool = False

    def quantization_config(self, ignore: list[str]) -> dict[str, Any]:
        """The `quantization_config` of `config.json` that tells vLLM how to read the weights."""
        weights = {
            "num_bits": BITS,
            "type": "int",
            "symmetric": self.symmetric,
            "strategy": "group",
            "group_size": self.group_size,
            "dynamic": False,
            "actorder": None,
            "observer": "mse",
        }
        return {
            "quant_method": "compressed-tensors",
            "format": "pack-quantized",
            "quantization_status": "compressed",
            "config_groups": {
                "group_0": {
                    "targets": ["Linear"],
                    "weights": weights,
                    "input_activations": None,
                    "output_activations": None,
                }
            },
            "ignore": ignore,
        }


class Int4Weight(NamedTuple):
    """A rounded matrix: codes [rows, columns] in 0..15, scales and zeros [rows, groups]."""

    codes: torch.Tensor
    scale: torch.Tensor
    zero_point: torch.Tensor

    def dequantise(self) -> torch.Tensor:
        """The float32 matrix that the codes stand for."""
        rows, columns = self.codes.shape
        groups = self.scale.shape[1]
        shifted = self.codes.view(rows, groups, columns // groups) - self.zero_point.unsqueeze(-1)
        return (shifted * self.scale.float().unsqueeze(-1)).view(rows, columns)


def quantise(weight: torch.Tensor, scheme: Int4Scheme) -> Int4Weight:
    """The best rounding of `weight` [rows, columns] on the search grid, scales in bfloat16.

    Raises: `ValueError` if the group size does not divide the columns.
    """
    rows, columns = weight.shape
    if columns % scheme.group_size:
        raise ValueError(f"{columns} columns are not a multiple of group size {scheme.group_size}")
    groups = weight.float().view(-1, scheme.group_size)
    best = _candidate(groups, 1.0, scheme, 0)
    for shrink in SHRINKS:
        for offset in (0,) if scheme.symmetric else (-1, 0, 1):
            trial = _candidate(groups, shrink, scheme, offset)
            better = trial.error < best.error
            best = _Candidate(
                *(_pick(better, new, old) for new, old in zip(trial, best, strict=True))
            )
    shape = (rows, columns // scheme.group_size)
    return Int4Weight(
        best.codes.view(rows, columns).to(torch.int32),
        best.scale.view(shape).to(torch.bfloat16),
        best.zero_point.view(shape).to(torch.int32),
    )


class _Candidate(NamedTuple):
    codes: torch.Tensor
    scale: torch.Tensor
    zero_point: torch.Tensor
    error: torch.Tensor


def _pick(better: torch.Tensor, new: torch.Tensor, old: torch.Tensor) -> torch.Tensor:
    return torch.where(better if new.ndim == 1 else better.unsqueeze(1), new, old)


def _candidate(groups: torch.Tensor, shrink: float, scheme: Int4Scheme, offset: int) -> _Candidate:
    """Rounding with the range shrunk; the scale is rounded to bfloat16 first, as it is stored."""
    low, high = groups.amin(1).clamp(max=0), groups.amax(1).clamp(min=0)
    if scheme.symmetric:
        scale = torch.maximum(-low, high) * shrink / (CODES / 2 - 0.5)
    else:
        scale = (high - low) * shrink / (CODES - 1)
    scale = scale.clamp(min=1e-8).to(torch.bfloat16).float()
    if scheme.symmetric:
        zero_point = torch.full_like(scale, CODES / 2)
    else:
        middle = (low + high) / 2
        zero_point = ((CODES - 1) / 2 - middle / scale).round() + offset
        zero_point = zero_point.clamp(0, CODES - 1)
    codes = (groups / scale.unsqueeze(1)).round() + zero_point.unsqueeze(1)
    codes = codes.clamp(0, CODES - 1)
    restored = (codes - zero_point.unsqueeze(1)) * scale.unsqueeze(1)
    error = (restored - groups).square().sum(1)
    return _Candidate(codes.to(torch.int8), scale, zero_point, error)


def pack_columns(codes: torch.Tensor) -> torch.Tensor:
    """Eight codes of a row in one int32, the first in the lowest bits; short rows end in zeros."""
    rows, columns = codes.shape
    padded = torch.nn.functional.pad(codes.to(torch.int32), (0, -columns % CODES_PER_INT32))
    shifts = torch.arange(CODES_PER_INT32, dtype=torch.int32) * BITS
    return (padded.view(rows, -1, CODES_PER_INT32) << shifts).sum(dim=2, dtype=torch.int32)


def packed_tensors(name: str, weight: Int4Weight, scheme: Int4Scheme) -> dict[str, torch.Tensor]:
    """The tensors that stand for the module `name` in a `pack-quantized` checkpoint."""
    tensors = {
        f"{name}.weight_packed": pack_columns(weight.codes),
        f"{name}.weight_scale": weight.scale.contiguous(),
        f"{name}.weight_shape": torch.tensor(weight.codes.shape, dtype=torch.int64),
    }
    if not scheme.symmetric:
        zero_point = pack_columns(weight.zero_point.t().contiguous()).t().contiguous()
        tensors[f"{name}.weight_zero_point"] = zero_point
    return tensors


def unpacked_weight(name: str, tensors: dict[str, torch.Tensor]) -> Int4Weight:
    """The rounded matrix of the module `name`: what `packed_tensors` stored."""
    rows, columns = tensors[f"{name}.weight_shape"].tolist()
    scale = tensors[f"{name}.weight_scale"]
    codes = _unpack_columns(tensors[f"{name}.weight_packed"], columns)
    stored = tensors.get(f"{name}.weight_zero_point")
    if stored is None:
        zero_point = torch.full(scale.shape, CODES // 2, dtype=torch.int32)
    else:
        zero_point = _unpack_columns(stored.t(), rows).t()
    return Int4Weight(codes, scale, zero_point)


def _unpack_columns(packed: torch.Tensor, columns: int) -> torch.Tensor:
    shifts = torch.arange(CODES_PER_INT32, dtype=torch.int32) * BITS
    codes = (packed.unsqueeze(-1) >> shifts) & (CODES - 1)
    return codes.reshape(packed.shape[0], -1)[:, :columns]
