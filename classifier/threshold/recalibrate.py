"""Moves an artefact's threshold to a new budget or to other traffic, without labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from classifier.artifact import Arrays, write_artifact
from classifier.calibration import Floats
from classifier.classifier import Classifier
from classifier.familiarity import Policy
from classifier.headed import open_headed
from classifier.text import Conversation, flatten
from classifier.threshold.budget import effective_gain
from classifier.threshold.traffic import Traffic


@dataclass(frozen=True)
class Sighted:
    """Some traffic as the classifier sees it."""

    texts: list[str]
    traffic: Traffic
    small: Floats
    large: Floats

    @property
    def gain(self) -> Floats:
        """Return the predicted gain of each prompt."""
        return self.large - self.small

    @property
    def effective(self) -> Floats:
        """Return the gain that counts against a budget under the policy."""
        return effective_gain(self.gain, self.traffic.familiar, self.traffic.policy)


def sight(
    classifier: Classifier, conversations: Sequence[Conversation], policy: Policy | None = None
) -> Sighted:
    """Return probabilities, vectors and familiarity of the conversations."""
    texts = [flatten(c) for c in conversations]
    vectors = classifier.vectors(texts)
    small, large = classifier.headed.probabilities(texts, vectors)
    familiar = classifier.familiarity(vectors)
    return Sighted(texts, Traffic(vectors, familiar, policy or classifier.policy), small, large)


def recalibrate(classifier: Classifier, seen: Sighted, share: float, out: Path) -> str:
    """Write a copy of the artefact whose 0.7 sits at this budget of this traffic; return its id."""
    artifact, traffic = classifier.artifact, seen.traffic
    manifest = {k: v for k, v in artifact.manifest.items() if k not in ("files", "rungs")}
    manifest["unfamiliar"] = dict(manifest["unfamiliar"]) | {"policy": traffic.policy}
    rungs, scores = {}, {}
    for name, entry in artifact.manifest["rungs"].items():
        headed = open_headed(artifact, name, classifier.embedding.dimensions)
        small, large = headed.probabilities(seen.texts, traffic.vectors)
        fitted, scores[name] = traffic.fit(large - small, share)
        rungs[name] = dict(entry) | fitted
    files: dict[str, bytes | Arrays] = {
        name: artifact.read(name) for name in artifact.manifest["files"]
    }
    reference = artifact.arrays("reference.safetensors", {"reference": (None, None)})
    files["reference.safetensors"] = {"reference": reference["reference"]} | traffic.arrays(scores)
    return write_artifact(out, manifest | {"rungs": rungs}, files)
