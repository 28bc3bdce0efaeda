"""Runs in the environment of `llmcompressor` as a script; imports nothing of this project.

Standard input: one JSON request. Tried with llmcompressor 0.12.0.2.
"""

import json
import sys
from importlib import import_module
from typing import Any

# Exit code that says: this Python has no llmcompressor.
MISSING_LIBRARY = 3
# What the library's own W4A16 examples use at most; longer lines are cut.
MAX_SEQUENCE_TOKENS = 2048


def main() -> int:
    """Write the checkpoint that the request asks for."""
    request = json.load(sys.stdin)
    try:
        llmcompressor = import_module("llmcompressor")
        datasets = import_module("datasets")
    except ImportError:
        return MISSING_LIBRARY
    tokenizer = import_module("transformers").AutoTokenizer.from_pretrained(request["model"])
    texts = request["texts"]
    rows = [tokenizer(text, truncation=True, max_length=MAX_SEQUENCE_TOKENS) for text in texts]
    llmcompressor.oneshot(
        model=request["model"],
        dataset=datasets.Dataset.from_list([dict(row) for row in rows]),
        recipe=_recipe(request["method"], request["config_groups"]),
        num_calibration_samples=len(texts),
        max_seq_length=MAX_SEQUENCE_TOKENS,
        output_dir=request["out"],
    )
    return 0


def _recipe(method: str, config_groups: dict[str, Any]) -> list[Any]:
    quantization = import_module("llmcompressor.modifiers.quantization")
    common: dict[str, Any] = {"config_groups": config_groups, "ignore": ["lm_head"]}
    if method == "gptq":
        return [quantization.GPTQModifier(**common)]
    awq = import_module("llmcompressor.modifiers.transform.awq")
    return [awq.AWQModifier(duo_scaling="both"), quantization.QuantizationModifier(**common)]


if __name__ == "__main__":
    sys.exit(main())
