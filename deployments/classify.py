"""The Classifier deployment: scores conversations, several at a time while they queue."""

import asyncio
import logging
from pathlib import Path
from typing import Any

from ray import serve
from ray.serve.handle import DeploymentHandle

import classifier
from classifier import Score
from deployments.config import ClassifierConfig

log = logging.getLogger("ray.serve")


class ClassifierReplica:
    """Holds one artefact; scores in a thread, so that the event loop stays free."""

    def __init__(self, config: ClassifierConfig) -> None:
        path = Path(config.artifact) if config.artifact else None
        self._classifier = classifier.load(path, config.domains)
        low, high = self._classifier.reachable
        log.info(
            "classifier %s: scores reach %.3f to %.3f, threshold %.3f",
            self._classifier.artifact_id,
            low,
            high,
            config.threshold,
        )
        # 0 and 1 are said on purpose: everything, nothing. Anything else must be able to fire.
        if 0 < config.threshold < 1:
            self._classifier.check_threshold(config.threshold)

    # A wait of 0: a lone request is scored at once, a batch forms only while one is being scored.
    @serve.batch(max_batch_size=32, batch_wait_timeout_s=0)
    async def score(self, conversations: list[Any]) -> list[Score]:
        """One score a conversation."""
        return await asyncio.to_thread(self._classifier.score_batch, conversations)


class ClassifierClient:
    """The gateway's side: a score, or None where none came in time."""

    def __init__(self, handle: DeploymentHandle, timeout_s: float) -> None:
        self._handle = handle.options(method_name="score")
        self._timeout_s = timeout_s
        self._failing = False

    async def score(self, conversation: Any) -> Score | None:
        """The classifier's score; a classifier that fails costs quality, never the request."""
        response = self._handle.remote(conversation)
        try:
            async with asyncio.timeout(self._timeout_s):
                score: Score = await response
        except asyncio.CancelledError:
            response.cancel()
            raise
        except Exception as error:
            response.cancel()
            if not self._failing:
                log.warning("classifier: %s; requests go small unscored", type(error).__name__)
            self._failing = True
            return None
        self._failing = False
        return score
