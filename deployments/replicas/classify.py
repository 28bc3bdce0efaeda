"""The Classifier deployment: scores conversations in order, one thread beside a free event loop."""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ray.serve import metrics
from ray.serve.handle import DeploymentHandle

import classifier
from classifier import Classifier, DriftReport, DriftWatch, Score
from deployments.settings.app import ClassifierConfig
from deployments.settings.config_mistake import ConfigError

log = logging.getLogger("ray.serve")

# So many failures in a row are the classifier's, not a request's; from then on waiting for a score
# would cost every request the whole time-out.
FAILURES_IN_A_ROW = 3
PROBE_EVERY = 20


def open_classifier(config: ClassifierConfig) -> Classifier:
    """The configured artefact, which can reach the threshold.

    Raises: `ConfigError` in one line.
    """
    try:
        found = classifier.load(Path(config.artifact) if config.artifact else None, config.domains)
        # 0 and 1 are said on purpose: everything, nothing. Anything else must be able to fire.
        if 0 < config.threshold < 1:
            found.check_threshold(config.threshold)
    except classifier.ClassifierError as error:
        raise ConfigError(f"classifier: {error}") from None
    return found


class ClassifierReplica:
    """Holds one artefact. A score goes back when it is done: a batch would make it wait for the
    rest of the batch and gain nothing (docs/decisions/0012-one-text-at-a-time.md)."""

    def __init__(self, config: ClassifierConfig) -> None:
        self._classifier = open_classifier(config)
        low, high = self._classifier.reachable
        log.info(
            "classifier %s: scores reach %.3f to %.3f, threshold %.3f",
            self._classifier.artifact_id,
            low,
            high,
            config.threshold,
        )
        monitor = self._classifier.monitor()
        self._watch = None if monitor is None else DriftWatch(monitor, config.threshold)
        self._gauges = DriftGauges()
        self._thread = ThreadPoolExecutor(1, "score")

    def reconfigure(self, user_config: dict[str, float]) -> None:
        """Serve calls it after the start and whenever the threshold changes: drift is judged by it,
        requests by the gateway's."""
        if self._watch is not None:
            self._watch.threshold = user_config.get("threshold", self._watch.threshold)

    async def score(self, text: str) -> Score:
        """The score of a text that `classifier.flatten` made."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._score, text)

    def _score(self, text: str) -> Score:
        vectors = self._classifier.vectors([text])
        score = self._classifier.score_texts([text], vectors)[0]
        report = self._watch.add(vectors[0], score) if text and self._watch else None
        if report is not None:
            self._gauges.set(report)
        return score


class DriftGauges:
    """The last full window's figures as gauges; an alarm is one warning in the log as well."""

    def __init__(self) -> None:
        self._gauges = {
            name: metrics.Gauge(f"smallfirst_classifier_drift_{name}", f"{about}, last window.")
            for name, about in DriftReport.about().items()
        }

    def set(self, report: DriftReport) -> None:
        """Show one window's report."""
        for name, value in asdict(report).items():
            self._gauges[name].set(float(value))
        if report.alarm:
            log.warning("classifier: the traffic has drifted: %s", report)


class ClassifierClient:
    """The gateway's side: a score, or None where none came in time."""

    def __init__(self, handle: DeploymentHandle, timeout_s: float) -> None:
        self._handle = handle.options(method_name="score")
        self.timeout_s = timeout_s
        self._failures = 0
        self._passed_by = 0

    async def score(self, conversation: Any) -> Score | None:
        """The classifier's score; a classifier that fails costs quality, never the request.

        Flattened here: what travels is at most 3,000 characters, however long the conversation.
        While the classifier is away, one request in `PROBE_EVERY` waits to see whether it is back.
        """
        if self._failures >= FAILURES_IN_A_ROW:
            self._passed_by += 1
            if self._passed_by % PROBE_EVERY:
                return None
        response: Any = None
        try:
            async with asyncio.timeout(self.timeout_s):
                response = self._handle.remote(classifier.flatten(conversation))
                score: Score = await response
        except BaseException as error:
            if response is not None:
                response.cancel()
            if not isinstance(error, Exception):
                raise
            if not self._failures:
                log.warning("classifier: %s; requests go small unscored", type(error).__name__)
            self._failures += 1
            return None
        self._failures = self._passed_by = 0
        return score
