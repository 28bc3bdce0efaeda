"""Which tier answers, and why: pure functions of what is known about a request.

`decide` runs before anything is sent, `after_failure` when a tier failed before its first byte.
Both are total: every combination of inputs gives a `Route` or one of our errors.
"""

from dataclasses import dataclass, replace

from deployments.protocol.errors import (
    ContextLengthExceeded,
    EngineDead,
    EngineKilled,
    InsufficientQuota,
    InvalidRequest,
    LocalOnlyConflict,
    Overloaded,
    ServingError,
)
from deployments.routing.cause import Cause
from deployments.routing.signals import SESSION_MARGIN, Asked, Policy, Signals, Tiers, TierState
from deployments.settings.app import Need, TierName

# The causes that count against the escalation target: what quality asks for. The others are the
# client's or a tier's doing.
BY_QUALITY = frozenset({Cause.CLASSIFIER, Cause.SESSION, Cause.ANSWER_CHECK})


@dataclass(frozen=True, slots=True)
class Route:
    """Where a request goes, why, and whether the other tier may step in before the first byte."""

    tier: TierName
    cause: Cause
    may_fall_back: bool

    @property
    def other(self) -> TierName:
        """The tier that would step in."""
        return "large" if self.tier == "small" else "small"


def decide(signals: Signals, policy: Policy) -> Route:
    """The route of a request nobody has tried to answer yet.

    No score counts as low: small first. A claim equal to the threshold goes large.
    Raises: `LocalOnlyConflict`, `InvalidRequest` where no permitted tier can answer.
    """
    asked, tiers = signals.asked, signals.tiers
    refuse_fetching(asked)
    if asked.tier is not None:
        return _named(asked, tiers, asked.tier)
    if asked.barred:
        return _only(asked, tiers)
    small_permitted = not (asked.local_only and tiers.small.remote)
    large_permitted = not (asked.local_only and tiers.large.remote)
    small_able = tiers.small.able(asked)
    large_able = tiers.large.able(asked)
    if not (small_permitted and small_able):
        cause = Cause.CAPABILITY if small_permitted else Cause.LOCAL_ONLY
        return _beyond_small(asked, tiers, large_permitted, cause)
    fallback = large_permitted and large_able
    if not fallback:
        cause = Cause.CAPABILITY if large_permitted else Cause.LOCAL_ONLY
        route = Route("small", cause, may_fall_back=False)
        if asked.min_tier_large:
            raise _no_large(asked, tiers, large_permitted)
        return route
    return _avoid_down(_preferred(signals, policy), tiers)


def refuse_fetching(asked: Asked) -> None:
    """Raises: `LocalOnlyConflict` where somebody would have to fetch for what must stay."""
    if asked.local_only and asked.media_hosts:
        raise LocalOnlyConflict(
            "This request must stay in the cluster, but names an image outside: send a data: URL.",
            "messages",
        )


def counts(asked: Asked, tiers: Tiers) -> TierName:
    """The tier whose tokenizer counts a prompt: the one named, else the first that can read it.

    Raises: as `decide` does, for what an engine would have to fetch or look at; of all else a
    prompt has, tokens are made by any.
    """
    refuse_fetching(asked)
    seen = replace(asked, needs={n: p for n, p in asked.needs.items() if n == "vision"})
    name: TierName = asked.tier or "small"
    if asked.tier is None and not tiers.small.able(seen) and not tiers.large.remote:
        name = "large"
    if not tiers.state(name).able(seen):
        raise _unsupported(seen, tiers.state(name))
    return name


def _named(asked: Asked, tiers: Tiers, tier: TierName) -> Route:
    """The client named a model: that one or an error, never another."""
    state = tiers.state(tier)
    if asked.local_only and state.remote:
        raise LocalOnlyConflict(
            "This request must stay in the cluster, but the model it names is outside. "
            "Ask for 'auto' or 'small'.",
            "model",
        )
    if not state.able(asked):
        raise _unsupported(asked, state)
    return Route(tier, Cause.CLIENT_MODEL, may_fall_back=False)


def _only(asked: Asked, tiers: Tiers) -> Route:
    """The one tier that the key's rights, or what is left of its budget, leave."""
    tier: TierName = "small" if "large" in asked.barred else "large"
    cause, state = next(iter(asked.barred.values())), tiers.state(tier)
    if asked.local_only and state.remote:
        raise LocalOnlyConflict("This request must stay in the cluster, but its key may not.")
    if state.able(asked):
        return Route(tier, cause, may_fall_back=False)
    if cause is Cause.BUDGET_EXHAUSTED:
        raise InsufficientQuota(
            "You exceeded your current quota, and the small tier cannot do what is asked for."
        )
    raise _unsupported(asked, state)


def _beyond_small(asked: Asked, tiers: Tiers, large_permitted: bool, cause: Cause) -> Route:
    if not (large_permitted and tiers.large.able(asked)):
        raise _no_large(asked, tiers, large_permitted or not tiers.large.able(asked))
    return Route("large", cause, may_fall_back=False)


