"""How much KV cache a model keeps for each token, from its `config.json`.

Right for the architectures listed, refused by name for all others: a wrong figure here would
over-commit a GPU. Layers that keep no per-token cache (Mamba, linear attention) are refused too,
because their state is sized by rules that vLLM derives from the kernel.
"""

from typing import Any, NamedTuple

from models.errors import CheckpointError

# Decoder-only transformers whose layers all keep K and V for `num_key_value_heads` heads.
# Source: vLLM 0.32 `model_executor/models`, one `Attention` for each decoder layer.
PLAIN = frozenset(
    {
        "LlamaForCausalLM", "MistralForCausalLM", "MixtralForCausalLM", "Qwen2ForCausalLM",
        "Qwen2MoeForCausalLM", "Qwen3ForCausalLM", "Qwen3MoeForCausalLM", "Phi3ForCausalLM",
        "PhiForCausalLM", "GemmaForCausalLM", "Gemma2ForCausalLM", "Gemma3ForCausalLM",
        "Gemma3ForConditionalGeneration", "GptOssForCausalLM", "GraniteForCausalLM",
        "OlmoForCausalLM", "Olmo2ForCausalLM", "OlmoeForCausalLM", "StableLmForCausalLM",
        "SmolLM3ForCausalLM",
    }
)  # fmt: skip
# One compressed vector per token and layer instead of K and V (MLA).
LATENT = frozenset({"DeepseekV2ForCausalLM", "DeepseekV3ForCausalLM"})
# Keys that published configurations leave out because they equal the class's defaults.
# Source: transformers 5.19 `GemmaConfig`, `Gemma2Config`, `Gemma3TextConfig`, `SmolLM3Config`.
CLASS_DEFAULTS: dict[str, dict[str, Any]] = {
    "smollm3": {"tie_word_embeddings": True},
    "gemma": {"tie_word_embeddings": True},
    "gemma2": {"tie_word_embeddings": True, "sliding_window": 4096},
    "gemma3": {
        "tie_word_embeddings": True,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "head_dim": 256,
        "vocab_size": 262_208,
        "max_position_embeddings": 131_072,
        "sliding_window": 4096,
    },
}
CLASS_DEFAULTS["gemma3_text"] = CLASS_DEFAULTS["gemma3"]
# Before transformers wrote `layer_types`: every n-th layer sees the whole context.
SLIDING_PATTERN = {"Gemma2ForCausalLM": 2, "GptOssForCausalLM": 2, "Gemma3ForCausalLM": 6}
SLIDING_PATTERN["Gemma3ForConditionalGeneration"] = 6


# Far above any published size; beyond it quotients of sizes are no numbers any more.
MOST = 1 << 40


class AttentionLayers(NamedTuple):
    """`layers` decoder layers alike; `window_tokens` None means the whole context."""

    layers: int
    bytes_per_token: int  # of one layer
    window_tokens: int | None


def architecture_of(config: dict[str, Any]) -> str:
    """The one architecture that `config.json` names."""
    names = config.get("architectures")
    if not isinstance(names, list) or len(names) != 1 or not isinstance(names[0], str):
        raise CheckpointError("config.json: 'architectures' must name exactly one architecture")
    return names[0]


def attention_layers(config: dict[str, Any], kv_element_bytes: int) -> tuple[AttentionLayers, ...]:
    """The model's layers by kind, those with the whole context first.

    Raises: `CheckpointError` naming the architecture or key that is not understood.
    """
    architecture = architecture_of(config)
    text = text_config(config)
    if architecture in LATENT:
        return _latent_layers(text, kv_element_bytes)
    if architecture in PLAIN:
        return _plain_layers(architecture, text, kv_element_bytes)
    known = ", ".join(sorted(PLAIN | LATENT))
    raise CheckpointError(
        f"architecture {architecture!r} is not understood, so its KV cache cannot be planned; "
        f"known: {known}"
    )


