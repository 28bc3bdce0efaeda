"""How many weights a model has, from `config.json` alone, for planning before a download.

Counts the matrices of the plain decoder family (attention, gated MLP, experts, embeddings) and the
norms; biases and adapters are left out, which is below 0.1% of a 7B model.
"""

from typing import Any, NamedTuple

from models.errors import CheckpointError
from models.kv_layout import LATENT, architecture_of, head_dim, kv_heads, positive, text_config

# Two matrices in the MLP instead of three.
UNGATED = frozenset(
    {
        "PhiForCausalLM",
    }
)


class Parameters(NamedTuple):
    """Weights by what quantisation does to them, and those that one token reads."""

    linear: int
    other: int
    active_linear: int


def count_parameters(config: dict[str, Any]) -> Parameters:
    """The model's weights; `CheckpointError` for families whose matrices have another shape."""
    architecture = architecture_of(config)
    text = text_config(config)
    if architecture in LATENT or "vision_config" in config:
        raise CheckpointError(
            f"the weights of {architecture} cannot be estimated from config.json; "
            "give the checkpoint folder"
        )
    hidden, layers = positive(text, "hidden_size"), positive(text, "num_hidden_layers")
    queries = positive(text, "num_attention_heads") * head_dim(text)
    attention = hidden * (2 * queries + 2 * kv_heads(text) * head_dim(text))
    matrices = 2 if architecture in UNGATED else 3
    experts, chosen = _experts(text)
    width = text.get("moe_intermediate_size") if experts > 1 else None
    expert = matrices * hidden * (width or positive(text, "intermediate_size"))
    router = hidden * experts if experts > 1 else 0
    embeddings = padded_vocabulary(text) * hidden * (1 if text.get("tie_word_embeddings") else 2)
    return Parameters(
        linear=layers * (attention + experts * expert),
        other=embeddings + layers * (2 * hidden + router) + hidden,
        active_linear=layers * (attention + chosen * expert),
    )


def _experts(text: dict[str, Any]) -> tuple[int, int]:
    for key in ("num_local_experts", "num_experts", "n_routed_experts"):
        if text.get(key):
            if text.get("shared_expert_intermediate_size"):
                raise CheckpointError("config.json: shared experts cannot be estimated")
            return positive(text, key), positive(text, "num_experts_per_tok")
    return 1, 1


def padded_vocabulary(text: dict[str, Any]) -> int:
    """The vocabulary as vLLM holds it: padded to a multiple of 64.

    Source: vLLM 0.32 `vocab_parallel_embedding.DEFAULT_VOCAB_PADDING_SIZE`.
    """
    return -(-positive(text, "vocab_size") // 64) * 64
