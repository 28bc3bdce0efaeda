"""Judges answers of one served model: what is plainly wrong, and what a trained model fears."""

import logging
from collections.abc import Sequence
from pathlib import Path

from answer_check.artifact import AnswerCheckError, read
from answer_check.features import Beginning
from answer_check.model import AnswerModel
from classifier import Score
from deployments.gateway.answer_check import SURELY, Judged, choices_of, fault_of
from deployments.gateway.answer_text import Said
from deployments.protocol.chunk import Chunk
from deployments.protocol.openai_request import ParsedRequest
from deployments.settings.app import AppConfig, TierConfig
from deployments.settings.config_mistake import ConfigError
from models.stored_as import stored_as

log = logging.getLogger("ray.serve")
# What a beginning must show of an answer at least: half a line.
HOLD_TOKENS = 16


class Judge:
    """The rule of one application. Raises: `ConfigError` for an artefact that is not for it."""

    def __init__(self, config: AppConfig) -> None:
        rule = self.rule = config.answer_check
        self._served = config.small.model
        self._model = _model(rule.artifact, config.small) if rule.artifact else None
        # Classifiers whose scores the artefact does not know, of which the log has heard.
        self._strange: set[str] = set()
        trained_for = self._model.hold_tokens if self._model else HOLD_TOKENS
        self.hold_tokens = rule.hold_tokens or trained_for

    @property
    def wants_logprobs(self) -> bool:
        """Whether the engine's log-probabilities would be looked at."""
        return self._model is not None

    @property
    def wants_all_held(self) -> bool:
        """Whether an answer is held to its last token although nothing degenerate begins so: for
        the artefact, or because the operator named how many."""
        return self._model is not None or self.rule.hold_tokens is not None

    def judged(
        self, said: Said, held: Sequence[Chunk], request: ParsedRequest, score: Score | None
    ) -> Judged:
        """What an answer, or as much of it as is held, asks for."""
        if fault := fault_of(said, held, request):
            return Judged(SURELY, fault)
        # While a model is swapped, or an adapter answers, the artefact is for another one.
        served = {chunk.model for chunk in held if chunk.model} <= {self._served}
        if self._model is None or not served or choices_of(request) > 1 or not said.choices:
            return Judged(0.0)
        choice = next(iter(said.choices.values()))
        if choice.calls:
            return Judged(0.0)  # it was trained on texts
        known = score if score and self._knows(self._model, score) else None
        begun = Beginning(
            choice.text,
            [value for chunk in held for value in chunk.logprobs],
            held[-1].done,
            choice.finish_reason,
            known.gain if known else None,
            known.p_small if known else None,
        )
        return Judged(self._model.claim(begun))

    def _knows(self, model: AnswerModel, score: Score) -> bool:
        """Whether the artefact was trained on this classifier's scores; says once where not."""
        if model.weighs_scores_of(score.artifact_id):
            return True
        if score.artifact_id not in self._strange:
            self._strange.add(score.artifact_id)
            log.warning(
                "answer_check.artifact weighs scores of the classifier %s, not of %s that serves: "
                "answers are judged without them; train it again with --classifier",
                model.classifier,
                score.artifact_id,
            )
        return False


def _model(folder: str, small: TierConfig) -> AnswerModel:
    try:
        model = read(Path(folder))
    except AnswerCheckError as mistake:
        raise ConfigError(f"answer_check.artifact: {mistake}") from None
    if model.served_model != small.model:
        raise ConfigError(
            f"answer_check.artifact: {folder} is for the model {model.served_model!r}, the small "
            f"tier serves {small.model!r}: train one for it, or remove the artefact"
        )
    window = getattr(small.engine, "max_model_len", None)
    if window is not None and model.hold_tokens >= window:
        raise ConfigError(
            f"answer_check.artifact: {folder} holds {model.hold_tokens} tokens, which does not fit "
            f"max_model_len {window}: train one that holds fewer"
        )
    stored = _stored_as(small)
    if stored not in (None, model.quantisation):
        raise ConfigError(
            f"answer_check.artifact: {folder} is for weights stored as {model.quantisation!r}, "
            f"those of the small tier are {stored!r}: train one for them, or remove the artefact"
        )
    return model


def _stored_as(small: TierConfig) -> str | None:
    """How the small tier's weights are stored; None where this node cannot tell."""
    path = getattr(small.engine, "path", None)
    if path is None:
        return None
    return {"builtin:small": "int4", "builtin:large": "none"}.get(path) or stored_as(Path(path))
