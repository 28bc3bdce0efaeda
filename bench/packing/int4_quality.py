"""What rounding the default model to INT4 costs: perplexity, divergence, accuracy.

    python -m bench.packing.int4_quality [--model FOLDER] [--write]

Every row rounds the same weights (SmolLM2's, read from the Q4_1 file) and is compared with them
unrounded. KL is the mean divergence of the next-token distribution, the least noisy figure of the
three; "same token" is how often the most likely token stays the same.
"""

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from models import int4
from models.default_model import ensure
from models.evaluation import load_model
from models.int4 import Int4Scheme, quantise
from models.quantise import projections
from models.text_lines import DEFAULT_EVALUATION, read_text_lines

RESULTS = Path(__file__).parent / "results" / "int4_quality.json"
SCHEMES = [Int4Scheme(group, symmetric) for group in (32, 64) for symmetric in (True, False)]


def log_probabilities(model: Any, tokens: list[torch.Tensor]) -> torch.Tensor:
    """Next-token log-probabilities of every text, one row for each token."""
    with torch.inference_mode():
        rows = [model(ids).logits[0, :-1].log_softmax(-1) for ids in tokens]
    return torch.cat(rows)


def compared(now: torch.Tensor, reference: torch.Tensor, targets: torch.Tensor) -> dict[str, float]:
    """Perplexity of `now`, and its distance from the reference."""
    likelihood = now.gather(1, targets[:, None])
    divergence = (reference.exp() * (reference - now)).sum(-1)
    return {
        "perplexity": float((-likelihood.mean()).exp()),
        "kl": float(divergence.mean()),
        "same_token": float((now.argmax(-1) == reference.argmax(-1)).float().mean()),
    }


def measure(model: Any, tokens: list[torch.Tensor]) -> list[dict[str, Any]]:
    """One row for each scheme, plain min-max and searched, and one unrounded."""
    chosen = projections(model.config.to_dict())
    original = {name: value.clone() for name, value in model.state_dict().items() if name in chosen}
    targets = torch.cat([ids[0, 1:] for ids in tokens])
    reference = log_probabilities(model, tokens)
    rows: list[dict[str, Any]] = [{"rounding": "none"} | compared(reference, reference, targets)]

    def add(name: str, change: Callable[[torch.Tensor], torch.Tensor]) -> None:
        rounded = {key: change(value) for key, value in original.items()}
        model.load_state_dict(rounded, strict=False)
        row = {"rounding": name} | compared(log_probabilities(model, tokens), reference, targets)
        print_row(row)
        rows.append(row)

    print_row(rows[0])
    searched = int4.SHRINKS
    for scheme in SCHEMES:
        name = f"{'symmetric' if scheme.symmetric else 'asymmetric'}, groups of {scheme.group_size}"
        for label, grid in (("min-max", ()), ("searched", searched)):
            int4.SHRINKS = grid
            add(f"{name}, {label}", lambda value, s=scheme: quantise(value, s).dequantise())  # type: ignore[misc]
    int4.SHRINKS = searched
    return rows


def print_row(row: dict[str, Any]) -> None:
    """One line of the table."""
    print(
        f"| {row['rounding']:36} | {row['perplexity']:7.2f} | {row['kl']:6.4f} "
        f"| {row['same_token']:6.1%} |",
        flush=True,
    )


def main() -> None:
    """Measure every scheme on the built-in texts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, help="unquantised checkpoint; the default model's")
    parser.add_argument("--write", action="store_true", help="keep the results beside this file")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as cache:
        folder = arguments.model or ensure(Path(cache), lambda *_: None).large
        model, tokenizer = load_model(folder)
    texts = read_text_lines(DEFAULT_EVALUATION).texts
    tokens = [tokenizer(text, return_tensors="pt").input_ids for text in texts]
    rows = measure(model, tokens)
    if arguments.write:
        RESULTS.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
