"""INT4 rounding: the codes fit, the error is bounded, the packing is compressed-tensors' own."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.int4 import Int4Scheme, pack_columns, packed_tensors, quantise

SCHEMES = [Int4Scheme(32, True), Int4Scheme(32, False), Int4Scheme(64, False)]


def library_packing() -> ModuleType:
    """compressed-tensors' packing module alone: importing the package takes 17 s of CPU."""
    root = importlib.util.find_spec("compressed_tensors")
    assert root is not None and root.origin is not None
    path = Path(root.origin).parent / "compressors" / "pack_quantized" / "helpers.py"
    spec = importlib.util.spec_from_file_location("library_packing", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def a_matrix(seed: int = 0, rows: int = 48, columns: int = 192) -> torch.Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed)) * 0.05


@pytest.mark.parametrize("columns", [8, 64, 61])
def test_packing_equals_the_library(columns: int) -> None:
    codes = torch.randint(0, 16, (16, columns), generator=torch.Generator().manual_seed(1))
    theirs = library_packing().pack_to_int32((codes - 8).to(torch.int8), 4)
    assert torch.equal(pack_columns(codes), theirs)


def test_zero_points_are_packed_down_the_rows_as_the_library_does() -> None:
    scheme = Int4Scheme(32, False)
    weight = quantise(a_matrix(), scheme)
    ours = packed_tensors("m", weight, scheme)["m.weight_zero_point"]
    zeros = (weight.zero_point - 8).to(torch.int8)
    assert torch.equal(ours, library_packing().pack_to_int32(zeros, 4, packed_dim=0))


@pytest.mark.parametrize("scheme", SCHEMES, ids=str)
def test_a_stored_matrix_reads_back_as_it_was_rounded(scheme: Int4Scheme) -> None:
    weight = quantise(a_matrix(), scheme)
    stored = packed_tensors("m", weight, scheme)
    rows, columns = stored["m.weight_shape"].tolist()
    unpack = library_packing().unpack_from_int32
    codes = unpack(stored["m.weight_packed"], 4, torch.Size((rows, columns))).float()
    zero = torch.zeros(rows, columns // scheme.group_size)
    if not scheme.symmetric:
        zero = unpack(stored["m.weight_zero_point"], 4, zero.shape, packed_dim=0).float()
    spread = [
        t.float().repeat_interleave(scheme.group_size, 1) for t in (stored["m.weight_scale"], zero)
    ]
    assert torch.equal((codes - spread[1]) * spread[0], weight.dequantise())


@pytest.mark.parametrize("symmetric", [True, False])
@given(seed=st.integers(0, 10_000), shift=st.floats(-0.2, 0.2))
@settings(max_examples=25, deadline=None)
def test_the_error_of_a_group_stays_within_one_step_for_each_weight(
    symmetric: bool, seed: int, shift: float
) -> None:
    matrix = a_matrix(seed, rows=8, columns=64) + shift
    weight = quantise(matrix, Int4Scheme(32, symmetric))
    assert int(weight.codes.min()) >= 0 and int(weight.codes.max()) <= 15
    assert int(weight.zero_point.min()) >= 0 and int(weight.zero_point.max()) <= 15
    groups = matrix.view(-1, 32)
    low, high = groups.amin(1).clamp(max=0), groups.amax(1).clamp(min=0)
    step = torch.maximum(-low, high) / 7.5 if symmetric else (high - low) / 15
    # A rounding step of `step` errs by at most step/2 per weight, plus bfloat16's 2^-8 on the scale
    # and half a step where the shifted zero point clips an end of the range.
    bound = (step * 1.1).square() * 32
    error = (weight.dequantise() - matrix).view(-1, 32).square().sum(1)
    assert bool((error <= bound).all())


def test_the_asymmetric_rounding_beats_the_symmetric_one_on_shifted_weights() -> None:
    matrix = a_matrix() + 0.05
    errors = [
        (quantise(matrix, Int4Scheme(32, symmetric)).dequantise() - matrix).square().sum()
        for symmetric in (True, False)
    ]
    assert errors[1] < 0.8 * errors[0]


# Measured on this matrix: 0.85 and 0.92 of the error.
@pytest.mark.parametrize(("symmetric", "most"), [(True, 0.87), (False, 0.95)])
def test_the_search_beats_plain_min_max(
    monkeypatch: pytest.MonkeyPatch, symmetric: bool, most: float
) -> None:
    matrix = a_matrix()

    def error() -> float:
        rounded = quantise(matrix, Int4Scheme(32, symmetric)).dequantise()
        return float((rounded - matrix).square().sum())

    searched = error()
    monkeypatch.setattr("models.int4.SHRINKS", ())
    assert searched < most * error()


def test_all_zero_weights_stay_zero() -> None:
    weight = quantise(torch.zeros(8, 64), Int4Scheme(32, False))
    assert torch.equal(weight.dequantise(), torch.zeros(8, 64))


def test_a_group_size_that_does_not_divide_is_refused() -> None:
    with pytest.raises(ValueError, match="not a multiple of group size 64"):
        quantise(torch.zeros(8, 96), Int4Scheme(64))
