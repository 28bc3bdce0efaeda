"""A Hugging Face checkpoint to a W4A16 compressed-tensors checkpoint that vLLM serves.

Works in a folder beside the output and renames it at the end. Each decoder layer is one output
file, written when it is complete, so that an interrupted run goes on where it stopped.
"""

import json
import shutil
import sys
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from models.calibrated import Calibration, compress
from models.checkpoint import read_checkpoint
from models.config_file import read_config
from models.errors import CheckpointError
from models.evaluation import Quality, evaluate
from models.int4 import Int4Scheme, packed_tensors, quantise
from models.kv_layout import PLAIN, architecture_of
from models.linear_layers import SPARSE, linear_layers
from models.safetensors_header import read_header
from models.sealed_folder import seal, sha256_of
from models.text_lines import TextLines
from models.weight_files import transformers_files
from models.weight_scheme import quantization_of

Method = Literal["rtn", "gptq", "awq"]
OnStep = Callable[[str, float], None]
# vLLM's GPU kernel for INT4 (Marlin) takes these (vLLM 0.32 `MARLIN_SUPPORTED_GROUP_SIZES`).
GROUP_SIZES = (128, 64, 32)
# Each is rounded and loaded in vLLM by tests/e2e/test_quantised_families.py. Left out is the class
# of Gemma 3 that has images, also where its config does not name them.
ROUNDED = PLAIN - SPARSE - {"Gemma3ForConditionalGeneration"}
# What else a checkpoint is served by: settings, and tokenizers in their several formats. No code.
SETTINGS = (".json", ".txt", ".model", ".jinja", ".bpe", ".tiktoken")
# The file being written; its name ends in nothing that is loaded.
PARTIAL = "partial.tmp"


@dataclass(frozen=True, slots=True)
class Settings:
    """What decides the output; a run with other settings starts from the beginning."""

    method: Method = "rtn"
    group_size: int | None = None  # None: the largest of GROUP_SIZES that divides every matrix
    symmetric: bool = False
    calibration: tuple[str, ...] = ()
    max_regression: float | None = None
    # Where llmcompressor is installed; decides nothing of the output.
    python: Path = Path(sys.executable)


@dataclass(frozen=True, slots=True)
class Result:
    """Sizes in bytes as vLLM loads them, and the quality where it was measured."""

    before_bytes: int
    after_bytes: int
    before: Quality | None
    after: Quality | None


def quantise_checkpoint(
    source: Path, out: Path, settings: Settings, lines: TextLines | None, on_step: OnStep
) -> Result:
    """Write the INT4 checkpoint to `out`, complete or not at all.

    Raises: `CheckpointError` if the source cannot be quantised, `out` is taken, the disk is full,
    or the model lost more than `max_regression`.
    """
    before_bytes = read_checkpoint(source).weights_bytes
    scheme = scheme_for(source, settings)
    if out.exists():
        raise CheckpointError(f"{out} is already there; remove it or choose another --out")
    work = out.parent / f".{out.name}.quantising"
    try:
        facts = _resume(source, work, settings, on_step)
        if settings.method == "rtn":
            _round_layers(source, work, scheme, on_step)
            _copy_rest(source, work, scheme)
        else:
            calibration = Calibration(settings.method, settings.calibration, settings.python)
            try:
                compress(source, work, scheme, calibration, on_step)
            except CheckpointError:
                shutil.rmtree(work)  # the library cannot go on where it stopped
                raise
        before, after = _compare(source, work, lines, on_step)
        _refuse_regression(before, after, settings.max_regression, work)
        quality = {"before": before and asdict(before), "after": after and asdict(after)}
        (work / "progress.json").unlink()
        seal(work, facts | {"quality": quality})
        work.rename(out)
    except (OSError, SafetensorError) as error:
        # A full disk is an error of its own kind when safetensors meets it.
        with suppress(OSError):  # nor may there be a folder to tidy
            (work / PARTIAL).unlink()
        raise CheckpointError(f"cannot write {work}: {error}") from error
    on_step("done", 1.0)
    return Result(before_bytes, read_checkpoint(out).weights_bytes, before, after)


def scheme_for(source: Path, settings: Settings) -> Int4Scheme:
    """The rounding, with a group size that divides the inputs of every projection."""
    config = read_config(source / "config.json")
    if quantization_of(config) is not None:
        raise CheckpointError(f"{source.name} is quantised already")
    stored = _matrices(source)
    chosen = projections(config) & set(stored)
    if not chosen:
        raise CheckpointError(f"{source.name}: no projection of its architecture is in its files")
    widths = {stored[name] for name in chosen}
    sizes = (settings.group_size,) if settings.group_size else GROUP_SIZES
    for size in sizes:
        if all(width % size == 0 for width in widths):
            return Int4Scheme(size, settings.symmetric)
    raise CheckpointError(f"no group size of {sizes} divides the inputs {sorted(widths)}")


