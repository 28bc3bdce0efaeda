"""Turns a training run into the artefact's files and manifest."""

import hashlib
import importlib.metadata
import platform
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.artifact import Arrays, write_artifact
from classifier.classifier import static_embedding
from classifier.familiarity import Familiarity, fit_familiarity
from classifier.judging.candidates import judge, oracle
from classifier.text import flatten
from classifier.threshold.traffic import Traffic
from classifier.training.base_weights import LICENCE, WEIGHTS_SHA256, WHEEL
from classifier.training.run import Trained

_LIBRARIES = ("numpy", "scikit-learn", "torch", "onnx", "onnxruntime", "tokenizers", "safetensors")


def write(trained: Trained, folder: Path, notes: Mapping[str, Any]) -> str:
    """Write the artefact of a run and return its id; ``notes`` join the manifest's ``training``.

    The lexical rung is always among the files: it serves where onnxruntime is missing.
    """
    data = trained.prepared
    texts, vectors = _traffic(trained)
    held_out = data.vectors[data.held_out]
    if trained.options.traffic is not None:
        held_out = np.concatenate([held_out, vectors])
    reference, quantiles = fit_familiarity(
        data.vectors[data.fit_on], held_out, trained.options.seed
    )
    familiarity = Familiarity(reference, quantiles)
    files: dict[str, bytes | Arrays] = {
        "tokenizer.json": data.base.read("tokenizer.json"),
        "static.safetensors": _static(trained),
    }
    sight = Traffic(vectors, familiarity(vectors), trained.options.unfamiliar)
    rungs, scores = {}, {}
    for name in dict.fromkeys([trained.chosen, "lexical"]):
        if name in trained.rungs:
            rung = trained.rungs[name]
            files |= trained.files[name]
            small, large = rung.probabilities(texts, vectors)
            entry, scores[name] = sight.fit(large - small, trained.options.budget)
            heads = [asdict(head) for head in rung.heads]
            rungs[name] = {"calibration": heads, "calibration_rows": len(data.held_out)} | entry
    files["reference.safetensors"] = {"reference": reference} | sight.arrays(scores)
    manifest = {
        "rungs": rungs,
        "serving": trained.chosen,
        "objective": trained.options.objective,
        "unfamiliar": {"policy": trained.options.unfamiliar, "quantiles": quantiles},
        "training": _training(trained) | dict(notes),
    }
    return write_artifact(folder, manifest, files)


def _static(trained: Trained) -> Arrays:
    shapes = {"table": (None, None), "scale": (None,)}
    return trained.prepared.base.arrays("static.safetensors", shapes)


def _traffic(trained: Trained) -> tuple[list[str], NDArray[np.float32]]:
    """Return texts and vectors of the traffic that sets the threshold, held-out rows otherwise."""
    data = trained.prepared
    if trained.options.traffic is None:
        return data.texts_at(data.held_out), data.vectors[data.held_out]
    embedding = static_embedding(data.base)
    texts = [flatten(c) for c in trained.options.traffic]
    return texts, np.stack([embedding.embed(t) for t in texts])


def _training(trained: Trained) -> dict[str, Any]:
    """Return how the model came about, without a single prompt in it."""
    data, test = trained.prepared, trained.outcomes
    rows = "\n".join(f"{t}\t{s}\t{lg}" for t, (s, lg) in zip(data.texts, data.labels, strict=True))
    parts = {"train": data.fit_on, "calibrate": data.calibrate_on, "test": data.test_on}
    return {
        "seed": trained.options.seed,
        "rows": {name: len(index) for name, index in parts.items()},
        "data_sha256": hashlib.sha256(rows.encode()).hexdigest(),
        "split_sha256": {
            name: hashlib.sha256(np.sort(index).astype("<i8").tobytes()).hexdigest()
            for name, index in parts.items()
        },
        "proven": trained.proven,
        "advantage": {name: list(pair) for name, pair in trained.advantage.items()},
        "ladder": {name: {"behind": b, "error": e} for name, (b, e) in trained.ladder.items()},
        "test": [
            judge(c, test, draws=100) for c in (trained.ours, *trained.baselines, oracle(test))
        ],
        "versions": {"python": platform.python_version()}
        | {name: importlib.metadata.version(name) for name in _LIBRARIES if _installed(name)},
        "base_weights": {"wheel": WHEEL, "sha256": WEIGHTS_SHA256, "licence": LICENCE},
        "trained_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