def text_config(config: dict[str, Any]) -> dict[str, Any]:
    """The language model's part of a multimodal configuration, or the whole of a plain one."""
    nested = config.get("text_config")
    text = nested if isinstance(nested, dict) else config
    return CLASS_DEFAULTS.get(str(config.get("model_type")), {}) | text


def positive(config: dict[str, Any], key: str) -> int:
    """The whole number above zero at `key`."""
    value = config.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= MOST:
        raise CheckpointError(
            f"config.json: {key!r} must be a whole number above 0, got {value!r:.60}"
        )
    return value


def head_dim(text: dict[str, Any]) -> int:
    """Elements of one attention head."""
    if text.get("head_dim") is not None:
        return positive(text, "head_dim")
    return _shared_out(text, "hidden_size", "num_attention_heads")


def kv_heads(text: dict[str, Any]) -> int:
    """Heads that keep K and V: `num_key_value_heads`, or all of them if it is not there."""
    if text.get("num_key_value_heads") is None:
        return positive(text, "num_attention_heads")
    _shared_out(text, "num_attention_heads", "num_key_value_heads")
    return positive(text, "num_key_value_heads")


def _shared_out(text: dict[str, Any], key: str, among: str) -> int:
    """What each gets; a rest is nobody's, and no engine loads such a checkpoint."""
    share, rest = divmod(positive(text, key), positive(text, among))
    if rest:
        raise CheckpointError(
            f"config.json: {key!r} {text[key]} is no multiple of {among!r} {text[among]}"
        )
    return share


def _latent_layers(text: dict[str, Any], element_bytes: int) -> tuple[AttentionLayers, ...]:
    if text.get("index_topk") is not None:
        raise CheckpointError("config.json: 'index_topk' (sparse MLA) is not understood")
    width = positive(text, "kv_lora_rank") + positive(text, "qk_rope_head_dim")
    return (AttentionLayers(positive(text, "num_hidden_layers"), width * element_bytes, None),)


def split_projection_bytes(config: dict[str, Any]) -> int:
    """MLA's up-projection as the two 16-bit matrices that vLLM makes of it, the original kept.

    0 for other attention. Source: vLLM 0.32 `mla_attention.process_weights_after_loading`.
    """
    if architecture_of(config) not in LATENT:
        return 0
    text = text_config(config)
    width = positive(text, "qk_nope_head_dim") + positive(text, "v_head_dim")
    rows = positive(text, "num_attention_heads") * width
    return 2 * positive(text, "num_hidden_layers") * positive(text, "kv_lora_rank") * rows


def _plain_layers(
    architecture: str, text: dict[str, Any], element_bytes: int
) -> tuple[AttentionLayers, ...]:
    per_token = 2 * kv_heads(text) * head_dim(text) * element_bytes
    layers = positive(text, "num_hidden_layers")
    sliding = _sliding_layers(architecture, text, layers)
    window = positive(text, "sliding_window") if sliding else None
    kinds = (
        AttentionLayers(layers - sliding, per_token, None),
        AttentionLayers(sliding, per_token, window),
    )
    return tuple(kind for kind in kinds if kind.layers)


def _sliding_layers(architecture: str, text: dict[str, Any], layers: int) -> int:
    """How many layers see a window only."""
    kinds = text.get("layer_types")
    if kinds is not None:
        unknown = set(kinds) - {"full_attention", "sliding_attention"}
        if unknown or len(kinds) != layers:
            raise CheckpointError(
                f"config.json: 'layer_types' holds {sorted(unknown)} or has the wrong length"
            )
        return int(sum(kind == "sliding_attention" for kind in kinds))
    if not text.get("sliding_window") or text.get("use_sliding_window") is False:
        return 0
    if text.get("use_sliding_window") and (text.get("max_window_layers") or 0) > 0:
        raise CheckpointError("config.json: 'max_window_layers' without 'layer_types'")
    if architecture in SLIDING_PATTERN:
        every = text.get("sliding_window_pattern") or SLIDING_PATTERN[architecture]
        return layers - layers // every
    return layers
