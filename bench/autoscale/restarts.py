"""Steady load under the production policy while what it knows is disturbed, again and again.

The controller restarts with and without its journal, ticks are missing, the clock steps, replicas
report late, one after the other, or not at all. The load never changes, so neither should the
target. `python -m bench.autoscale.restarts` prints the widest excursion of each kind.
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

RATE_RPS, SERVICE_S, SLOTS, STARTUP_S = 12.0, 6.0, 16, 60.0
TICK_S = 1.0
WATCH_S = 600.0
"""How long after each disturbance the target must stay where it was."""
WINDOW = 3  # readings in a mean: Ray's `look_back_period_s` in our serve_config, one a second
LONGEST_SILENCE_S = 30.0
LATEST_S = 3.0  # Ray's window: older readings are no part of its means
MakePolicy = Callable[[], Callable[[Any], tuple[int, Any]]]


class Excursion(NamedTuple):
    """The least and greatest target in the ten minutes after a disturbance, and what is needed."""

    kind: str
    needed: int
    least: int
    greatest: int


@dataclass(slots=True)
class Tier:
    """Poisson arrivals, exponential service, slots enough: requests in the system and counters."""

    rng: np.random.Generator
    replicas: int = 6
    now_s: float = 1e9
    completed: dict[str, int] = field(default_factory=dict)
    starting: list[float] = field(default_factory=list)
    in_system: int = round(RATE_RPS * SERVICE_S)
    born: int = 0
    # Readings of the last seconds: requests in the system, completions of each replica.
    readings: list[tuple[int, dict[str, int]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for _ in range(self.replicas):
            self._start(200_000)

    def _start(self, completed: int = 0) -> None:
        self.completed[f"replica-{self.born}"] = completed
        self.born += 1

    def step(self, target: int) -> None:
        """One tick of traffic; replicas asked for start after STARTUP_S, others go at once."""
        leave = int(self.rng.binomial(self.in_system, 1.0 - math.exp(-TICK_S / SERVICE_S)))
        self.in_system += int(self.rng.poisson(RATE_RPS * TICK_S)) - leave
        self.now_s += TICK_S
        shares = self.rng.multinomial(leave, [1.0 / len(self.completed)] * len(self.completed))
        for name, done in zip(self.completed, shares, strict=True):
            self.completed[name] += int(done)
        for _ in [at for at in self.starting if at <= self.now_s]:
            self._start()
        self.starting = [at for at in self.starting if at > self.now_s]
        while target > len(self.completed) + len(self.starting):
            self.starting.append(self.now_s + STARTUP_S)
        while target < len(self.completed) + len(self.starting) and self.starting:
            self.starting.pop()
        while target < len(self.completed) > 1:
            self.completed.popitem()
        self.readings = [*self.readings[-9:], (self.in_system, dict(self.completed))]


@dataclass(slots=True)
class Disturbed:
    """What of the tier the policy gets to see."""

    tier: Tier
    # Until when each replica, and the handles, report nothing; how old a replica's report is, and
    # until when.
    silent_until_s: dict[str, float] = field(default_factory=dict)
    handles_until_s: float = 0.0
    late_s: dict[str, float] = field(default_factory=dict)
    late_until_s: float = 0.0
    clock_s: float = 0.0

    def context(self, target: int) -> Any:
        """Ray's context at this tick."""
        tier = self.tier
        heard = [n for n in tier.completed if self.silent_until_s.get(n, 0.0) <= tier.now_s]
        in_system = statistics.fmean(held for held, _ in tier.readings[-WINDOW:])
        running = in_system / max(1, len(tier.completed))
        metrics = {
            "engine_waiting": dict.fromkeys(heard, 0.0),
            "engine_running": dict.fromkeys(heard, running),
            "kv_cache_usage": dict.fromkeys(heard, 0.2),
            "completed_total": {name: self._reading(name) for name in heard},
        }
        blind = tier.now_s < self.handles_until_s
        return SimpleNamespace(
            deployment_name="Small",
            app_name="bench",
            current_num_replicas=len(tier.completed),
            target_num_replicas=target,
            total_num_requests=0.0 if blind else in_system,
            total_queued_requests=0.0,
            aggregated_metrics=metrics if heard else {},
            capacity_adjusted_min_replicas=1,
            capacity_adjusted_max_replicas=24,
            current_time=tier.now_s + self.clock_s,
        )

    def _reading(self, name: str) -> float:
        """The mean of a replica's counter over Ray's window, which ends earlier if it is late."""
        late_s = self.late_s.get(name, 0.0) if self.tier.now_s < self.late_until_s else 0.0
        end = len(self.tier.readings) - round(late_s / TICK_S)
        window = self.tier.readings[max(0, end - WINDOW) : end]
        counts = [count[name] for _, count in window if name in count]
        return statistics.fmean(counts) if counts else float(self.tier.completed[name])


