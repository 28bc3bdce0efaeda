"""The published forms of `quantization_config` that are understood, checked key by key."""

from typing import Annotated, Any, Literal, Self

from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

Positive = Annotated[int, Field(ge=1, le=1 << 20)]
# Weights with one scale; -1 for a whole row.
Group = Positive | Literal[-1]
# What vLLM 0.32 has kernels for (`AutoGPTQConfig.TYPE_MAP`, `WNA16_SUPPORTED_TYPES_MAP`).
Bits = Literal[4, 8]


def _nested(names: Any) -> Any:
    """`[["a", "b"], ["c"]]` and `"a,b"` as one list of names."""
    if isinstance(names, str):
        return names.split(",")
    if isinstance(names, list):
        return [name for part in names for name in (part if isinstance(part, list) else [part])]
    return names


Names = Annotated[list[str] | None, BeforeValidator(_nested)]


class _Published(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


class Override(_Published):
    """What is said of some layers; None for what holds for all."""

    bits: Literal[4, 8, 16] | None = None
    group_size: Group | None = None


class Gptq(_Published):
    """AutoGPTQ and GPTQModel."""

    bits: Bits
    group_size: Group
    dynamic: dict[str, Override | None] | None = None
    modules_in_block_to_quantize: Names = None
    # A rounded output matrix is not counted.
    lm_head: Literal[False] = False


class Awq(_Published):
    """AutoAWQ."""

    bits: Literal[4] = Field(validation_alias=AliasChoices("w_bit", "bits"))
    group_size: Group = Field(validation_alias=AliasChoices("q_group_size", "group_size"))
    zero_point: bool = True
    modules_to_not_convert: Names = None
    lm_head: Literal[False] = False


class Fp8(_Published):
    """Weights in float8."""

    weight_block_size: Annotated[list[Positive], Field(min_length=2, max_length=2)] | None = None
    ignored_layers: Names = None
    modules_to_not_convert: Names = None
    # Experts in another format are not counted.
    store_dtype: None = None


class CompressedWeights(_Published):
    """The weights of one group."""

    num_bits: Bits
    type: Literal["int", "float"] = "int"
    group_size: Group | None = None
    symmetric: bool = True

    @model_validator(mode="after")
    def _float4_is_not_counted(self) -> Self:
        if self.type == "float" and self.num_bits == 4:
            raise ValueError("4-bit floating-point weights are not counted")
        return self

    @property
    def scales(self) -> tuple[int, int]:
        """Weights with one scale, and bits of the scale and the zero point."""
        return self.group_size or -1, 16 + (0 if self.symmetric else self.num_bits)


class CompressedGroup(_Published):
    """Layers with one rounding."""

    targets: list[str] = ["Linear"]
    weights: CompressedWeights


class Compressed(_Published):
    """compressed-tensors."""

    config_groups: dict[str, CompressedGroup] = Field(min_length=1)
    ignore: Names = None


class AutoRound(_Published):
    """AutoRound in its integer formats."""

    bits: Bits
    group_size: Group
    data_type: Literal["int"] = "int"
    extra_config: dict[str, Override | None] | None = None
    block_name_to_quantize: Names = None
    to_quant_block_names: Names = None
