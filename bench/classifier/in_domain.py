"""The shipped default on its own test rows, measured outcomes only: `... .in_domain`.

The split is made again from the same seed; only rows whose outcomes were measured are judged,
the weak labels judge nothing.
"""

from bench.classifier.results import save
from bench.classifier.train_default import divide
from classifier import load
from classifier.evaluating import evaluate
from classifier.training import Options, prepare


def main() -> None:
    """Write ``results/in-domain.json``."""
    rows, _ = divide(0)
    data = prepare(rows, Options(seed=0))
    judged = [rows[i] for i in data.test_on if rows[i].weight == 1.0]
    exam = [row for row in judged if row.group is not None]
    classifier = load()
    table = evaluate(classifier, exam)
    ours = table[0]
    save("in-domain", {"artifact_id": classifier.artifact_id, "n": len(exam), "table": table})
    print({key: ours[key] for key in ("apgr", "ece", "auroc_small_fails")})


if __name__ == "__main__":
    main()
