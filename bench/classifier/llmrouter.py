"""LLMRouter, "the 8B model fails": `python -m bench.classifier.llmrouter --fold N [--rung R]`.

Five folds by prompt (clusters of near-duplicates stay together). Beside it the three figures
without which an AUROC says nothing here: the task-name baseline, the within-task AUROC, and the
AUROC on a task never trained on (`--leave-task-out`).
"""

import argparse
import json

import numpy as np
from numpy.typing import NDArray

from bench.classifier.datasets import llmrouter
from bench.classifier.results import FOLDER, save
from classifier.artifact import SHIPPED, open_artifact
from classifier.classifier import static_embedding
from classifier.data.rows import labels
from classifier.data.splits import duplicate_clusters, split_by_cluster
from classifier.judging.metrics import auroc, interval, within_group_auroc
from classifier.text import flatten
from classifier.training.ladder import Training, fit_rungs
from classifier.training.recipe import recipe_for

FOLDS = 5


class Data:
    """The rows in the form that rungs are fitted on."""

    def __init__(self) -> None:
        self.rows = llmrouter()
        self.texts = [flatten(row.conversation) for row in self.rows]
        self.base = open_artifact(SHIPPED)
        embedding = static_embedding(self.base)
        self.vectors = np.stack([embedding.embed(t) for t in self.texts])
        # Right or wrong, as the question is asked; a tenth of the scores lies in between.
        self.labels = (labels(self.rows) >= 0.5).astype(np.float64)
        self.tasks = np.array([str(row.group) for row in self.rows])

    def fail_scores(
        self, train: NDArray[np.int64], test: NDArray[np.int64], rung: str
    ) -> NDArray[np.float64]:
        """Return the rung's score that the small model fails, higher is likelier."""
        training = Training(
            [self.texts[i] for i in train],
            self.vectors[train],
            self.labels[train],
            np.ones(len(train)),
            self.base.read("tokenizer.json"),
            recipe_for(len(train)),
        )
        (fitted,) = fit_rungs(training, [rung], lambda _name, _done: None)
        logits = fitted.rung.logits([self.texts[i] for i in test], self.vectors[test])
        return -logits[:, 0].astype(np.float64)


def fold(data: Data, number: int, rung: str) -> dict[str, object]:
    """Return one fold's figures."""
    parts = split_by_cluster(duplicate_clusters(data.texts), [1 / FOLDS] * FOLDS, seed=0)
    test = parts[number]
    train = np.concatenate([p for i, p in enumerate(parts) if i != number])
    scores = data.fail_scores(train, test, rung)
    failed, tasks = data.labels[test, 0] < 0.5, data.tasks[test]
    means = {t: float(data.labels[train][data.tasks[train] == t, 0].mean()) for t in set(tasks)}
    by_task = np.array([-means[t] for t in tasks])
    lengths = np.array([float(len(data.texts[i])) for i in test])
    return {
        "rung": rung,
        "fold": number,
        "train": len(train),
        "test": len(test),
        "auroc": auroc(scores, failed),
        "auroc_interval": interval(lambda i: auroc(scores[i], failed[i]), len(test), 200),
        "auroc_within_task": within_group_auroc(scores, failed, tasks),
        "auroc_task_name_only": auroc(by_task, failed),
        "auroc_length_only": auroc(lengths, failed),
    }


def mean(rung: str) -> dict[str, object]:
    """Return the mean over the folds whose results are there, and which those are."""
    paths = sorted(FOLDER.glob(f"llmrouter-{rung}-[0-9].json"))
    folds = [json.loads(path.read_text())["figures"] for path in paths]
    measures = [key for key in folds[0] if key.startswith("auroc") and "interval" not in key]
    found: dict[str, object] = {"rung": rung, "folds": [f["fold"] for f in folds]}
    for key in measures:
        values = [f[key] for f in folds]
        found |= {key: float(np.mean(values)), f"{key}_sd": float(np.std(values))}
    return found


def leave_task_out(data: Data, rung: str) -> dict[str, object]:
    """Return the rung's AUROC on each task when trained on the other thirteen."""
    found = {}
    for task in np.unique(data.tasks):
        test, train = (np.flatnonzero(m) for m in (data.tasks == task, data.tasks != task))
        failed = data.labels[test, 0] < 0.5
        found[str(task)] = auroc(data.fail_scores(train, test, rung), failed)
    return {"rung": rung, "tasks": found, "mean": float(np.nanmean(list(found.values())))}


def main() -> None:
    """Write ``results/llmrouter-RUNG-FOLD.json`` and the mean, or the tasks left out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fold", type=int, default=0)
    parser.add_argument("--rung", default="neural")
    parser.add_argument("--leave-task-out", action="store_true")
    options = parser.parse_args()
    data = Data()
    if options.leave_task_out:
        save(f"llmrouter-leave-task-out-{options.rung}", leave_task_out(data, options.rung))
    else:
        found = fold(data, options.fold, options.rung)
        save(f"llmrouter-{options.rung}-{options.fold}", found)
        save(f"llmrouter-{options.rung}", mean(options.rung))


if __name__ == "__main__":
    main()