def _one_after_the_other(seen: Disturbed, rng: np.random.Generator) -> None:
    """As replicas and handles come back to a new controller."""
    names = list(seen.tier.completed)
    rng.shuffle(names)
    step_s = rng.uniform(0.0, 2.0)
    seen.silent_until_s = {n: seen.tier.now_s + i * step_s for i, n in enumerate(names)}
    seen.handles_until_s = seen.tier.now_s + rng.uniform(0.0, 10.0)


def _missing(seen: Disturbed, rng: np.random.Generator) -> None:
    for name in seen.tier.completed:
        if rng.random() < 0.4:
            silent_s = rng.uniform(1.0, LONGEST_SILENCE_S)
            seen.silent_until_s[name] = seen.tier.now_s + silent_s


def _late(seen: Disturbed, rng: np.random.Generator) -> None:
    seen.late_s = {n: rng.uniform(0.0, LATEST_S) for n in seen.tier.completed if rng.random() < 0.5}
    seen.late_until_s = seen.tier.now_s + rng.uniform(5.0, 300.0)


KINDS = (
    "nothing",
    "restart",
    "restart without a journal",
    "redeploy",
    "gap",
    "clock",
    "missing",
    "late",
)


def excursions(
    make: MakePolicy, forget: Callable[[bool], None], events: int, seed: int
) -> Iterator[Excursion]:
    """`events` disturbances of one tier.

    `make` gives a policy as a new controller or deployment would; `forget` ends the process' memory
    before, with the journal (True) or without.
    """
    rng = np.random.default_rng(seed)
    tier = Tier(rng)
    seen = Disturbed(tier)
    policy, target = make(), tier.replicas
    target, _, _ = _watch(policy, seen, target, 1800.0)
    needed = target
    for number in range(events):
        kind = KINDS[number % len(KINDS)]
        if kind.startswith("restart"):
            forget(kind != "restart")
            policy = make()
            _one_after_the_other(seen, rng)
        elif kind == "redeploy":
            policy = make()
        elif kind == "gap":
            for _ in range(int(rng.uniform(2.0, 300.0))):
                tier.step(target)
        elif kind == "clock":
            seen.clock_s += float(rng.choice([0.3, 5.0, 90.0, 3600.0]) * rng.choice([-1, 1]))
        elif kind != "nothing":
            (_missing if kind == "missing" else _late)(seen, rng)
        target, least, greatest = _watch(policy, seen, target, WATCH_S)
        yield Excursion(kind, needed, least, greatest)


def _watch(
    policy: Callable[[Any], tuple[int, Any]], seen: Disturbed, target: int, for_s: float
) -> tuple[int, int, int]:
    least = greatest = target
    for _ in range(round(for_s / TICK_S)):
        seen.tier.step(target)
        target = policy(seen.context(target))[0]
        least, greatest = min(least, target), max(greatest, target)
    return target, least, greatest


def main() -> None:
    """Disturb and print."""
    from tempfile import TemporaryDirectory

    from bench.autoscale.restarted_policy import Restarted

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    with TemporaryDirectory() as folder:
        policies = Restarted(folder)
        found = list(excursions(policies.make, policies.forget, chosen.events, chosen.seed))
        policies.forget(False)
    for kind in KINDS:
        of = [each for each in found if each.kind == kind]
        low = min((each.least - each.needed for each in of), default=0)
        high = max((each.greatest - each.needed for each in of), default=0)
        more = sum(each.greatest > each.needed + 1 for each in of)
        print(f"{kind:26} {len(of):5} times: {low:+d} to {high:+d} GPUs; more than +1 {more} times")


if __name__ == "__main__":
    main()
