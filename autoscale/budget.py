"""One GPU budget for several tiers: Ray's application-level policy form.

Named as the application's `autoscaling_policy`: `autoscale.budget:SharedBudgetPolicy`, with
`policy_kwargs: {gpu_budget: 8, tiers: {SmallTier: {...}, LargeTier: {...}}}`. Each tier is decided
by the same core; only if the tiers together want more GPUs than the budget are they rationed.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from autoscale.core import Decision
from autoscale.policy import Context, QueueDepthPolicy

logger = logging.getLogger("ray.serve")


@dataclass(frozen=True, slots=True)
class Claim:
    """What one tier wants, in replicas, and how much work stands behind it."""

    wanted: int
    low: int
    replicas_per_gpu: int
    load_slots: float
    slots_per_replica: int

    def gpus(self, replicas: int) -> int:
        """Whole GPUs that `replicas` occupy."""
        return -(-replicas // self.replicas_per_gpu)

    def pressure(self, gpus: int) -> float:
        """Load for each slot on `gpus`."""
        slots = gpus * self.replicas_per_gpu * self.slots_per_replica
        return self.load_slots / slots if slots else math.inf


def share_gpus(claims: Mapping[str, Claim], gpu_budget: int) -> dict[str, int]:
    """Replicas for each claim: all that is wanted if it fits, else the minima first and then one
    GPU at a time to the tier with most load for each slot, until the budget is spent.

    Minima are kept even if they alone exceed the budget: they are Ray's bounds.
    """
    wanted = {name: claim.gpus(claim.wanted) for name, claim in claims.items()}
    if sum(wanted.values()) <= gpu_budget:
        return {name: claim.wanted for name, claim in claims.items()}
    given = {name: claim.gpus(min(claim.low, claim.wanted)) for name, claim in claims.items()}
    for _ in range(gpu_budget - sum(given.values())):
        short = [name for name in claims if given[name] < wanted[name]]
        if not short:
            break
        given[max(short, key=lambda name: claims[name].pressure(given[name]))] += 1
    return {
        name: max(claim.low, min(claim.wanted, given[name] * claim.replicas_per_gpu))
        for name, claim in claims.items()
    }


class SharedBudgetPolicy:
    """Decides every deployment of an application under one GPU budget; never raises."""

    def __init__(self, gpu_budget: int = 0, tiers: Mapping[str, Any] | None = None) -> None:
        """`tiers` maps deployment names to `QueueDepthPolicy` settings; others are left alone."""
        self._budget = gpu_budget if isinstance(gpu_budget, int) and gpu_budget > 0 else 0
        if not self._budget:
            logger.error("autoscale: gpu_budget %r is not a number of GPUs; no limit", gpu_budget)
        self._policies = {
            name: QueueDepthPolicy(**(settings if isinstance(settings, Mapping) else {}))
            for name, settings in (tiers or {}).items()
        }

    def __call__(self, ctxs: Mapping[Any, Context]) -> tuple[dict[Any, int], dict[Any, Any]]:
        """Replicas by deployment id; a deployment left out keeps its target."""
        try:
            return self._decide(ctxs), {}
        except Exception as error:
            logger.error("autoscale: %s in the shared budget; holding", type(error).__name__)
            return {}, {}

    def _decide(self, ctxs: Mapping[Any, Context]) -> dict[Any, int]:
        answers: dict[Any, int] = {}
        claims: dict[Any, Claim] = {}
        for deployment, ctx in ctxs.items():
            policy = self._policies.get(ctx.deployment_name)
            if policy is None:
                continue
            answers[deployment] = policy(ctx)[0]
            decision = policy.last_decision
            if decision is not None and not policy.parameters.shadow:
                claims[deployment] = _claim(answers[deployment], decision, policy)
        if self._budget:
            answers |= share_gpus(claims, self._budget)
        return answers


def _claim(replicas: int, decision: Decision, policy: QueueDepthPolicy) -> Claim:
    terms, parameters = decision.terms, policy.parameters
    return Claim(
        wanted=replicas,
        low=terms.low,
        replicas_per_gpu=parameters.replicas_per_gpu,
        load_slots=terms.offered_load + terms.drain_slots,
        slots_per_replica=parameters.slots_per_replica,
    )