def _preferred(signals: Signals, policy: Policy) -> Route:
    """The route of an `auto` request that both tiers could answer, were both up."""
    asked, score, claim = signals.asked, signals.score, signals.claim
    if asked.min_tier_large:
        return Route("large", Cause.CLIENT_HINT, may_fall_back=False)
    if asked.turn_tier is not None:
        return Route(asked.turn_tier, Cause.TOOL_LOOP, may_fall_back=True)
    if claim is None or claim < policy.threshold:
        return Route("small", Cause.CLASSIFIER, may_fall_back=True)
    hard = score is not None and score >= policy.threshold
    if not policy.affords:
        return Route("small", Cause.BUDGET_EXHAUSTED, may_fall_back=True)
    return Route("large", Cause.CLASSIFIER if hard else Cause.SESSION, may_fall_back=True)


def is_easy(score: float | None, threshold: float) -> bool:
    """Whether a turn ends a session's stay on the large tier; no score says nothing."""
    return score is not None and score < threshold - SESSION_MARGIN


def _avoid_down(route: Route, tiers: Tiers) -> Route:
    """The same route, or the other tier where the first is known to be down and the other up."""
    if tiers.state(route.tier).up or not route.may_fall_back or not tiers.state(route.other).up:
        return route
    return Route(route.other, _unavailable(route.tier), may_fall_back=False)


def after_failure(route: Route, error: ServingError, tiers: Tiers) -> Route:
    """The next route after `error` came before the first byte.

    An engine's death is never passed on: the other tier's engines would be next.
    Raises: `error` itself where no other tier may or can answer; `EngineKilled` after a death.
    """
    if isinstance(error, EngineDead):
        raise EngineKilled("The engine died twice while it held this request.") from error
    if route.cause is Cause.ANSWER_CHECK and tiers.small.up and _is_the_tiers(error):
        # What was to be bettered is better than an error.
        return Route("small", _failed("large", error), may_fall_back=False)
    if route.may_fall_back and route.tier == "small" and isinstance(error, ContextLengthExceeded):
        return Route("large", Cause.CONTEXT_WINDOW, may_fall_back=False)
    if not route.may_fall_back:
        raise error
    if isinstance(error, LocalOnlyConflict) and not tiers.state(route.other).remote:
        # The door said no to what the gateway would have let go: by a newer policy than ours.
        return Route(route.other, _failed(route.tier, error), may_fall_back=False)
    if not error.retryable or not tiers.state(route.other).up:
        raise error
    return Route(route.other, _failed(route.tier, error), may_fall_back=False)


def _is_the_tiers(error: ServingError) -> bool:
    """Whether another tier may fare better with the same request."""
    return error.retryable or isinstance(error, ContextLengthExceeded | LocalOnlyConflict)


def after_answer_check(route: Route, claim: float, tiers: Tiers, policy: Policy) -> Route | None:
    """The next route after the small tier's answer was judged; None: keep the answer.

    `claim` is how much the answer asks for the large tier, on the scale of a question's claim.
    """
    if route.tier == "large" or not route.may_fall_back or not tiers.large.up:
        return None
    if claim < policy.threshold or not policy.affords:
        return None
    return Route("large", Cause.ANSWER_CHECK, may_fall_back=False)


def _failed(tier: TierName, error: ServingError) -> Cause:
    if isinstance(error, LocalOnlyConflict):
        return Cause.LOCAL_ONLY
    if tier == "small" and isinstance(error, Overloaded):
        return Cause.SMALL_SATURATED
    return _unavailable(tier)


def _unavailable(tier: TierName) -> Cause:
    return Cause.SMALL_UNAVAILABLE if tier == "small" else Cause.LARGE_UNAVAILABLE


def _unsupported(asked: Asked, state: TierState) -> InvalidRequest:
    """What a tier lacks of what is asked for, with the parameter that asks for it first."""
    words: dict[Need, str] = {
        "vision": "image input",
        "tools": "tool calls",
        "json_schema": "structured output",
        "logprobs": "logprobs",
        "vllm": "what only vLLM takes (its own fields, names of tools over 64 characters)",
    }
    missing = [need for need in asked.needs if need not in state.abilities]
    if not missing:
        return InvalidRequest(
            "No model that may answer this request may fetch its images: send data: URLs.",
            "messages",
        )
    param = asked.needs[missing[0]]
    listed = ", ".join(words[need] for need in missing)
    return InvalidRequest(
        f"No model that may answer this request supports '{param}': {listed}.", param
    )


def _no_large(asked: Asked, tiers: Tiers, large_permitted: bool) -> ServingError:
    if not large_permitted:
        return LocalOnlyConflict(
            "This request must stay in the cluster, but it needs the large tier, which is outside.",
            "model",
        )
    return _unsupported(asked, tiers.large)
