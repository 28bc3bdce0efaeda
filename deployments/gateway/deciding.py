"""Where a request goes: the pure rules of `routing`, fed with its score and the shared state."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from classifier import Score
from deployments.accounting.exchange import Attempt
from deployments.gateway.hints import Hints
from deployments.gateway.ports import Health, Ports
from deployments.gateway.privacy_gate import PrivacyGate
from deployments.protocol.errors import EngineKilled
from deployments.protocol.openai_request import ParsedRequest
from deployments.routing.cause import Cause
from deployments.routing.killers import prints_of
from deployments.routing.model_names import ModelNames
from deployments.routing.route import BY_QUALITY, Route, decide, is_easy
from deployments.routing.sessions import Binding, session_key, turn_key
from deployments.routing.signals import Asked, Policy, Signals, Tiers, TierState
from deployments.routing.turn import Turn, turn_of
from deployments.settings.app import AppConfig, TierName

# What a conversation needed the large model for, as against what a moment did: a full or dead small
# tier, or one request's hint, does not bind the next request.
KEEPS_SESSION_LARGE = BY_QUALITY | {Cause.CONTEXT_WINDOW}


@dataclass(frozen=True, slots=True)
class Case:
    """One request as routing sees it."""

    request: ParsedRequest
    hints: Hints
    turn: Turn
    asked: Asked
    # Where the turn was answered to which the request brings tool results.
    bound: Binding | None
    # Why the request must stay in the cluster; empty: it may leave.
    local_by: tuple[str, ...] = ()

    def barred(self, tiers: Mapping[TierName, Cause]) -> "Case":
        """The same request where these tiers may not answer it."""
        return replace(self, asked=replace(self.asked, barred=tiers)) if tiers else self

    def domain(self, score: Score | None) -> str | None:
        """The domain whose adapter is to answer an `auto` request."""
        if score is not None:
            return score.domain
        return self.bound.domain if self.bound else None


@dataclass(frozen=True, slots=True)
class Decided:
    """A request's route, and what it was decided by."""

    route: Route
    signals: Signals
    threshold: float


class Deciding:
    """Decides with the scorer and the shared state, and tells the state what came of it."""

    def __init__(self, config: AppConfig, names: ModelNames, ports: Ports) -> None:
        self._config = config
        self.names = names
        self._ports = ports
        self._state = ports.state
        self._privacy = PrivacyGate(config)

    async def case(self, request: ParsedRequest, hints: Hints) -> Case:
        """What the request asks for, and what its session and turn are used to.

        Raises: `UnknownModel`; `PrivateDataRefused`.
        """
        tier = self.names.tier(request.model)
        local_by = await self._privacy.local_by(request, hints)
        turn, now_s = turn_of(request), _now_s()
        session = bound = None
        if hints.session is not None:
            session = self._state.bound(session_key(hints.caller, hints.session), now_s)
        if turn.continues and turn.said is not None:
            bound = self._state.bound(turn_key(hints.caller, turn.said), now_s)
        asked = Asked(
            tier=tier,
            min_tier_large=hints.min_tier_large,
            local_only=bool(local_by),
            session_large=session is not None,
            turn_tier=bound.tier if bound else None,
            needs=request.needs,
            media_hosts=request.media_hosts,
        )
        return Case(request, hints, turn, asked, bound, local_by)

    def tiers(self) -> Tiers:
        """Both tiers as they are now."""
        return tiers_now(self._config, self._ports.health)

    def judged(self, case: Case) -> bool:
        """Whether a score can matter, and there is something to judge."""
        asked = case.asked
        return asked.tier is None and asked.turn_tier is None and case.turn.scored is not None

    async def score(self, case: Case) -> Score | None:
        """The classifier's score of a case that is judged."""
        return await self._ports.scorer.score(case.turn.scored) if self.judged(case) else None

    def signals(self, case: Case, score: Score | None) -> Signals:
        """What is known of the request."""
        return Signals(case.asked, self.tiers(), score.complexity if score else None)

    def policy(self, case: Case) -> Policy:
        """What is wanted now."""
        # Tool results of a turn that is not known here: the gateway that knows it has paid.
        paid_elsewhere = case.turn.continues
        return Policy(self._state.threshold, self._state.affords(paid_elsewhere))

    def decided(self, case: Case, score: Score | None) -> Decided:
        """The route of a request nobody has tried to answer yet, counted against the escalation
        target, to which a turn's steps are one request.

        Raises: `ServingError`.
        """
        signals = self.signals(case, score)
        if signals.open:
            # Before it is asked what is left: a full bucket would lose what this request earns.
            self._state.earn()
        policy = self.policy(case)
        route = decide(signals, policy)
        if signals.open and route.tier == "large" and route.cause in BY_QUALITY:
            self._state.spend()
        return Decided(route, signals, policy.threshold)

    def claimed(self, decided: Decided, attempts: Sequence[Attempt]) -> None:
        """Tell the control what the request's claim was in the end, its answers included."""
        answers = [a.answer_score for a in attempts if a.answer_score is not None]
        question = None if decided.signals.score is None else decided.signals.claim
        claims = answers if question is None else [question, *answers]
        if decided.signals.open and claims:
            self._state.claimed(max(claims))

    def answered(self, case: Case, attempt: Attempt, score: Score | None) -> None:
        """Bind the session to what it needed, and the turn to what answered it."""
        if case.asked.tier is not None:
            return
        hints, turn, now_s = case.hints, case.turn, _now_s()
        if hints.session is not None:
            key = session_key(hints.caller, hints.session)
            if attempt.tier == "large" and attempt.cause in KEEPS_SESSION_LARGE:
                self._state.bind(key, Binding("large"), now_s)
            elif is_easy(score.complexity if score else None, self._state.threshold):
                self._state.bind(key, None, now_s)
        if turn.said is not None:
            key = turn_key(hints.caller, turn.said)
            self._state.bind(key, Binding(attempt.tier, case.domain(score)), now_s)

    def refuse_killer(self, request: ParsedRequest, hints: Hints) -> None:
        """Refuse a request under which engines died. Raises: `EngineKilled`."""
        # Almost always nobody is remembered, and a request's prints cost a pass over its body.
        if not self._state.has_seen_deaths:
            return
        left_s = self._state.refused_s(_prints(request, hints), _now_s())
        if left_s > 0:
            raise EngineKilled(
                f"Engines died under this request; it is refused for another {left_s:.0f} s."
            )

    def engine_died(self, request: ParsedRequest, hints: Hints, deaths: int) -> None:
        """Remember a request under which engines died."""
        self._state.engine_died(_prints(request, hints), deaths, _now_s())


def tiers_now(config: AppConfig, health: Health) -> Tiers:
    """Both tiers, as configured and as they are."""

    def state(name: TierName) -> TierState:
        tier = config.tiers[name]
        return TierState(health.up(name), tier.remote, tier.abilities, tier.media_hosts)

    return Tiers(state("small"), state("large"))


def _prints(request: ParsedRequest, hints: Hints) -> list[bytes]:
    return prints_of(hints.caller, hints.request_id, request.endpoint, request.body)


def _now_s() -> float:
    return asyncio.get_running_loop().time()
