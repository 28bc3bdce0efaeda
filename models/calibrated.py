"""INT4 rounding that looks at activations (GPTQ, AWQ), done by the library `llmcompressor`.

An extra, because its pins of transformers and compressed-tensors differ from vLLM's: install it in
an environment of its own. Tried with llmcompressor 0.12.0.2.
"""

import shutil
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from models.errors import CheckpointError
from models.int4 import Int4Scheme

# What llmcompressor's own W4A16 examples use at most; longer lines are cut.
MAX_SEQUENCE_TOKENS = 2048


def compress(
    source: Path,
    out: Path,
    method: Literal["gptq", "awq"],
    scheme: Int4Scheme,
    texts: tuple[str, ...],
) -> None:
    """The INT4 checkpoint of `source` in the existing folder `out`, calibrated on `texts`.

    Raises: `CheckpointError` without the library, or without texts.
    """
    if not texts:
        raise CheckpointError(f"--method {method} needs --calibration FILE.jsonl with 'text' lines")
    try:
        datasets = import_module("datasets")
        llmcompressor = import_module("llmcompressor")
    except ImportError as error:
        raise CheckpointError(
            f"--method {method} needs the extra 'quantize' ({error.name} is missing): "
            "pip install 'smallfirst[quantize]' in an environment of its own"
        ) from error
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(source)
    rows = [tokenizer(text, truncation=True, max_length=MAX_SEQUENCE_TOKENS) for text in texts]
    data = datasets.Dataset.from_list([dict(row) for row in rows])
    written = out / "llmcompressor"
    llmcompressor.oneshot(
        model=str(source),
        dataset=data,
        recipe=_recipe(method, scheme),
        num_calibration_samples=len(texts),
        max_seq_length=MAX_SEQUENCE_TOKENS,
        output_dir=str(written),
    )
    for file in written.iterdir():
        file.rename(out / file.name)
    shutil.rmtree(written)


def _recipe(method: Literal["gptq", "awq"], scheme: Int4Scheme) -> list[Any]:
    quantization = import_module("llmcompressor.modifiers.quantization")
    groups = scheme.quantization_config(ignore=[])["config_groups"]
    common: dict[str, Any] = {"config_groups": groups, "ignore": ["lm_head"]}
    if method == "gptq":
        return [quantization.GPTQModifier(**common)]
    awq = import_module("llmcompressor.modifiers.transform.awq")
    return [awq.AWQModifier(duo_scaling="both"), quantization.QuantizationModifier(**common)]
