"""How many weights a model has, from `config.json` alone, for planning before a download.

Counts what vLLM allocates for the decoder families of `kv_layout`: attention, MLPs, experts,
embeddings, norms and biases. `tests/e2e/test_architecture_truth.py` compares the two.
"""

from typing import Any, NamedTuple

from models.errors import CheckpointError
from models.kv_layout import LATENT, architecture_of, head_dim, kv_heads, positive, text_config
from models.linear_layers import (
    SPARSE,
    LinearLayer,
    expert_width,
    experts_of,
    is_sparse,
    linear_layers,
)

# Weights of the last norm for each hidden element: a bias beside the weight, or neither.
LAST_NORM = {"PhiForCausalLM": 2, "StableLmForCausalLM": 2, "OlmoForCausalLM": 0}


class Parameters(NamedTuple):
    """Weights by what quantisation does to them, and those that one token reads."""

    layers: tuple[LinearLayer, ...]
    other: int
    # Of a layer's experts, what one token uses; 1 without experts.
    expert_fraction: float = 1.0

    @property
    def linear(self) -> int:
        """Weights that quantisation may round."""
        return sum(layer.weights * layer.copies for layer in self.layers)

    @property
    def active_linear(self) -> int:
        """Those of them that one token reads."""
        return sum(layer.weights * layer.active_copies for layer in self.layers)


def count_parameters(config: dict[str, Any]) -> Parameters:
    """The model's weights; `CheckpointError` for families whose matrices have another shape."""
    architecture = architecture_of(config)
    text = text_config(config)
    hidden, layers = positive(text, "hidden_size"), positive(text, "num_hidden_layers")
    small = _norms_and_biases(architecture, text)
    norm = hidden * LAST_NORM.get(architecture, 1)
    embeddings = padded_vocabulary(text) * hidden * (1 if text.get("tie_word_embeddings") else 2)
    router, expert_fraction = 0, 1.0
    if architecture in SPARSE:
        experts, chosen = experts_of(architecture, text)
        router, expert_fraction = _routers(architecture, text, experts), chosen / experts
    return Parameters(
        layers=tuple(linear_layers(config)),
        other=embeddings + layers * small + norm + router + _vision(config, hidden),
        expert_fraction=expert_fraction,
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


def _routers(architecture: str, text: dict[str, Any], experts: int) -> int:
    """What chooses among the experts, in all layers that have them."""
    hidden = positive(text, "hidden_size")
    router = hidden * experts + hidden * ("shared_expert_intermediate_size" in text)
    if architecture == "GptOssForCausalLM":
        router += experts * (1 + 2 * expert_width(text) + hidden)  # biases of router and experts
    return router * sum(is_sparse(text, n) for n in range(positive(text, "num_hidden_layers")))


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
