"""The encoder's logits on CPUs with and without VNNI: `python -m bench.classifier.cpus`.

Emulated, so that one machine shows both. Where VNNI is missing, onnxruntime adds two neighbouring
products of an unsigned activation and a signed weight in 16 bits and clips (`vpmaddubsw`); with it
nothing clips. Everything else of the graph is ONNX's reference implementation, twice the same.
``--encoder`` judges another graph at the shipped calibration: an eight-bit one differs.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import version_converter
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

from bench.classifier.everyday import families
from bench.classifier.results import save
from classifier import THRESHOLD
from classifier.artifact import SHIPPED
from classifier.calibration import Floats
from classifier.classifier import load
from classifier.text import flatten
from classifier.tokens import open_tokenizer, token_ids

Integers = NDArray[np.int32]
#: Prompts of each kind; emulating one takes about two seconds.
_PROMPTS = 30
#: The first whose operators the reference implementation has.
_OPSET = 19
_INT16 = np.iinfo(np.int16)


def pairs_clipped(a: NDArray[np.uint8], b: NDArray[np.int8]) -> Integers:
    """Return ``a @ b`` as a core without VNNI adds it up: each two products clipped to 16 bits."""
    total = np.zeros((*a.shape[:-1], b.shape[-1]), np.int32)
    wide_a, wide_b = a.astype(np.int32), b.astype(np.int32)
    for k in range(0, b.shape[0], 2):
        pair = wide_a[..., k : k + 2] @ wide_b[k : k + 2]
        total += np.clip(pair, _INT16.min, _INT16.max)
    return total


class MatMulInteger(OpRun):
    """ONNX's operator on a core without VNNI; zero points are taken off after the product."""

    def _run(
        self, a: NDArray[np.uint8], b: NDArray[np.int8], zero_a: NDArray[np.uint8], _zero_b: object
    ) -> tuple[Integers]:
        offset = zero_a.astype(np.int32) * b.astype(np.int32).sum(0)
        return (pairs_clipped(a, b) - offset,)


def emulated(graph: bytes, texts: Sequence[str], clipped: bool) -> Floats:
    """Return the logits [texts, 2] as a CPU of that kind computes them."""
    model = version_converter.convert_version(onnx.load_from_string(graph), _OPSET)
    run = ReferenceEvaluator(model, new_ops=[MatMulInteger] if clipped else None)
    ids = token_ids(open_tokenizer((SHIPPED / "tokenizer.json").read_bytes()), texts)
    rows: list[Floats] = []
    for row in ids:
        given = {"ids": np.array([row]), "mask": np.ones((1, len(row)), np.int64)}
        rows.append(np.asarray(run.run(None, given)[0], np.float64))  # type: ignore[index]
    return np.concatenate(rows)


def main() -> None:
    """Write ``results/cpus.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--encoder", type=Path, default=SHIPPED / "encoder.onnx")
    graph = parser.parse_args().encoder.read_bytes()
    rng = np.random.default_rng(0)
    prompts = []
    for found in families().values():
        kind = [text for texts in found.values() for text in texts]
        prompts += [kind[i] for i in rng.permutation(len(kind))[:_PROMPTS]]
    texts = [flatten(prompt) for prompt in prompts]
    classifier = load()
    both, complexity = [], []
    for clipped in (False, True):
        both.append(emulated(graph, texts, clipped))
        small, large = (h.apply(both[-1][:, i]) for i, h in enumerate(classifier.headed.heads))
        complexity.append(classifier.map.apply(large - small))
    save(
        "cpus",
        {
            "artifact_id": classifier.artifact_id,
            "prompts": len(texts),
            "logits_moved_at_most": float(np.abs(both[0] - both[1]).max()),
            "complexity_moved_at_most": float(np.abs(complexity[0] - complexity[1]).max()),
            "routes_changed": int(
                np.sum((complexity[0] < THRESHOLD) != (complexity[1] < THRESHOLD))
            ),
        },
    )


if __name__ == "__main__":
    main()
