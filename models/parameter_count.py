"""How many weights a model has, from `config.json` alone, for planning before a download.

Counts what vLLM allocates for the decoder families of `kv_layout`: attention, MLPs, experts,
embeddings, norms and biases. `tests/e2e/test_architecture_truth.py` compares the two.
"""

from typing import Any, NamedTuple

from models.errors import CheckpointError
from models.kv_layout import LATENT, architecture_of, head_dim, kv_heads, positive, text_config

# Two matrices in the MLP instead of three.
UNGATED = frozenset({"PhiForCausalLM"})
# Weights of the last norm for each hidden element: a bias beside the weight, or neither.
LAST_NORM = {"PhiForCausalLM": 2, "StableLmForCausalLM": 2, "OlmoForCausalLM": 0}
# With experts; the others are counted without, so a missing key must not pass for none.
SPARSE = LATENT | {
    "MixtralForCausalLM", "Qwen2MoeForCausalLM", "Qwen3MoeForCausalLM", "GptOssForCausalLM",
    "OlmoeForCausalLM",
}  # fmt: skip
# Experts in the published names of their number.
EXPERT_KEYS = ("num_local_experts", "num_experts", "n_routed_experts")


class Parameters(NamedTuple):
    """Weights by what quantisation does to them, and those that one token reads."""

    linear: int
    other: int
    active_linear: int
    # Of a layer's experts, what one token uses; 1 without experts.
    expert_fraction: float = 1.0


def count_parameters(config: dict[str, Any]) -> Parameters:
    """The model's weights; `CheckpointError` for families whose matrices have another shape."""
    architecture = architecture_of(config)
    text = text_config(config)
    hidden, layers = positive(text, "hidden_size"), positive(text, "num_hidden_layers")
    attention = (
        _latent_attention(text) if architecture in LATENT else _plain_attention(architecture, text)
    )
    small = _norms_and_biases(architecture, text)
    mlp = _mlps(architecture, text)
    norm = hidden * LAST_NORM.get(architecture, 1)
    embeddings = padded_vocabulary(text) * hidden * (1 if text.get("tie_word_embeddings") else 2)
    return Parameters(
        linear=layers * attention + mlp.linear,
        other=embeddings + layers * small + norm + mlp.other + _vision(config, hidden),
        active_linear=layers * attention + mlp.active_linear,
        expert_fraction=mlp.expert_fraction,
    )


def _plain_attention(architecture: str, text: dict[str, Any]) -> int:
    """Query, key, value and output matrices of one layer."""
    queries = positive(text, "num_attention_heads") * head_dim(text)
    return positive(text, "hidden_size") * (2 * queries + 2 * kv_heads(text) * head_dim(text))


def _latent_attention(text: dict[str, Any]) -> int:
    """Down and up projections of MLA in one layer."""
    hidden, heads = positive(text, "hidden_size"), positive(text, "num_attention_heads")
    rotary, plain = positive(text, "qk_rope_head_dim"), positive(text, "qk_nope_head_dim")
    latent, value = positive(text, "kv_lora_rank"), positive(text, "v_head_dim")
    if text.get("q_lora_rank") is None:
        query = hidden * heads * (plain + rotary)
    else:
        query = positive(text, "q_lora_rank") * (hidden + heads * (plain + rotary))
    return (
        query
        + hidden * (latent + rotary)
        + latent * heads * (plain + value)
        + heads * value * hidden
    )


