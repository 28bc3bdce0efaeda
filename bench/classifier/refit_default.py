"""Calibrates the shipped default again on all held-out rows: `... .refit_default`.

The last step of `train_default`, for an artefact whose rungs shall stay byte for byte: both heads
of each rung, then the threshold on the same traffic at the same budget.
"""

import argparse
import hashlib
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from bench.classifier.train_default import BUDGET, divide
from classifier.artifact import SHIPPED, Artifact, open_artifact
from classifier.classifier import Classifier
from classifier.headed import open_headed
from classifier.threshold.recalibrate import recalibrate, sight
from classifier.training.prepare import Indices, Options, Prepared, prepare
from classifier.training.run import calibrated


def refitted(artifact: Artifact, data: Prepared, index: Indices) -> Artifact:
    """Return the artefact with calibrators fitted on some of the rows its rungs never saw."""
    split = hashlib.sha256(np.sort(data.fit_on).astype("<i8").tobytes()).hexdigest()
    if split != artifact.manifest["training"]["split_sha256"]["train"]:
        raise SystemExit("the artefact was trained on another split; run train_default")
    dimensions = Classifier(artifact, None).embedding.dimensions
    rungs = {}
    for name, entry in artifact.manifest["rungs"].items():
        rung = open_headed(artifact, name, dimensions).rung
        headed = calibrated(rung, data, index, "gain")
        heads = [asdict(head) for head in headed.heads]
        rungs[name] = entry | {"calibration": heads, "calibration_rows": len(index)}
    return replace(artifact, manifest={**artifact.manifest, "rungs": rungs})


def main() -> None:
    """Write the artefact, by default over the shipped one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=SHIPPED)
    rows, traffic = divide(0)
    data = prepare(rows, Options(seed=0))
    artifact = refitted(open_artifact(SHIPPED), data, data.held_out)
    classifier = Classifier(artifact, None)
    print(recalibrate(classifier, sight(classifier, traffic), BUDGET, parser.parse_args().out))


if __name__ == "__main__":
    main()
