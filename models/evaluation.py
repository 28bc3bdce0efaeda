"""How good a checkpoint still is: perplexity of texts and accuracy on questions.

Runs the unquantised architecture in transformers; INT4 weights are put in as the numbers they stand
for, so that before and after differ by the rounding alone.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from models.config_file import read_config
from models.errors import CheckpointError
from models.int4 import unpacked_weight
from models.text_lines import Question, TextLines
from models.weight_files import transformers_files

# Longer texts are cut: perplexity at this length already tells roundings apart.
MAX_TEXT_TOKENS = 2048
# Up to this many parameters the forward pass is in float32, so that rounding is all that differs.
FLOAT32_PARAMETERS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Quality:
    """Perplexity of the texts and fraction of right answers; None where there were none."""

    perplexity: float | None
    accuracy: float | None

    def __str__(self) -> str:
        parts = (("perplexity", self.perplexity), ("accuracy", self.accuracy))
        return ", ".join(f"{name} {value:.3g}" for name, value in parts if value is not None)

    def regression(self, before: "Quality") -> float:
        """The larger loss against `before`: perplexity as a fraction, accuracy in points / 100."""
        losses = [0.0]
        if self.perplexity is not None and before.perplexity is not None:
            losses.append(self.perplexity / before.perplexity - 1)
        if self.accuracy is not None and before.accuracy is not None:
            losses.append(before.accuracy - self.accuracy)
        return max(losses)


def evaluate(folder: Path, lines: TextLines, on_done: Callable[[float], None]) -> Quality:
    """The quality of the checkpoint in `folder`; `on_done` gets the finished fraction.

    Raises: `CheckpointError` if transformers cannot run the model or has no tokenizer for it.
    """
    try:
        model, tokenizer = load_model(folder)
    except CheckpointError as error:
        raise CheckpointError(f"cannot evaluate {folder.name}: {error}") from error
    except (OSError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(f"cannot evaluate {folder.name}: {reason}") from error
    total = len(lines.texts) + len(lines.questions)
    log_likelihood = tokens = right = 0.0
    with torch.inference_mode():
        for done, text in enumerate(lines.texts):
            ids = tokenizer(text, return_tensors="pt").input_ids[:, :MAX_TEXT_TOKENS]
            log_likelihood += float(_token_log_likelihoods(model, ids).sum())
            tokens += ids.shape[1] - 1
            on_done((done + 1) / total)
        for done, question in enumerate(lines.questions):
            right += _chosen(model, tokenizer, question) == question.answer
            on_done((len(lines.texts) + done + 1) / total)
    return Quality(
        perplexity=math.exp(-log_likelihood / tokens) if tokens else None,
        accuracy=right / len(lines.questions) if lines.questions else None,
    )


def load_model(folder: Path) -> tuple[Any, Any]:
    """The model in evaluation mode, INT4 weights as floating-point numbers, and its tokenizer."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.set_verbosity_error()
    quantised = "quantization_config" in read_config(folder / "config.json")
    config = AutoConfig.from_pretrained(folder)
    if quantised:
        del config.quantization_config
    tensors: dict[str, torch.Tensor] = {}
    for file in transformers_files(folder):
        tensors |= load_file(file)
    tensors = unpack_all(tensors)
    elements = sum(tensor.numel() for tensor in tensors.values())
    dtype = torch.float32 if elements <= FLOAT32_PARAMETERS else torch.bfloat16
    model = AutoModelForCausalLM.from_config(config, dtype=dtype)
    load_weights(model, tensors)
    return model.eval(), AutoTokenizer.from_pretrained(folder)


def load_weights(model: Any, tensors: dict[str, torch.Tensor]) -> None:
    """Put the tensors in, all of them and nothing less: a weight left out would stay random."""
    result = model.load_state_dict(tensors, strict=False)
    model.tie_weights()
    tied = {name for name, _ in model.named_parameters(remove_duplicate=False)} - {
        name for name, _ in model.named_parameters()
    }
    unused = [name for name in result.unexpected_keys if not name.endswith("rotary_emb.inv_freq")]
    missing = [name for name in result.missing_keys if name not in tied]
    for kind, names in (("without", missing), ("that does not take", unused)):
        if names:
            raise CheckpointError(
                f"{type(model).__name__} {kind} {names[0]!r} and {len(names) - 1} more: the model "
                "cannot be judged by these weights"
            )


def unpack_all(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors with every packed weight replaced by the matrix it stands for."""
    plain = {}
    for name, tensor in tensors.items():
        module, _, kind = name.rpartition(".")
        if kind == "weight_packed":
            plain[f"{module}.weight"] = unpacked_weight(module, tensors).dequantise()
        elif not kind.startswith("weight_"):
            plain[name] = tensor
    return plain


def _token_log_likelihoods(model: Any, ids: torch.Tensor) -> torch.Tensor:
    """Log-likelihood of each token after the first."""
    logits = model(ids).logits[0, :-1].float()
    return logits.log_softmax(-1).gather(1, ids[0, 1:, None])[:, 0]


def _chosen(model: Any, tokenizer: Any, question: Question) -> int:
    """The choice with the highest log-likelihood per token after the prompt, as chat if it can."""
    if tokenizer.chat_template:
        messages = [{"role": "user", "content": question.prompt}]
        prompt = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    else:
        prompt = question.prompt + " "
    start = tokenizer(prompt, return_tensors="pt", add_special_tokens=False).input_ids
    scores = []
    for choice in question.choices:
        end = tokenizer(choice, return_tensors="pt", add_special_tokens=False).input_ids
        both = torch.cat([start, end], dim=1)
        scores.append(float(_token_log_likelihoods(model, both)[-end.shape[1] :].mean()))
    return scores.index(max(scores))
