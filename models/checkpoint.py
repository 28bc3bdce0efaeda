"""What a checkpoint needs in memory: the facts that packing is computed from.

Reads `config.json` and the headers of the safetensors files; never a weight.
"""

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.config_file import read_config
from models.config_types import check_types
from models.errors import CheckpointError
from models.kv_layout import (
    AttentionLayers,
    attention_layers,
    positive,
    split_projection_bytes,
    text_config,
)
from models.parameter_count import Parameters, count_parameters, padded_vocabulary
from models.safetensors_header import TensorFacts, read_header
from models.weight_files import (
    INDEX,
    MISTRAL,
    MISTRAL_INDEX,
    loaded_files,
    weight_map,
    why_no_weights,
)
from models.weight_scheme import Scheme, linear_bytes, quantization_of

ELEMENT_BYTES = {"bfloat16": 2, "float16": 2, "float32": 2, "fp8": 1}
# Embeddings in the layout of transformers and in Mistral's: held with a padded vocabulary.
VOCABULARY = (
    "embed_tokens.weight", "lm_head.weight", "tok_embeddings.weight", "output.weight",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class CheckpointFacts:
    """One model as the packing arithmetic sees it."""

    name: str
    weights_bytes: int
    # False: read from the weights' headers. True: counted from config.json, biases left out.
    estimated: bool
    # What a decode step of one token reads; less than all only for experts that it does not use.
    active_weights_bytes: int
    # Of a layer's experts, what one token uses; 1 without experts.
    expert_fraction: float
    parameters: int
    kv_layers: tuple[AttentionLayers, ...]
    hidden_size: int
    intermediate_size: int
    vocab_size: int
    max_context_tokens: int
    kv_dtype: str
    # What the engine makes beside the weights: LoRA slots, and MLA's projection once more.
    beside_bytes: int

    @property
    def kv_bytes_per_token(self) -> int:
        """KV cache of one token in all layers, windows not yet reached."""
        return sum(kind.layers * kind.bytes_per_token for kind in self.kv_layers)


def read_checkpoint(
    path: Path, kv_dtype: str = "auto", as_if: Scheme | None = None
) -> CheckpointFacts:
    """The facts of a model folder, or of a lone `config.json` (then estimated).

    `kv_dtype`: `auto` (the model's own) or `fp8`. `as_if`: estimate the weights as if every layer's
    matrices were stored like this, whatever the checkpoint says.
    Raises: `CheckpointError`, one line that names the file or key.
    """
    config_path = path / "config.json" if path.is_dir() else path
    config = read_config(config_path)
    check_types(config)
    text = text_config(config)
    folder = config_path.parent
    weights_files = loaded_files(folder) if path.is_dir() else []
    if path.is_dir() and not weights_files and not as_if:
        raise CheckpointError(why_no_weights(path))
    counted = _count_or_none(config)
    if weights_files and not as_if:
        weights_bytes, elements = stored_weights(folder, weights_files, config)
    else:
        counted = counted or count_parameters(config)
        weights_bytes = _estimated_bytes(config, counted, as_if)
    if counted is not None:
        # Stored, several of them may share an element, in as many ways as there are methods.
        elements = counted.linear + counted.other
    return CheckpointFacts(
        name=path.resolve().name if path.is_dir() else folder.resolve().name,
        weights_bytes=weights_bytes,
        estimated=as_if is not None or not weights_files,
        active_weights_bytes=_active_bytes(weights_bytes, counted),
        expert_fraction=counted.expert_fraction if counted else 1.0,
        parameters=elements,
        kv_layers=attention_layers(config, _kv_element_bytes(config, kv_dtype)),
        hidden_size=positive(text, "hidden_size"),
        intermediate_size=positive(text, "intermediate_size"),
        vocab_size=positive(text, "vocab_size"),
        max_context_tokens=positive(text, "max_position_embeddings"),
        kv_dtype=kv_dtype,
        beside_bytes=split_projection_bytes(config),
    )


def stored_weights(folder: Path, files: list[Path], config: dict[str, Any]) -> tuple[int, int]:
    """Bytes that vLLM loads from the files, and the number of stored weights.

    A name that two shards repeat counts once, tied output embeddings count once, what vLLM skips
    not at all, float32 weights as the 16 bits vLLM casts them to,
    and the vocabulary as padded.
    """
    tensors: dict[str, TensorFacts] = {}
    for file in files:
        tensors |= read_header(file)
    _check_index(folder, files, set(tensors))
    _refuse_adapters(folder, tensors)
    text = text_config(config)
    tied = bool(text.get("tie_word_embeddings"))
    padding = padded_vocabulary(text) - positive(text, "vocab_size")
    total = elements = 0
    layers = positive(text, "num_hidden_layers")
    for name, tensor in tensors.items():
        if _is_not_loaded(name, layers, tied):
            continue
        total += _loaded_bytes(name, tensor)
        if not name.endswith(("scale", "scales", "zero_point", "qzeros", "g_idx", "scale_inv")):
            packed = 8 if name.endswith(("weight_packed", "qweight")) else 1
            elements += math.prod(tensor.shape) * packed
        if padding and _ends_in(name, VOCABULARY):
            total += padding * tensor.shape[-1] * 2
    return total, elements


def _check_index(folder: Path, files: list[Path], names: set[str]) -> None:
    """Every tensor that the index names must be in some file: a missing shard is an error."""
    index = folder / (MISTRAL_INDEX if files[0].match(MISTRAL) else INDEX)
    if index.exists() and (missing := sorted(set(weight_map(index)) - names)):
        raise CheckpointError(
            f"{folder.name}: {len(missing)} tensors of the index are in no file, first "
            f"{missing[0]!r}; a shard is missing"
        )


def _refuse_adapters(folder: Path, tensors: dict[str, TensorFacts]) -> None:
    """vLLM takes every file for the model's own if no index says otherwise."""
    if found := next((name for name in tensors if ".lora_A." in name or ".lora_B." in name), None):
        raise CheckpointError(
            f"{folder.name}: {found!r} is a LoRA adapter's weight, which vLLM would load as the "
            "model's; keep the adapter in a folder of its own"
        )


def _ends_in(name: str, endings: tuple[str, ...]) -> bool:
    """Whether the name's last parts are one of `endings`."""
    return f".{name}".endswith(tuple(f".{ending}" for ending in endings))


def _is_not_loaded(name: str, layers: int, tied: bool) -> bool:
    """Notes of formats, tied heads, and layers past the last (DeepSeek's extra prediction)."""
    if name.endswith(("weight_shape", "rotary_emb.inv_freq")):
        return True
    layer = re.search(r"(?:^|\.)layers\.(\d+)\.", name)
    past = layer is not None and "vision" not in name and int(layer[1]) >= layers
    return past or (tied and _ends_in(name, ("lm_head.weight",)))


def _loaded_bytes(name: str, tensor: TensorFacts) -> int:
    if tensor.dtype == "F32" and name.endswith((".weight", ".bias")):
        return tensor.stored_bytes // 2
    return tensor.stored_bytes


def _estimated_bytes(config: dict[str, Any], counted: Parameters, as_if: Scheme | None) -> int:
    if as_if is not None:
        linear = sum(as_if.stored_bytes(layer.weights) * layer.copies for layer in counted.layers)
    else:
        linear = linear_bytes(config, counted.layers)
    return linear + 2 * counted.other


def _active_bytes(weights_bytes: int, counted: Parameters | None) -> int:
    if counted is None:
        return weights_bytes
    unused = counted.linear - counted.active_linear
    return weights_bytes - round(weights_bytes * unused / (counted.linear + counted.other))


def _count_or_none(config: dict[str, Any]) -> Parameters | None:
    try:
        return count_parameters(config)
    except CheckpointError:
        return None


def _kv_element_bytes(config: dict[str, Any], kv_dtype: str) -> int:
    text = text_config(config)
    name = text.get("dtype") or text.get("torch_dtype") or "bfloat16"
    name = "fp8" if kv_dtype == "fp8" else name
    if kv_dtype not in ("auto", "fp8") or name not in ELEMENT_BYTES:
        raise CheckpointError(f"KV cache type {kv_dtype!r} of a {name!r} model: use auto or fp8")
    quantization = quantization_of(config) or {}
    nested = quantization.get("quantization")
    # vLLM follows these under `auto` (vLLM 0.32 `get_kv_cache_quant_algo_string`, `Attention`).
    for part in (quantization, nested if isinstance(nested, dict) else {}):
        for key in ("kv_cache_scheme", "kv_cache_quant_algo"):
            if part.get(key) and kv_dtype == "auto":
                raise CheckpointError(
                    f"config.json: {key!r} sets the KV cache type; if that is 8 bits, give "
                    "--kv-dtype fp8"
                )
    return ELEMENT_BYTES[name]
