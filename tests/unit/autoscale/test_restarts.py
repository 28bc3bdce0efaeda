"""Steady load, disturbed knowledge: no replica is lost and at most one GPU more is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.autoscale.restarted_policy import Restarted
from bench.autoscale.restarts import KINDS, Excursion, excursions


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[Excursion]:
    policies = Restarted(str(tmp_path_factory.mktemp("restarts")))
    found = list(excursions(policies.make, policies.forget, events=2 * len(KINDS), seed=3))
    policies.forget(True)
    return found


def test_no_disturbance_costs_a_replica_or_more_than_one_gpu(found: list[Excursion]) -> None:
    """`python -m bench.autoscale.restarts` shows a thousand of them."""
    assert {each.kind for each in found} == set(KINDS)
    for each in found:
        # Without its journal a policy measures the rate anew, from one bucket of five seconds.
        more = 2 if each.kind == "restart without a journal" else 1
        assert each.needed <= each.least and each.greatest <= each.needed + more, each


def test_a_restart_finds_the_state_in_the_journal(tmp_path: Path) -> None:
    from autoscale.journal_entries import last_entry

    policies = Restarted(str(tmp_path))
    list(excursions(policies.make, policies.forget, events=1, seed=1))
    policies.forget(False)
    entry = last_entry(tmp_path / "journal.jsonl", "bench/Small")
    assert entry is not None and entry.before is not None
    assert entry.before.capacity.service_s == pytest.approx(6.0, rel=0.1)
    assert last_entry(tmp_path / "journal.jsonl", "bench/Large") is None
    # Full, and begun anew by another deployment: this one's last line is in the older file.
    (tmp_path / "journal.jsonl").rename(tmp_path / "journal.jsonl.1")
    (tmp_path / "journal.jsonl").write_text("{}\n")
    assert last_entry(tmp_path / "journal.jsonl", "bench/Small") == entry
