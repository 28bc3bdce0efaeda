"""A step by clients who wait for each answer: full slots hide what they would send.

Reports come each second and are means of three, as Ray's are; the policy is asked ten times a
second. The phase of both against the step is what differs between seeds.
"""

from __future__ import annotations

import math
import random
from pathlib import Path
from statistics import fmean

import pytest

from autoscale.core import decide
from autoscale.journal import as_line
from autoscale.journal_entries import read_journal
from autoscale.observation import Observation
from autoscale.parameters import Parameters
from autoscale.state import State

# Those of the live drill, tests/cluster/test_autoscale_policy.py.
PARAMETERS = Parameters(
    slots_per_replica=4,
    service_prior_s=1.0,
    startup_prior_s=18.0,
    replicas_per_gpu=2,
    hold_down_s=8.0,
    late_fraction=0.05,
    slo_wait_s=0.1,
)
TICK_S, QUIET_S, SERVICE_S, HANDOVER_S = 0.1, 30.0, 1.0, 0.06


class ClosedLoop:
    """Clients that send their next request when the last is answered; the number may change."""

    def __init__(self, replicas: int, seed: int) -> None:
        self.replicas, self._chance = replicas, random.Random(seed)
        self._phase_s, self._now_s = self._chance.random(), 0.0
        self._busy_until_s: list[float] = []
        self._queued = self._completed = 0
        self._reports: list[tuple[int, int, int]] = []
        self._state: State | None = None
        self.stood: list[str] = []  # the journal of ticks with a backlog that was waited out

    def asked(self, clients: int) -> int:
        """The replicas asked for after one tick under so many clients."""
        now_s = self._now_s = self._now_s + TICK_S
        running = [end for end in self._busy_until_s if end > now_s]
        self._completed += len(self._busy_until_s) - len(running)
        self._queued += max(0, clients - len(running) - self._queued)
        while self._queued and len(running) < self.replicas * PARAMETERS.slots_per_replica:
            idle_s = HANDOVER_S * self._chance.uniform(0.0, 2.0)
            running.append(now_s + SERVICE_S + idle_s)
            self._queued -= 1
        self._busy_until_s = running
        if int(now_s + self._phase_s) != int(now_s - TICK_S + self._phase_s):
            self._reports = [
                *self._reports[-2:],
                (self._queued, len(running), self._completed),
            ]
        return self._decide() if self._reports else self.replicas

    def _decide(self) -> int:
        queued, running, completed = (fmean(values) for values in zip(*self._reports, strict=True))
        seen = Observation(
            time_s=1e9 + self._now_s,
            total_requests=queued + running,
            queued=queued,
            current_replicas=self.replicas,
            target_replicas=self.replicas,
            min_replicas=2,
            max_replicas=8,
            engine_waiting=0.0,
            engine_running=running,
            kv_cache_usage=0.0,
            completed_total=completed,
            reporting_replicas=self.replicas,
        )
        before, decision = self._state, decide(seen, PARAMETERS, self._state)
        self._state = decision.state
        if before is not None and before.drained_by_s is not None:
            self.stood.append(as_line("small", seen, before, decision, PARAMETERS))
        return decision.replicas


def answered_after_s(replicas: int, clients: int, seed: int) -> float:
    """Seconds from a threefold step of the clients to the first new replica asked for."""
    loop = ClosedLoop(replicas, seed)
    for _ in range(round(QUIET_S / TICK_S)):
        asked = loop.asked(clients)
    assert asked <= replicas
    for tick in range(round(15.0 / TICK_S)):
        if loop.asked(3 * clients) > replicas:
            return (tick + 1) * TICK_S
    return math.inf


@pytest.mark.parametrize(("replicas", "clients"), [(2, 4), (4, 5), (4, 8)])
def test_a_threefold_step_that_fills_every_slot_is_answered_within_5_s(
    replicas: int, clients: int
) -> None:
    took_s = [answered_after_s(replicas, clients, seed) for seed in range(8)]
    assert max(took_s) <= 5.0, took_s


def test_clients_that_fit_ask_for_nothing() -> None:
    loop = ClosedLoop(replicas=4, seed=1)
    assert max(loop.asked(8) for _ in range(1200)) <= 4


def test_the_wait_for_a_backlog_is_in_the_journal(tmp_path: Path) -> None:
    loop = ClosedLoop(replicas=2, seed=1)
    for tick in range(700):
        loop.asked(4 if tick < 300 else 12)
    journal = tmp_path / "journal.jsonl"
    journal.write_text("\n".join(loop.stood) + "\n", encoding="utf-8")
    entries = list(read_journal(journal))
    assert {entry.constraint for entry in entries} >= {"backlog"}
    assert all(entry.replays() for entry in entries)
