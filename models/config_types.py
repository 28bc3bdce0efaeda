"""Types of the keys of `config.json` that are optional; `kv_layout.positive` checks the others."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.errors import CheckpointError
from models.kv_layout import text_config

Size = Annotated[int, Field(ge=0, le=1 << 40)]
Every = Annotated[int, Field(ge=1, le=1 << 40)]


class _Text(BaseModel):
    model_config = ConfigDict(strict=True)

    tie_word_embeddings: bool | None = None
    attention_bias: bool | None = None
    use_qkv_bias: bool | None = None
    use_sliding_window: bool | None = None
    dtype: str | None = None
    torch_dtype: str | None = None
    layer_types: list[str] | None = None
    sliding_window_pattern: Every | None = None
    max_window_layers: Size | None = None
    q_lora_rank: Every | None = None
    first_k_dense_replace: Size | None = None
    moe_layer_freq: Every | None = None
    mlp_only_layers: list[int] | None = None
    decoder_sparse_step: Size | None = None
    n_shared_experts: Size | None = None
    shared_expert_intermediate_size: Size | None = None


def check_types(config: dict[str, Any]) -> None:
    """Raises: `CheckpointError` naming the first key whose value is of another type."""
    try:
        _Text.model_validate(text_config(config))
    except ValidationError as error:
        first = error.errors()[0]
        got = f"{first['input']!r:.60}"
        raise CheckpointError(
            f"config.json: {first['loc'][0]!r}: {first['msg']}, got {got}"
        ) from None
