"""INT4 weights on x86 CPUs without AVX-512, as a vLLM plug-in.

vLLM's CPU build has its INT4 kernel (`cpu_gemm_wna16`) in the AVX-512 library only (0.32.0): on
other CPUs an engine loads W4A16 weights, says that it is ready, and dies at its first step. PyTorch
has the same product for every x86 CPU. vLLM loads `register` in each of its processes, because
`pyproject.toml` names it in the entry-point group `vllm.general_plugins`.
"""

import torch
from vllm.model_executor.kernels.linear import register_linear_kernel
from vllm.model_executor.kernels.linear.mixed_precision import MPLinearKernel, MPLinearLayerConfig
from vllm.model_executor.layers.quantization.utils.quant_utils import (
    unpack_quantized_values_into_int32,
)
from vllm.platforms import PlatformEnum, current_platform
from vllm.scalar_type import scalar_types

from deployments.settings.environment import set_defaults

# What PyTorch's kernel takes (ATen, native/LinearAlgebra.cpp, 2.13).
GROUP_SIZES = (256, 128, 64, 32)
OUTPUTS_MULTIPLE = 16
# PyTorch's kernel takes weights as unsigned 4-bit numbers around this one.
ZERO_POINT = 8
# They need the missing kernel, and say that they can run.
UNUSABLE = "CPUWNA16LinearKernel,ZentorchWNA16LinearKernel"


class TorchInt4LinearKernel(MPLinearKernel):
    """W4A16 by PyTorch's `_weight_int4pack_mm_for_cpu`."""

    @classmethod
    def get_min_capability(cls) -> int:
        """CPUs have none."""
        return -1

    @classmethod
    def can_implement(cls, c: MPLinearLayerConfig) -> tuple[bool, str | None]:
        """Whether PyTorch's kernel fits a layer, and why not."""
        inputs, outputs = c.partition_weight_shape
        if not current_platform.is_cpu():
            return False, "for CPUs"
        if c.weight_type not in (scalar_types.uint4, scalar_types.uint4b8):
            return False, f"weights of type {c.weight_type}"
        if kernel_group_size(c.group_size, inputs) is None:
            return False, f"groups of {c.group_size} among {inputs} inputs"
        if outputs % OUTPUTS_MULTIPLE:
            return False, f"{outputs} outputs are no multiple of {OUTPUTS_MULTIPLE}"
        return True, None

    def process_weights_after_loading(self, layer: torch.nn.Module) -> None:
        """Repack the layer's weights, and its scales with its zero points, for PyTorch."""
        weights, scales, zeros = self._get_weight_params(layer)
        values = unpack_quantized_values_into_int32(
            weights, self.config.weight_type, weights.packed_dim
        )
        values = values if weights.input_dim == 1 else values.t().contiguous()  # [out, in]
        scale = scales.t() if scales.output_dim == 0 else scales  # [groups, out]
        shift = torch.zeros_like(scale)
        if self.config.zero_points and zeros is not None:
            points = unpack_quantized_values_into_int32(
                zeros, self.config.weight_type, zeros.packed_dim
            )
            points = points.t() if zeros.output_dim == 0 else points
            shift = ((ZERO_POINT - points).float() * scale.float()).to(scale.dtype)
        self._group_size = kernel_group_size(self.config.group_size, values.shape[1])
        copies = values.shape[1] // self._group_size // scale.shape[0]
        pairs = torch.stack([scale, shift], -1).repeat_interleave(copies, 0).contiguous()
        packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu(values, 1)
        self._transform_param(layer, self.w_q_name, lambda _: packed)
        self._transform_param(layer, self.w_s_name, lambda _: pairs.to(self.config.act_type))
        if self.w_zp_name is not None:
            setattr(layer, self.w_zp_name, None)

    def apply_weights(
        self, layer: torch.nn.Module, x: torch.Tensor, bias: torch.Tensor | None = None
    ) -> torch.Tensor:
        """`x` times the layer's weights, plus the bias."""
        weights, pairs, _ = self._get_weight_params(layer)
        flat = x.reshape(-1, x.shape[-1])
        out = torch.ops.aten._weight_int4pack_mm_for_cpu(flat, weights, self._group_size, pairs)
        out = out.reshape(*x.shape[:-1], out.shape[-1])
        return out if bias is None else out + bias


def kernel_group_size(group_size: int, inputs: int) -> int | None:
    """The kernel's group size for weights in groups of `group_size` (-1: one for all inputs).

    A group may be split into equal parts with the same scale. None where none fits.
    >>> kernel_group_size(128, 4096), kernel_group_size(-1, 576), kernel_group_size(16, 64)
    (128, 64, None)
    """
    whole = inputs if group_size == -1 else group_size
    return next((size for size in GROUP_SIZES if whole % size == 0 and inputs % whole == 0), None)


def register() -> None:
    """Offer the kernel to vLLM, alone, where vLLM's own is missing."""
    if not current_platform.is_cpu():
        return
    current_platform.import_kernels()
    if not hasattr(torch.ops._C, "cpu_gemm_wna16"):
        set_defaults({"VLLM_DISABLED_KERNELS": UNUSABLE})
        register_linear_kernel(TorchInt4LinearKernel, PlatformEnum.CPU)
