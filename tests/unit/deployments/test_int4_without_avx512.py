"""PyTorch's INT4 product under vLLM's interface gives what the weights say, on any x86 CPU."""

import warnings
from typing import Any

import pytest
import torch

pytestmark = pytest.mark.filterwarnings("ignore")
INPUTS, OUTPUTS = 576, 960


@pytest.fixture(scope="module")
def kernels() -> Any:
    """The plug-in's module; it brings vLLM, whose import takes seconds."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from deployments.vllm import int4_without_avx512

        return int4_without_avx512


def layer(kernels: Any, group_size: int, *, points: bool, as_gptq: bool) -> tuple[Any, Any, Any]:
    """A layer as a checkpoint loads it, its kernel, and the weights it stands for."""
    from vllm.model_executor.layers.quantization.utils.quant_utils import (
        pack_quantized_values_into_int32,
    )
    from vllm.scalar_type import scalar_types

    kind = scalar_types.uint4 if points else scalar_types.uint4b8
    generator = torch.Generator().manual_seed(7)
    groups = 1 if group_size == -1 else INPUTS // group_size
    values = torch.randint(0, 16, (OUTPUTS, INPUTS), dtype=torch.int32, generator=generator)
    scales = (torch.rand(OUTPUTS, groups, generator=generator) * 0.02 + 0.001).to(torch.bfloat16)
    zeros = torch.randint(0, 16, (OUTPUTS, groups), dtype=torch.int32, generator=generator)
    middle = zeros if points else torch.full_like(zeros, 8)

    def wide(by_group: torch.Tensor) -> torch.Tensor:
        return by_group.float().repeat_interleave(INPUTS // groups, 1)

    whole = (values - wide(middle)) * wide(scales)
    module = torch.nn.Module()
    if as_gptq:  # [in, out]
        named = {
            "q": (pack_quantized_values_into_int32(values.t().contiguous(), kind, 0), 0, 1, 0),
            "s": (scales.t().contiguous(), 0, 1, None),
            "z": (pack_quantized_values_into_int32(zeros.t().contiguous(), kind, 1), 0, 1, 1),
        }
    else:  # compressed-tensors: [out, in]
        named = {
            "q": (pack_quantized_values_into_int32(values, kind, 1), 1, 0, 1),
            "s": (scales, 1, 0, None),
            "z": (pack_quantized_values_into_int32(zeros, kind, 0), 1, 0, 0),
        }
    for name, (data, input_dim, output_dim, packed_dim) in named.items():
        parameter: Any = torch.nn.Parameter(data, requires_grad=False)
        parameter.input_dim, parameter.output_dim = input_dim, output_dim
        parameter.packed_dim = packed_dim
        setattr(module, name, parameter)
    config = kernels.MPLinearLayerConfig(
        full_weight_shape=(INPUTS, OUTPUTS),
        partition_weight_shape=(INPUTS, OUTPUTS),
        weight_type=kind,
        act_type=torch.bfloat16,
        group_size=group_size,
        zero_points=points,
    )
    assert kernels.TorchInt4LinearKernel.can_implement(config) == (True, None)
    return module, kernels.TorchInt4LinearKernel(config, "q", "s", "z"), whole


@pytest.mark.parametrize("as_gptq", [False, True], ids=["compressed-tensors", "gptq"])
@pytest.mark.parametrize("points", [False, True], ids=["symmetric", "zero points"])
@pytest.mark.parametrize("group_size", [32, 64, 96, 192, -1])
def test_a_layer_is_its_weights(kernels: Any, group_size: int, points: bool, as_gptq: bool) -> None:
    module, kernel, whole = layer(kernels, group_size, points=points, as_gptq=as_gptq)
    x = torch.randn(2, 5, INPUTS, generator=torch.Generator().manual_seed(1)).to(torch.bfloat16)
    bias = torch.linspace(-1, 1, OUTPUTS).to(torch.bfloat16)
    kernel.process_weights_after_loading(module)
    out = kernel.apply_weights(module, x, bias).float()
    wanted = x.float() @ whole.t() + bias.float()
    # Outputs, scales and shifts are bfloat16: eight bits each.
    assert torch.nn.functional.cosine_similarity(out, wanted, dim=-1).min() > 0.9999
    assert (out - wanted).abs().max() < 0.02 * wanted.abs().max()


@pytest.mark.parametrize(
    ("group_size", "inputs", "size"),
    [
        (32, 576, 32),
        (128, 4096, 128),
        (512, 4096, 256),
        (-1, 576, 64),
        (16, 64, None),
        (64, 96, None),
    ],
)
def test_groups_are_split_where_they_are_larger(
    kernels: Any, group_size: int, inputs: int, size: int | None
) -> None:
    assert kernels.kernel_group_size(group_size, inputs) == size


def test_vllm_finds_the_plug_in() -> None:
    from importlib.metadata import entry_points

    names = {point.value for point in entry_points(group="vllm.general_plugins")}
    assert "deployments.vllm.int4_without_avx512:register" in names


def test_vllm_takes_a_kernel_that_this_cpu_has(kernels: Any) -> None:
    from vllm.model_executor.kernels.linear import choose_mp_linear_kernel
    from vllm.plugins import load_general_plugins

    load_general_plugins()
    config = layer(kernels, 32, points=False, as_gptq=False)[1].config
    missing = not hasattr(torch.ops._C, "cpu_gemm_wna16")
    chosen = choose_mp_linear_kernel(config)
    assert (chosen is kernels.TorchInt4LinearKernel) is missing