def _norms_and_biases(architecture: str, text: dict[str, Any]) -> int:
    """The small weights of one layer. Source: the classes in vLLM 0.32 `model_executor/models`."""
    hidden, heads = positive(text, "hidden_size"), positive(text, "num_attention_heads")
    if architecture in LATENT:
        return 2 * hidden + positive(text, "kv_lora_rank") + (text.get("q_lora_rank") or 0)
    queries, keys = heads * head_dim(text), kv_heads(text) * head_dim(text)
    biases = queries + 2 * keys + hidden
    extra = {
        "Qwen2ForCausalLM": queries + 2 * keys,
        "Qwen2MoeForCausalLM": queries + 2 * keys,
        "Qwen3ForCausalLM": 2 * head_dim(text),
        "Qwen3MoeForCausalLM": 2 * head_dim(text),
        "Gemma2ForCausalLM": 2 * hidden,
        "Gemma3ForCausalLM": 2 * hidden + 2 * head_dim(text),
        "Gemma3ForConditionalGeneration": 2 * hidden + 2 * head_dim(text),
        "OlmoForCausalLM": -2 * hidden,  # its norms have no weights
        "Olmo2ForCausalLM": queries + keys,
        "OlmoeForCausalLM": queries + keys,
        "PhiForCausalLM": biases + hidden + positive(text, "intermediate_size"),
        "StableLmForCausalLM": 2 * hidden + (queries + 2 * keys) * bool(text.get("use_qkv_bias")),
        "GptOssForCausalLM": biases + heads,  # one sink for each head
    }
    return 2 * hidden + extra.get(architecture, biases * bool(text.get("attention_bias")))


def _mlps(architecture: str, text: dict[str, Any]) -> Parameters:
    """The MLPs of all layers, dense ones and experts."""
    hidden, layers = positive(text, "hidden_size"), positive(text, "num_hidden_layers")
    dense_width = positive(text, "intermediate_size")
    matrices = (2 if architecture in UNGATED else 3) * hidden
    if architecture not in SPARSE:
        dense = layers * matrices * dense_width
        return Parameters(dense, 0, dense)
    experts, chosen = _experts(architecture, text)
    width = positive(
        text, "moe_intermediate_size" if "moe_intermediate_size" in text else "intermediate_size"
    )
    shared = (text.get("n_shared_experts") or 0) * width
    shared += text.get("shared_expert_intermediate_size") or 0
    sparse = sum(_is_sparse(text, layer) for layer in range(layers))
    router = hidden * experts + hidden * ("shared_expert_intermediate_size" in text)
    if architecture == "GptOssForCausalLM":
        router += experts * (1 + 2 * width + hidden)  # biases of the router and the experts
    dense = (layers - sparse) * matrices * dense_width
    return Parameters(
        linear=dense + sparse * matrices * (experts * width + shared),
        other=sparse * router,
        active_linear=dense + sparse * matrices * (chosen * width + shared),
        expert_fraction=chosen / experts,
    )


def _is_sparse(text: dict[str, Any], layer: int) -> bool:
    """Whether the layer has experts, by DeepSeek's keys and by Qwen's."""
    if layer < (text.get("first_k_dense_replace") or 0):
        return False
    if layer % (text.get("moe_layer_freq") or 1) or layer in (text.get("mlp_only_layers") or ()):
        return False
    return (layer + 1) % (text.get("decoder_sparse_step") or 1) == 0


def _experts(architecture: str, text: dict[str, Any]) -> tuple[int, int]:
    """Experts of a sparse layer and how many of them a token uses."""
    for key in EXPERT_KEYS:
        if text.get(key) is not None:
            return positive(text, key), positive(text, "num_experts_per_tok")
    raise CheckpointError(f"config.json: {architecture} needs one of {', '.join(EXPERT_KEYS)}")


def _vision(config: dict[str, Any], hidden: int) -> int:
    """Gemma 3's SigLIP tower and the projection into the language model; 0 without one."""
    vision = config.get("vision_config")
    if not isinstance(vision, dict):
        return 0
    try:
        width, patch = positive(vision, "hidden_size"), positive(vision, "patch_size")
        inner, image = positive(vision, "intermediate_size"), positive(vision, "image_size")
        layers = positive(vision, "num_hidden_layers")
    except CheckpointError as error:
        raise CheckpointError(
            f"{error} in 'vision_config'; or give the checkpoint folder"
        ) from error
    patches = 3 * patch * patch * width + width + (image // patch) ** 2 * width
    attention, mlp = 4 * width * (width + 1), 2 * width * inner + inner + width
    tower = patches + layers * (attention + mlp + 4 * width) + 2 * width
    return tower + width * hidden + width


def padded_vocabulary(text: dict[str, Any]) -> int:
    """The vocabulary as vLLM holds it: padded to a multiple of 64.

    Source: vLLM 0.32 `vocab_parallel_embedding.DEFAULT_VOCAB_PADDING_SIZE`.
    """
    return -(-positive(text, "vocab_size") // 64) * 64