def projections(config: dict[str, Any]) -> frozenset[str]:
    """The weights that are rounded: every matrix of attention and MLP, by its name.

    Raises: `CheckpointError` for models whose matrices are stored in another way.
    """
    architecture = architecture_of(config)
    if architecture not in ROUNDED or "vision_config" in config:
        raise CheckpointError(
            f"{architecture} is not rounded here, only decoders without experts and images; take "
            "a published INT4 checkpoint"
        )
    return frozenset(f"{layer.name}.weight" for layer in linear_layers(config))


def _matrices(source: Path) -> dict[str, int]:
    """The 2-D weights of the source and the length of their rows."""
    return {
        name: tensor.shape[1]
        for file in transformers_files(source)
        for name, tensor in read_header(file).items()
        if name.endswith(".weight") and len(tensor.shape) == 2
    }


def _left_alone(source: Path, rounded: frozenset[str]) -> list[str]:
    """The modules that vLLM must not take for rounded: its `ignore`, each by name."""
    layers = {name for name in _matrices(source) if ".layers." in name} - rounded
    return ["lm_head", *sorted(name.removesuffix(".weight") for name in layers)]


def _resume(source: Path, work: Path, settings: Settings, on_step: OnStep) -> dict[str, Any]:
    """The work folder, emptied unless it was made from the same source with the same settings."""
    on_step("hashing the source", 0.0)
    files = sorted([*transformers_files(source), source / "config.json"])
    chosen = asdict(settings)
    del chosen["python"]
    chosen["calibration"] = sha256("\0".join(settings.calibration).encode()).hexdigest()
    facts = {"source": {file.name: sha256_of(file) for file in files}, "settings": chosen}
    progress = work / "progress.json"
    if not progress.exists() or read_config(progress) != json.loads(json.dumps(facts)):
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        progress.write_text(json.dumps(facts))
    return facts


def _round_layers(source: Path, work: Path, scheme: Int4Scheme, on_step: OnStep) -> None:
    """One output file for each decoder layer, and one for the rest; finished ones are kept."""
    rounded = projections(read_config(source / "config.json"))
    parts: dict[str, dict[str, Path]] = defaultdict(dict)
    for file in transformers_files(source):
        for name in read_header(file):
            parts[_part(name)][name] = file
    for done, (part, names) in enumerate(sorted(parts.items())):
        on_step(f"rounding {part}", 0.05 + 0.75 * done / len(parts))
        target = work / f"model-{part}.safetensors"
        if not target.exists():
            partial = work / PARTIAL
            save_file(_rounded(names, rounded, scheme), partial, metadata={"format": "pt"})
            partial.chmod(0o644)
            partial.rename(target)


def _part(name: str) -> str:
    words = name.split(".")
    return f"layer-{int(words[words.index('layers') + 1]):05}" if "layers" in words else "rest"


def _rounded(
    names: dict[str, Path], rounded: frozenset[str], scheme: Int4Scheme
) -> dict[str, torch.Tensor]:
    tensors: dict[str, torch.Tensor] = {}
    for name, file in names.items():
        with safe_open(file, framework="pt") as stored:
            tensor = stored.get_tensor(name)
        if name in rounded:
            if not tensor.float().isfinite().all():
                raise CheckpointError(
                    f"{file.name}: {name!r} holds NaN or infinity, of which no rounding is left; "
                    "take the checkpoint anew"
                )
            weight = quantise(tensor, scheme)
            tensors |= packed_tensors(name.removesuffix(".weight"), weight, scheme)
        else:
            tensors[name] = tensor
    return tensors


def _copy_rest(source: Path, work: Path, scheme: Int4Scheme) -> None:
    """Tokenizer and settings as they are, `config.json` with the rounding, and the index."""
    for file in source.iterdir():
        if file.suffix in SETTINGS and "index" not in file.name:
            shutil.copyfile(file, work / file.name)
    (work / "manifest.json").unlink(missing_ok=True)
    config = read_config(source / "config.json")
    ignore = _left_alone(source, projections(config))
    rounding = {"quantization_config": scheme.quantization_config(ignore)}
    (work / "config.json").write_text(json.dumps(config | rounding, indent=1) + "\n")
    weight_map = {
        name: file.name for file in sorted(work.glob("*.safetensors")) for name in read_header(file)
    }
    total = sum((work / name).stat().st_size for name in set(weight_map.values()))
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (work / "model.safetensors.index.json").write_text(json.dumps(index, indent=1) + "\n")


def _compare(
    source: Path, work: Path, lines: TextLines | None, on_step: OnStep
) -> tuple[Quality | None, Quality | None]:
    if lines is None:
        return None, None
    before = evaluate(source, lines, lambda part: on_step("evaluating before", 0.8 + 0.1 * part))
    after = evaluate(work, lines, lambda part: on_step("evaluating after", 0.9 + 0.1 * part))
    return before, after


def _refuse_regression(
    before: Quality | None, after: Quality | None, most: float | None, work: Path
) -> None:
    if most is None or before is None or after is None or after.regression(before) <= most:
        return
    shutil.rmtree(work)
    raise CheckpointError(
        f"not written: the INT4 model lost {after.regression(before):.1%}, more than "
        f"--max-regression {most:.1%} ({before} to {after}); try --method awq or --group-size 32"
    )
