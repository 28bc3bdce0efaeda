"""What would send a request elsewhere, in words, for `/v1/route`."""

import math
from collections.abc import Iterator
from dataclasses import replace

from deployments.protocol.errors import ServingError
from deployments.routing.route import decide
from deployments.routing.signals import Policy, Signals
from deployments.settings.app import TierName


def would_change(signals: Signals, policy: Policy) -> list[str]:
    """What would send the same request to the other tier: each thing alone, by trying it."""
    if signals.asked.tier is not None:
        return ['model "auto" would let the score decide']
    elsewhere: TierName = decide(signals, policy).other
    return [
        words
        for words, changed, wanted in _changes(signals, policy)
        if _tier(changed, wanted) == elsewhere
    ]


def _changes(signals: Signals, policy: Policy) -> Iterator[tuple[str, Signals, Policy]]:
    """What a client or an operator can change, and what would be decided by then."""
    asked, claim, now = signals.asked, signals.claim, policy.threshold
    if claim is not None:
        above = claim >= now
        side = "above" if above else "at or below"
        moved = replace(policy, threshold=math.nextafter(claim, math.inf) if above else claim)
        yield f"a threshold {side} {claim:.3f} (now {now:.3f})", signals, moved
    yield "room under the cap, escalation.max_rate", signals, replace(policy, affords=True)
    for words, asks in (
        ("the header x-smallfirst-min-tier: large", replace(asked, min_tier_large=True)),
        ("the header x-smallfirst-local-only: true", replace(asked, local_only=True)),
        ("another x-smallfirst-session", replace(asked, session_large=False)),
    ):
        yield words, replace(signals, asked=asks), policy


def _tier(signals: Signals, policy: Policy) -> TierName | None:
    """Where the request would go; None: it would be refused."""
    try:
        return decide(signals, policy).tier
    except ServingError:
        return None
