"""Teaches the shipped heads short questions across domains: `... .teach_heads`.

The encoder stays as it is. Both heads learn the authored families of ``FOR_HEADS``, are told the
other authored hard prompts again, and are held to what they said before on a sample of the rows
that ``train_default`` trains on, so that nothing else moves. The threshold stays at the gain where
it was, or above it as far as sends the same prompts of the same traffic. Trained with the rest, the
same families cost other hard work: docs/decisions/0018-heads-learn-what-the-encoder-knows.md.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper
from scipy.optimize import minimize

from bench.classifier.datasets import bounded, hard, sample
from bench.classifier.train_default import FOR_HEADS, divide, hard_rows
from classifier.artifact import SHIPPED, Arrays, open_artifact, write_artifact
from classifier.calibration import ComplexityMap, Floats, sigmoid
from classifier.classifier import Classifier
from classifier.data.rows import Row, labels
from classifier.score import THRESHOLD
from classifier.text import flatten
from classifier.threshold.recalibrate import sight
from classifier.tokens import open_tokenizer, token_ids

#: The sentence vector in the graph, and the heads' weights in seven bits, their scales and biases.
_VECTOR, _WEIGHT, _BIAS = "/body/Div_output_0", "heads.weight_Transposed", "heads.bias"
_MOST = 64
#: Rows of each kind, weak and measured, that hold the heads to what they said.
_HELD_ROWS = 2_500
#: What a taught row weighs, of one that is held; a hard one twice that, and a hard one that was
#: trained on before. Chosen on ``everyday`` beside the families that choose (tradeoff, ledger).
TAUGHT_WEIGHT, KNOWN_HARD_WEIGHT = 0.05, 0.3
#: How strongly the change of the heads is kept small.
STRENGTH = 1.0


def vectors(graph: onnx.ModelProto, tokenizer: bytes, texts: Sequence[str]) -> Floats:
    """Return the encoder's sentence vectors [texts, 384]."""
    seen = onnx.ModelProto()
    seen.CopyFrom(graph)
    seen.graph.output.append(helper.make_tensor_value_info(_VECTOR, onnx.TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(
        seen.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    found = []
    for row in token_ids(open_tokenizer(tokenizer), [flatten(text) for text in texts]):
        given = {"ids": np.array([row]), "mask": np.ones((1, len(row)), np.int64)}
        found.append(session.run([_VECTOR], given)[0][0])
    return np.array(found, np.float64)


def heads(graph: onnx.ModelProto) -> tuple[Floats, Floats]:
    """Return the heads' weights [384, 2] and biases [2] as floats."""
    held = {t.name: numpy_helper.to_array(t) for t in graph.graph.initializer}
    weight = held[f"{_WEIGHT}_quantized"].astype(np.float64) * held[f"{_WEIGHT}_scale"]
    return weight, held[_BIAS].astype(np.float64)


def put_heads(graph: onnx.ModelProto, weight: Floats, bias: Floats) -> None:
    """Write the heads into the graph, in seven bits (docs/decisions/0015)."""
    scale = np.abs(weight).max(0) / _MOST
    new = {
        f"{_WEIGHT}_quantized": np.round(weight / scale).astype(np.int8),
        f"{_WEIGHT}_scale": scale.astype(np.float32),
        _BIAS: bias.astype(np.float32),
    }
    for tensor in graph.graph.initializer:
        if tensor.name in new:
            tensor.CopyFrom(numpy_helper.from_array(new[tensor.name], tensor.name))


def taught(x: Floats, target: Floats, weight: Floats, before: tuple[Floats, float]) -> Floats:
    """Return one head's new weights, its bias last: near the old ones, nearer to the targets."""
    start, bias = before
    shift, spread = x.mean(0), np.maximum(x.std(0), 1e-6)
    z = np.column_stack([(x - shift) / spread, np.ones(len(x))])
    offset = x @ start + bias

    def loss(change: Floats) -> tuple[float, Floats]:
        logit = offset + z @ change
        held = np.append(np.full(x.shape[1], STRENGTH), 0.0)
        value = (weight * (np.logaddexp(0.0, logit) - target * logit)).sum()
        slope = z.T @ (weight * (sigmoid(logit) - target))
        return float(value + (held * change**2).sum() / 2), slope + held * change

    change = minimize(loss, np.zeros(z.shape[1]), jac=True, method="L-BFGS-B").x
    moved = change[:-1] / spread
    return np.append(start + moved, bias + change[-1] - shift @ moved)


def lessons() -> list[Row]:
    """Return the rows that the heads learn, each with its weight."""
    taught = [row for row in bounded() + hard() if row.group in FOR_HEADS]
    of_kind = {"hard": 2 * TAUGHT_WEIGHT, "everyday": TAUGHT_WEIGHT}
    new = [replace(row, weight=of_kind[str(row.group).split("-")[0]]) for row in taught]
    return new + [replace(row, weight=KNOWN_HARD_WEIGHT) for row in hard_rows()]


def main() -> None:
    """Write the artefact, by default over the shipped one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=SHIPPED)
    out = parser.parse_args().out
    artifact = open_artifact(SHIPPED)
    if "heads_taught" in artifact.manifest["training"]:
        raise SystemExit("these heads were taught already; run train_default first")
    graph = onnx.load_from_string(artifact.read("encoder.onnx"))
    rows, traffic = divide(0)
    new, known = lessons(), [row for weak in (True, False) for row in _sample(rows, weak)]
    texts = [str(row.conversation) for row in known + new]
    x = vectors(graph, artifact.read("tokenizer.json"), texts)
    weight, bias = heads(graph)
    target = np.concatenate([sigmoid(x[: len(known)] @ weight + bias), labels(new)])
    counts = np.array([1.0] * len(known) + [row.weight for row in new])
    fitted = [taught(x, target[:, h], counts, (weight[:, h], bias[h])) for h in (0, 1)]
    put_heads(graph, np.stack([f[:-1] for f in fitted], 1), np.array([f[-1] for f in fitted]))
    files = {name: artifact.read(name) for name in artifact.manifest["files"]}
    manifest = {k: v for k, v in artifact.manifest.items() if k != "files"}
    note = {
        "families": sorted({str(row.group) for row in new} & FOR_HEADS),
        "weight": TAUGHT_WEIGHT,
        "known_hard_weight": KNOWN_HARD_WEIGHT,
        "strength": STRENGTH,
    }
    manifest["training"] = manifest["training"] | {"heads_taught": note}
    write_artifact(out, manifest, files | {"encoder.onnx": graph.SerializeToString()})
    print(*keep_threshold(Classifier(open_artifact(out), None), traffic, out))


def keep_threshold(classifier: Classifier, traffic: Sequence[str], out: Path) -> tuple[str, float]:
    """Write the strictest threshold that sends what the old gain sends; return id and share."""
    artifact, before, seen = classifier.artifact, classifier.map, sight(classifier, traffic)
    at = before.complexity.index(THRESHOLD)
    sent = seen.effective[seen.effective >= before.gain[at]]
    gains = (*before.gain[:at], float(sent.min()), *before.gain[at + 1 :])
    scores = ComplexityMap(gains, before.complexity).apply(seen.gain)
    rungs = dict(artifact.manifest["rungs"])
    rungs["neural"] = rungs["neural"] | {
        "map": [list(gains), list(before.complexity)],
        "reachable": [float(scores.min()), float(scores.max())],
    }
    files: dict[str, bytes | Arrays] = {
        name: artifact.read(name) for name in artifact.manifest["files"]
    }
    reference = artifact.arrays("reference.safetensors", {})
    kept = seen.traffic.arrays({"neural": scores})["neural"]
    files["reference.safetensors"] = dict(reference) | {"neural": kept}
    manifest = {k: v for k, v in artifact.manifest.items() if k != "files"}
    share = len(sent) / len(seen.effective)
    return write_artifact(out, manifest | {"rungs": rungs}, files), share


def _sample(rows: Sequence[Row], weak: bool) -> list[Row]:
    return sample([row for row in rows if row.weak == weak], _HELD_ROWS, 0)


if __name__ == "__main__":
    main()
