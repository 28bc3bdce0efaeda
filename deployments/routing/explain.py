"""What would send a request elsewhere, in words, for `/v1/route`."""

from dataclasses import replace

from deployments.routing.cause import Cause
from deployments.routing.route import decide
from deployments.routing.signals import Policy, Signals


def would_change(signals: Signals, policy: Policy) -> list[str]:
    """What would send the same request to the other tier."""
    asked, tiers, score = signals.asked, signals.tiers, signals.score
    if asked.tier is not None:
        return ['model "auto" would let the score decide']
    route = decide(signals, replace(policy, affords=True))
    changes: list[str] = []
    if score is not None and route.cause is Cause.CLASSIFIER:
        side = "at or below" if route.tier == "small" else "above"
        changes.append(f"a threshold {side} {score:.3f} (now {policy.threshold:.3f})")
    if route.tier == "small" and not asked.min_tier_large:
        changes.append("the header x-smallfirst-min-tier: large")
    if route.tier == "large" and tiers.large.remote:
        changes.append("the header x-smallfirst-local-only: true")
    if route.cause is Cause.SESSION:
        changes.append("another x-smallfirst-session")
    return changes
