"""Beside the routers a user would pick: `python -m bench.classifier.side_by_side --help`.

Same prompts, same machine, same run. Quality: RouteLLM's MMLU, the split of `routellm` (1,500
labels, the rest judged); what needs labels gets the same 1,500. Defaults: the families that our
default never saw, at each router's own threshold. Each router runs in a venv of its own:

    python -m venv V; V/bin/pip install litellm==1.109.1
    python -m venv W; W/bin/pip install semantic-router==1.1.1 onnxruntime tokenizers

RouteLLM 0.2.0 cannot join: its BERT and causal routers load from the Hugging Face hub, matrix
factorisation and similarity ranking need OpenAI's embeddings of every prompt besides.
"""

import argparse
import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.classifier.datasets import mmlu
from bench.classifier.everyday import families
from bench.classifier.results import FOLDER, save
from bench.classifier.routellm import figures, split
from classifier import THRESHOLD, load
from classifier.artifact import SHIPPED, open_artifact
from classifier.calibration import sigmoid
from classifier.classifier import static_embedding
from classifier.data.rows import labels
from classifier.headed import Rung
from classifier.lexical import Lexical
from classifier.neural import Neural
from classifier.text import flatten
from classifier.training import fit_lexical, fit_neural
from classifier.training.minilm import load_minilm
from classifier.training.recipe import Recipe

_TIMED = 200
#: MMLU rows judged at most: a router of 30 ms a prompt then takes a minute.
_JUDGED = 2_000
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Task:
    """The labelled prompts, the judged ones with their outcomes, the kinds of everyday prompts."""

    train: list[str]
    train_outcome: Floats
    test: list[str]
    outcome: Floats
    kinds: dict[str, list[str]]


def task() -> Task:
    """Return the prompts of every router."""
    rows = mmlu()
    prompts, outcome = [str(row.conversation) for row in rows], labels(rows)
    shown, hidden = split(rows, 0, by_subject=False)
    hidden = hidden[:_JUDGED]
    kinds = {
        kind: [text for family in found.values() for text in family]
        for kind, found in families().items()
    }
    return Task(
        [prompts[i] for i in shown],
        outcome[shown],
        [prompts[i] for i in hidden],
        outcome[hidden],
        kinds,
    )


def timed(score: Callable[[str], object], prompts: list[str]) -> list[float]:
    """Return milliseconds of each prompt, wall time."""
    ms = []
    for prompt in prompts:
        started = time.perf_counter()
        score(prompt)
        ms.append(1e3 * (time.perf_counter() - started))
    return ms


def ours(given: Task) -> dict[str, dict[str, object]]:
    """Return the two rungs trained on the same labels, and the shipped default's own choices."""
    base = open_artifact(SHIPPED)
    embedding = static_embedding(base)
    texts = [flatten(p) for p in given.train]
    vectors, ones = np.stack([embedding.embed(t) for t in texts]), np.ones(len(texts))
    arrays = fit_lexical.fit_lexical(texts, vectors, given.train_outcome, ones)
    model = fit_neural.fit_neural((texts, given.train_outcome, ones), Recipe(seed=0))
    graph = fit_neural.quantise(fit_neural.export(model))
    rungs: dict[str, Rung] = {
        "smallfirst lexical": Lexical(arrays),
        "smallfirst neural": Neural(graph, base.read("tokenizer.json")),
    }

    def gain(rung: Rung, prompt: str) -> float:
        text = flatten(prompt)
        p = sigmoid(rung.logits([text], embedding.embed(text)[None]).astype(np.float64))[0]
        return float(p[1] - p[0])

    def row(rung: Rung) -> dict[str, object]:
        gains = np.array([gain(rung, p) for p in given.test])
        ms = timed(lambda p: gain(rung, p), given.test[:_TIMED])
        return figures(gains, None, given.outcome) | _speed(ms)

    default = load()
    sent = {
        kind: float(np.mean([s.complexity >= THRESHOLD for s in default.score_batch(prompts)]))
        for kind, prompts in given.kinds.items()
    }
    ms = timed(default.score, given.test[:_TIMED])
    return {name: row(rung) for name, rung in rungs.items()} | {
        "smallfirst default": {"sent_large": sent} | _speed(ms)
    }


