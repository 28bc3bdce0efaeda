"""Reads the journal back: what was decided at a time, why, why not another number, and replay.

Each line carries its inputs and the state before, so every answer here comes from running the same
`decide` again, not from a story told about it.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from autoscale.core import Decision, decide
from autoscale.journal_entries import Entry, JournalError, read_journal
from autoscale.quantum import capacity_slots, whole_gpus
from autoscale.staffing import late_probability

_SCALE_MAX = 16.0  # a counterfactual beyond 16 times the traffic explains nothing


def entry_at(path: Path, time_s: float | None, deployment: str | None) -> Entry:
    """The last entry at or before `time_s` (the last of all if None).

    Raises: JournalError if there is none.
    """
    first, found, known = None, None, set()
    for entry in read_journal(path):
        known.add(entry.deployment)
        if deployment is None or entry.is_of(deployment):
            first = first or entry
            if time_s is None or entry.observation.time_s <= time_s:
                found = entry
    if found is not None:
        return found
    if not known:
        raise JournalError(f"{path.name}: no decision recorded yet")
    if first is None:
        raise JournalError(
            f"{path.name}: no deployment {deployment!r}; known are {', '.join(sorted(known))}"
        )
    begun = datetime.fromtimestamp(first.observation.time_s, UTC)
    raise JournalError(f"{path.name}: the first decision is of {begun:%Y-%m-%dT%H:%M:%S} UTC")


WHY = {
    "demand": "the planned rate needs this many whole GPUs",
    "backlog": "the queue is longer than the SLO allows and is to be drained",
    "kv_cache": "the KV cache is full while requests wait",
    "minimum": "the lower bound (min_replicas or the schedule) is above the need",
    "maximum": "the upper bound (max_replicas or the schedule) is below the need",
    "hold_down": "fewer would do now, but more was needed within hold_down_s",
    "tolerance": "fewer would do, but without the tolerance to spare",
    "replicas_starting": "replicas are still starting: no scale-down meanwhile",
    "warm_up": "watching for less than hold_down_s: no scale-down yet",
    "metrics_missing": "engine metrics are missing or were repaired: never scale down blind",
    "metrics_unusable": "the handle counts are not numbers: the target is held",
    "idle": "no request for idle_to_zero_s",
}


def explanation(entry: Entry) -> list[str]:
    """Sentences: the decision, its terms, the binding constraint, what would have changed it."""
    terms, seen = entry.terms, entry.observation
    wait_s = entry.parameters.slo_wait_s
    lines = [
        f"{entry.deployment}: {seen.target_replicas} -> {entry.replicas} replicas "
        f"({seen.current_replicas} running). Bound by {entry.constraint}: "
        f"{WHY.get(entry.constraint, entry.constraint)}.",
        f"Demand {terms['rate_rps']:.2f} rps x {terms['service_s']:.2f} s = "
        f"{terms['offered_load']:.1f} busy slots; burstiness {terms['burstiness']:.2f} "
        f"(1 is Poisson); backlog {terms['backlog']:.1f}.",
        f"{terms['staffing_slots']:.1f} slots keep P(wait > {wait_s:g} s) at "
        f"{entry.parameters.late_fraction:g}; draining adds {terms['drain_slots']:.1f}; "
        f"start-up takes {terms['startup_s']:.0f} s.",
    ]
    if entry.parameters.shadow:
        lines.append("Shadow mode: this was not acted on.")
    if entry.faults:
        lines.append(f"Unusable inputs: {', '.join(entry.faults)}.")
    return lines + counterfactuals(entry)


def counterfactuals(entry: Entry) -> list[str]:
    """The nearest traffic at which the answer differs, above and below, by deciding again."""
    lines = []
    for direction, word in ((1, "more"), (-1, "less")):
        scale = _flip(entry, direction)
        if scale is None:
            lines.append(f"No traffic up to {_SCALE_MAX:g} times {word} changes the answer.")
            continue
        other = _scaled(entry, scale)
        share = abs(scale - 1.0) * 100.0
        lines.append(f"{share:.1f}% {word} traffic: {other.replicas} ({other.constraint}).")
    return lines


def _flip(entry: Entry, direction: int) -> float | None:
    """Traffic factor nearest to 1 (in log scale) with another answer; None if there is none."""
    same, other = 1.0, _SCALE_MAX**direction
    if _scaled(entry, other).replicas == entry.replicas:
        return None
    for _ in range(24):
        middle = (same * other) ** 0.5
        if _scaled(entry, middle).replicas == entry.replicas:
            same = middle
        else:
            other = middle
    return other


def _scaled(entry: Entry, factor: float) -> Decision:
    """The decision had the remembered and present traffic been `factor` times as much."""
    if entry.before is None:
        return entry.again()
    demand, seen = entry.before.demand, entry.observation
    scaled = replace(
        demand,
        arrivals=tuple(count * factor for count in demand.arrivals),
        forecasts_rps=tuple(rate * factor for rate in demand.forecasts_rps),
        forecast_rps=demand.forecast_rps * factor,
        open_arrivals=demand.open_arrivals * factor,
    )
    observation = replace(seen, queued=seen.queued * factor)
    return decide(observation, entry.parameters, replace(entry.before, demand=scaled))


def why_not(entry: Entry, replicas: int) -> list[str]:
    """Every reason against `replicas` at that time, or that nothing spoke against it."""
    terms = entry.terms
    if replicas == entry.replicas:
        return [f"{replicas} is what was decided."]
    reasons = []
    if not terms["low"] <= replicas <= terms["high"]:
        reasons.append(f"the bounds are {terms['low']:g} to {terms['high']:g}")
    reasons += _too_few(entry, replicas)
    rounded = whole_gpus(replicas, entry.parameters)
    if rounded != replicas:
        reasons.append(f"{replicas} leaves a paid GPU part empty; {rounded} costs the same")
    if not reasons and replicas > entry.replicas:
        return ["it would work, but fewer replicas meet the objective for less"]
    return reasons or ["nothing spoke against it"]


def _too_few(entry: Entry, replicas: int) -> list[str]:
    """Reasons why `replicas` would be too few, or come down too soon."""
    terms, parameters = entry.terms, entry.parameters
    slots, load = capacity_slots(replicas, parameters), terms["offered_load"]
    wait_services = parameters.slo_wait_s / max(terms["service_s"], 1e-9)
    late = late_probability(slots, load, wait_services, terms["burstiness"])
    reasons = []
    if late > parameters.late_fraction:
        reasons.append(
            f"{slots:.0f} slots under a load of {load:.1f}: P(wait > {parameters.slo_wait_s:g} s) "
            f"would be {late:.3g}, above {parameters.late_fraction:g}"
        )
    if terms["drain_slots"] and slots < load + terms["drain_slots"]:
        reasons.append(f"the backlog of {terms['backlog']:.0f} would not drain in time")
    if replicas < entry.replicas and entry.constraint not in ("demand", "backlog"):
        reasons.append(WHY.get(entry.constraint, entry.constraint))
    return reasons
