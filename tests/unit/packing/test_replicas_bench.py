"""The packing bench repeats what others disturbed; its engines are not started here."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from bench.packing import replicas


@pytest.fixture
def phases(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """Cores that others take in each phase, one phase a second of a made-up clock."""
    taken: list[float] = []
    clock = itertools.count()
    ran = itertools.count(1)
    busy = itertools.chain.from_iterable((0.0, share) for share in taken)
    ticking = SimpleNamespace(monotonic=lambda: float(next(clock)))
    monkeypatch.setattr("bench.packing.replicas.time", ticking)
    monkeypatch.setattr(replicas, "others_cpu_s", lambda _: next(busy))
    monkeypatch.setattr(replicas, "run_phase", lambda *_: {"tokens_per_s": float(next(ran))})
    yield taken


@pytest.mark.parametrize(
    ("others", "kept"),
    [
        ([0.02, 0.0], 1),
        ([0.9, 0.05, 0.0], 2),
        ([0.9, 0.4, 0.3, 0.8, 0.0], 3),
    ],
)
def test_the_first_quiet_phase_counts_else_the_least_disturbed(
    phases: list[float], others: list[float], kept: int
) -> None:
    phases += others
    figures = replicas.quiet_phase([], [0.0], None)
    assert figures == {"tokens_per_s": float(kept), "others_cores": others[kept - 1]}