def peer(python: Path, router: str, given: Task, folder: Path) -> dict[str, object]:
    """Return one router's row, from its own interpreter."""
    gains = given.train_outcome[:, 1] - given.train_outcome[:, 0]
    sides = ["large" if gain > 0 else "small" for gain in gains]
    everyday = [text for prompts in given.kinds.values() for text in prompts]
    asked = {
        "router": router,
        "train": list(zip(given.train, sides, strict=True)),
        "judge": given.test + everyday,
        "time": given.test[:_TIMED],
        "encoder": str(folder),
    }
    quiet = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [python, Path(__file__).with_name("peers.py")],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        env=quiet,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{router}: {done.stderr[-800:]}")
    found = json.loads(done.stdout)
    scores, n = np.array(found["scores"]), len(given.test)
    sent, at = {"RouteLLM MMLU": float(np.mean(found["large"][:n]))}, n
    for kind, prompts in given.kinds.items():
        sent[kind] = float(np.mean(found["large"][at : at + len(prompts)]))
        at += len(prompts)
    judged = figures(scores[:n], None, given.outcome)
    return (
        judged | {"distinct_scores": len(set(scores[:n])), "sent_large": sent} | _speed(found["ms"])
    )


def _speed(ms: list[float]) -> dict[str, object]:
    low, high = np.quantile(ms, [0.5, 0.99])
    return {"ms_p50": round(float(low), 3), "ms_p99": round(float(high), 3)}


def table(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the Markdown table of the figures; what was not measured of a router stays blank."""
    lines = [
        "| router | APGR (95%) | CPT50 % | CPT80 % | own threshold sends large: bounded / hard / "
        "novel | ms p50 / p99 |",
        "|---|---|---|---|---|---|",
    ]
    for name, row in rows.items():
        low, high = row.get("apgr_interval", (0.0, 0.0))
        quality = f"{row['apgr']:.3f} ({low:.3f} to {high:.3f})" if "apgr" in row else ""
        calls = [f"{row[key]:.1f}" if key in row else "" for key in ("cpt50", "cpt80")]
        sent = row.get("sent_large")
        shares = (
            " / ".join(f"{sent[k]:.0%}" for k in ("bounded", "hard", "novel expert"))
            if sent
            else ""
        )
        ms = f"{row['ms_p50']:.2f} / {row['ms_p99']:.2f}" if "ms_p50" in row else ""
        lines.append(f"| {name} | {quality} | {calls[0]} | {calls[1]} | {shares} | {ms} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write ``results/side-by-side.json`` and the same as a table, ``results/side-by-side.md``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--litellm", type=Path, help="python of the venv with LiteLLM")
    parser.add_argument("--semantic-router", type=Path, help="python of the one with it")
    options = parser.parse_args()
    given = task()
    rng = np.random.default_rng(0)
    rows: dict[str, Any] = {
        "random": figures(rng.random(len(given.test)), None, given.outcome),
        "prompt length": figures(
            np.array([float(len(p)) for p in given.test]), None, given.outcome
        ),
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "frozen.onnx").write_bytes(fit_neural.export(load_minilm()))
        (folder / "tokenizer.json").write_bytes(open_artifact(SHIPPED).read("tokenizer.json"))
        if options.litellm:
            for router in ("litellm heuristic", "litellm heuristic_v2"):
                rows[router] = peer(options.litellm, router, given, folder)
        if options.semantic_router:
            rows["semantic-router"] = peer(
                options.semantic_router, "semantic-router", given, folder
            )
    rows |= ours(given)
    save("side-by-side", {"judged": len(given.test), "rows": rows})
    (FOLDER / "side-by-side.md").write_text(table(rows))


if __name__ == "__main__":
    main()
