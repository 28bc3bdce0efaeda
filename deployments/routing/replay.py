"""What another policy would have done with the requests of a ledger: the same `decide`, offline.

A line holds what was known when its request was decided. What it does not hold (how the large tier
would have answered, how long an answer would have been) is not made up: tokens stay as they were,
at the average price of a token of the tier that would have answered.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from deployments.routing.budget import Budget
from deployments.routing.cause import Cause
from deployments.routing.held_rate import HeldRate
from deployments.routing.route import Route, after_answer_check, decide
from deployments.routing.signals import Asked, Policy, Signals, Tiers, TierState
from deployments.settings.app import TierName
from deployments.settings.escalation import AnswerCheck, Escalation

SURE_BELOW = AnswerCheck().sure_below
BOTH_UP = Tiers(TierState(), TierState())
# Lines whose request left it to quality, whatever became of it.
LEFT_OPEN = frozenset(
    {
        Cause.CLASSIFIER,
        Cause.SESSION,
        Cause.BUDGET_EXHAUSTED,
        Cause.ANSWER_CHECK,
        Cause.LARGE_UNAVAILABLE,
    }
)


@dataclass(frozen=True, slots=True)
class Moved:
    """A request that would have been answered by another tier."""

    request_id: str
    tier: TierName
    would_be: TierName
    cause: Cause
    score: float | None


@dataclass(slots=True)
class Replay:
    """What became of the requests, and what would have."""

    requests: int = 0
    # Those that quality decides.
    left_open: int = 0
    large: int = 0
    would_be_large: int = 0
    cost_usd: float = 0.0
    # None: of a tier that would have answered more, the ledger holds no token and so no price.
    would_cost_usd: float | None = 0.0
    # Where the threshold would stand in the end.
    threshold: float = 0.0
    moved: list[Moved] = field(default_factory=list)


def replay(
    lines: Iterable[Mapping[str, Any]],
    config: Escalation,
    threshold: float,
    sure_below: float = SURE_BELOW,
) -> Replay:
    """The requests of a ledger under this policy, in the order in which they arrived.

    `sure_below` is `answer_check.sure_below`: the answers of which streams were not held.
    """
    answered = [line for line in lines if line.get("tier") in ("small", "large")]
    answered.sort(key=lambda line: line.get("arrived_s") or 0.0)
    prices = {tier: _usd_per_token(answered, tier) for tier in ("small", "large")}
    held, budget, done = HeldRate(config, threshold), Budget(config), Replay()
    for line in answered:
        route = _route(line, held, budget, sure_below) if _is_open(line) else None
        done.left_open += route is not None
        _book(done, line, route, prices)
    done.threshold = held.threshold
    return done


def _book(
    done: Replay, line: Mapping[str, Any], route: Route | None, prices: Mapping[str, float | None]
) -> None:
    """Count a request; no route: quality does not decide, and it stays as it was."""
    tier, cost_usd = line["tier"], float(line.get("cost_usd") or 0.0)
    would_be: TierName = tier if route is None else route.tier
    done.requests += 1
    done.cost_usd += cost_usd
    done.large += tier == "large"
    done.would_be_large += would_be == "large"
    would_cost_usd: float | None = cost_usd
    if route is not None and would_be != tier:
        would_cost_usd = _would_cost_usd(line, route, prices)
        request_id = str(line.get("request_id"))
        done.moved.append(Moved(request_id, tier, would_be, route.cause, line["score"]))
    if would_cost_usd is None or done.would_cost_usd is None:
        done.would_cost_usd = None
    else:
        done.would_cost_usd += would_cost_usd


def _is_open(line: Mapping[str, Any]) -> bool:
    named = line.get("asked_model") in (None, "auto")
    return named and isinstance(line.get("score"), int | float) and line.get("cause") in LEFT_OPEN


def _route(line: Mapping[str, Any], held: HeldRate, budget: Budget, sure_below: float) -> Route:
    """Where the request would have gone, booked as a gateway books it."""
    budget.earn()
    held.came()
    asked = Asked(session_large=line["cause"] == Cause.SESSION)
    signals = Signals(asked, BOTH_UP, float(line["score"]))
    policy = Policy(held.threshold, budget.left)
    route = decide(signals, policy)
    answer = line.get("answer_score")
    was_held = not line.get("stream") or float(line["score"]) >= sure_below
    if route.tier == "small" and was_held and isinstance(answer, int | float):
        route = after_answer_check(route, float(answer), BOTH_UP, policy) or route
    if route.tier == "large":
        budget.spend()
        held.escalated()
    claims = [signals.claim or 0.0, *([float(answer)] if isinstance(answer, int | float) else [])]
    held.claimed(max(claims))
    return route


def _would_cost_usd(
    line: Mapping[str, Any], route: Route, prices: Mapping[str, float | None]
) -> float | None:
    # After an answer check both tiers are paid.
    asked = ("small", "large") if route.cause is Cause.ANSWER_CHECK else (route.tier,)
    known = [price for tier in asked if (price := prices[tier]) is not None]
    return _tokens(line) * sum(known) if len(known) == len(asked) else None


def _usd_per_token(lines: Iterable[Mapping[str, Any]], tier: str) -> float | None:
    """The average price of a token of a tier's attempts; None: there is none."""
    attempts = [a for line in lines for a in line.get("attempts") or () if a.get("tier") == tier]
    tokens = sum(map(_tokens, attempts))
    nano_usd = sum(float(attempt.get("cost_nano_usd") or 0) for attempt in attempts)
    return nano_usd / 1e9 / tokens if tokens else None


def _tokens(counted: Mapping[str, Any]) -> int:
    return int(counted.get("prompt_tokens") or 0) + int(counted.get("completion_tokens") or 0)
