"""Every matrix of a model that quantisation may round, by name and shape, from `config.json` alone.

The families of `kv_layout`. Names are those of the checkpoint; beside each stands the module that
vLLM makes of it, because vLLM stores query, key and value (and gate and up) as one matrix.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from models.errors import CheckpointError
from models.kv_layout import LATENT, architecture_of, head_dim, kv_heads, positive, text_config

# Two matrices in the MLP instead of three.
UNGATED = frozenset({"PhiForCausalLM"})
# The checkpoint itself holds query, key and value as one matrix, and gate and up.
FUSED_ON_DISK = frozenset({"Phi3ForCausalLM"})
# With experts; the others are counted without, so a missing key must not pass for none.
SPARSE = LATENT | {
    "MixtralForCausalLM", "Qwen2MoeForCausalLM", "Qwen3MoeForCausalLM", "GptOssForCausalLM",
    "OlmoeForCausalLM",
}  # fmt: skip
# Experts in the published names of their number.
EXPERT_KEYS = ("num_local_experts", "num_experts", "n_routed_experts")
# Far above any published model: a damaged figure must not keep the reader busy for hours.
MOST_LAYERS = 4096


class LinearLayer(NamedTuple):
    """One matrix, or the equal ones of all experts of a layer (`name` is then the first's)."""

    name: str
    # The module that vLLM makes of it, which other matrices may share.
    module: str
    weights: int
    copies: int = 1
    # Copies that one token reads.
    active_copies: int = 1


def linear_layers(config: dict[str, Any]) -> list[LinearLayer]:
    """All matrices of attention, MLPs and experts; not embeddings, routers or vision.

    Raises: `CheckpointError` naming the key that is missing.
    """
    architecture, text = architecture_of(config), text_config(config)
    layers = positive(text, "num_hidden_layers")
    if layers > MOST_LAYERS:
        raise CheckpointError(f"config.json: 'num_hidden_layers' is {layers}; no model has so many")
    outer = "language_model." if "vision_config" in config else ""
    attention = _latent_attention if architecture in LATENT else _plain_attention
    return [
        layer
        for number in range(layers)
        for prefix in (f"{outer}model.layers.{number}.",)
        for layer in (
            *attention(architecture, text, f"{prefix}self_attn."),
            *_mlp(architecture, text, number, prefix),
        )
    ]


def _plain_attention(architecture: str, text: dict[str, Any], prefix: str) -> Iterator[LinearLayer]:
    hidden = positive(text, "hidden_size")
    queries = positive(text, "num_attention_heads") * head_dim(text) * hidden
    keys = kv_heads(text) * head_dim(text) * hidden
    module = f"{prefix}qkv_proj"
    if architecture in FUSED_ON_DISK:
        yield LinearLayer(module, module, queries + 2 * keys)
    else:
        yield LinearLayer(f"{prefix}q_proj", module, queries)
        yield LinearLayer(f"{prefix}k_proj", module, keys)
        yield LinearLayer(f"{prefix}v_proj", module, keys)
    output = f"{prefix}dense" if architecture in UNGATED else f"{prefix}o_proj"
    yield LinearLayer(output, output, queries)


def _latent_attention(
    architecture: str, text: dict[str, Any], prefix: str
) -> Iterator[LinearLayer]:
    """Down and up projections of MLA in one layer; each is a module of its own."""
    hidden, heads = positive(text, "hidden_size"), positive(text, "num_attention_heads")
    rotary, plain = positive(text, "qk_rope_head_dim"), positive(text, "qk_nope_head_dim")
    latent, value = positive(text, "kv_lora_rank"), positive(text, "v_head_dim")
    sizes = {
        "kv_a_proj_with_mqa": hidden * (latent + rotary),
        "kv_b_proj": latent * heads * (plain + value),
        "o_proj": heads * value * hidden,
    }
    if text.get("q_lora_rank") is None:
        sizes["q_proj"] = hidden * heads * (plain + rotary)
    else:
        rank = positive(text, "q_lora_rank")
        sizes |= {"q_a_proj": hidden * rank, "q_b_proj": rank * heads * (plain + rotary)}
    for name, weights in sizes.items():
        yield LinearLayer(prefix + name, prefix + name, weights)


def _mlp(
    architecture: str, text: dict[str, Any], number: int, prefix: str
) -> Iterator[LinearLayer]:
    """The dense MLP of a layer, or its experts and those that every token uses."""
    if architecture not in SPARSE or not is_sparse(text, number):
        yield from _dense(architecture, text, positive(text, "intermediate_size"), f"{prefix}mlp.")
        return
    experts, chosen = experts_of(architecture, text)
    weights = positive(text, "hidden_size") * expert_width(text)
    mixtral = architecture == "MixtralForCausalLM"
    module = prefix + ("block_sparse_moe.experts" if mixtral else "mlp.experts")
    for matrix in ("w1", "w2", "w3") if mixtral else ("gate_proj", "up_proj", "down_proj"):
        yield LinearLayer(f"{module}.0.{matrix}", module, weights, experts, chosen)
    if shared := shared_width(text):
        name = "shared_experts" if architecture in LATENT else "shared_expert"
        yield from _dense(architecture, text, shared, f"{prefix}mlp.{name}.")


def _dense(
    architecture: str, text: dict[str, Any], width: int, prefix: str
) -> Iterator[LinearLayer]:
    weights = positive(text, "hidden_size") * width
    if architecture in UNGATED:
        yield LinearLayer(f"{prefix}fc1", f"{prefix}fc1", weights)
        yield LinearLayer(f"{prefix}fc2", f"{prefix}fc2", weights)
        return
    module = f"{prefix}gate_up_proj"
    if architecture in FUSED_ON_DISK:
        yield LinearLayer(module, module, 2 * weights)
    else:
        yield LinearLayer(f"{prefix}gate_proj", module, weights)
        yield LinearLayer(f"{prefix}up_proj", module, weights)
    yield LinearLayer(f"{prefix}down_proj", f"{prefix}down_proj", weights)


def expert_width(text: dict[str, Any]) -> int:
    """Width of one expert's hidden layer."""
    key = "moe_intermediate_size"
    return positive(text, key if key in text else "intermediate_size")


def shared_width(text: dict[str, Any]) -> int:
    """Width of the experts that every token uses, together; 0 without them."""
    shared = text.get("shared_expert_intermediate_size") or 0
    return (text.get("n_shared_experts") or 0) * expert_width(text) + shared


def is_sparse(text: dict[str, Any], layer: int) -> bool:
    """Whether the layer has experts, by DeepSeek's keys and by Qwen's."""
    if layer < (text.get("first_k_dense_replace") or 0):
        return False
    if layer % (text.get("moe_layer_freq") or 1) or layer in (text.get("mlp_only_layers") or ()):
        return False
    return (layer + 1) % (text.get("decoder_sparse_step") or 1) == 0


def experts_of(architecture: str, text: dict[str, Any]) -> tuple[int, int]:
    """Experts of a sparse layer and how many of them a token uses."""
    for key in EXPERT_KEYS:
        if text.get(key) is not None:
            return positive(text, key), positive(text, "num_experts_per_tok")
    raise CheckpointError(f"config.json: {architecture} needs one of {', '.join(EXPERT_KEYS)}")
