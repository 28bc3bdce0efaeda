"""LoRA adapters beside their base model: what their slots take in an engine's memory."""

from pathlib import Path
from typing import Any, NamedTuple

from models.config_file import read_config
from models.errors import CheckpointError
from models.kv_layout import PLAIN, architecture_of, head_dim, kv_heads, positive, text_config
from models.linear_layers import SPARSE, UNGATED
from models.parameter_count import padded_vocabulary

# The ranks that vLLM allocates slots for (vLLM 0.32 `LoRAConfig.max_lora_rank`).
RANKS = (8, 16, 32, 64, 128, 256)


class AdapterSet(NamedTuple):
    """Adapters that one engine holds at once: a slot for each, all with the largest rank."""

    paths: dict[str, Path]
    rank: int
    slots_bytes: int


NO_ADAPTERS = AdapterSet({}, RANKS[0], 0)


def is_adapter(path: Path) -> bool:
    """Whether the folder holds a LoRA adapter and not a model."""
    return (path / "adapter_config.json").is_file()


def read_adapters(paths: list[Path], base: Path) -> AdapterSet:
    """The adapters on the base model (a folder or its `config.json`).

    Raises: `CheckpointError` for an adapter that is no LoRA or has a rank vLLM does not serve, and
    for a base whose slots are not understood.
    """
    if not paths:
        return NO_ADAPTERS
    wanted = max(_rank(path) for path in paths)
    rank = next(rank for rank in RANKS if rank >= wanted)
    config = read_config(base / "config.json" if base.is_dir() else base)
    names = {path.resolve().name: path for path in paths}
    if len(names) < len(paths):
        raise CheckpointError("two adapters have the same folder name, which is the served name")
    return AdapterSet(names, rank, len(paths) * slot_bytes(config, rank))


def _rank(path: Path) -> int:
    settings = read_config(path / "adapter_config.json")
    rank = settings.get("r")
    if settings.get("peft_type") != "LORA" or settings.get("use_dora"):
        raise CheckpointError(f"{path.name}: only plain LoRA adapters can be served")
    if isinstance(rank, bool) or not isinstance(rank, int) or not 1 <= rank <= RANKS[-1]:
        raise CheckpointError(f"{path.name}: 'r' must be from 1 to {RANKS[-1]}, got {rank!r}")
    return rank


def slot_bytes(config: dict[str, Any], rank: int) -> int:
    """Memory of one slot: both 16-bit factors for every projection and both embeddings.

    Allocated whatever the adapter changes. Source: vLLM 0.32 `lora/layers`, `create_lora_weights`.
    """
    architecture, text = architecture_of(config), text_config(config)
    if architecture not in PLAIN - SPARSE or "vision_config" in config:
        raise CheckpointError(f"LoRA slots of {architecture} cannot be planned; measure them")
    hidden, inner = positive(text, "hidden_size"), positive(text, "intermediate_size")
    queries = positive(text, "num_attention_heads") * head_dim(text)
    keys = kv_heads(text) * head_dim(text)
    attention = 2 * (hidden + queries) + 2 * (hidden + keys)
    mlp = (2 if architecture in UNGATED else 3) * (hidden + inner)
    embeddings = positive(text, "vocab_size") + padded_vocabulary(text) + 2 * hidden
    return 2 * rank * (positive(text, "num_hidden_layers") * (attention + mlp) + embeddings)
