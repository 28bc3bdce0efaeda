"""The Ray shell: reads the context, counts completions across replicas, and never raises."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import autoscale.policy as policy_module
from autoscale import memory
from autoscale.explain import entry_at
from autoscale.journal import Journal
from autoscale.journal_entries import read_journal
from autoscale.policy import QueueDepthPolicy


@pytest.fixture(autouse=True)
def new_process() -> None:
    memory.forget()


def context(**changes: Any) -> Any:
    fields = {
        "deployment_name": "Small",
        "current_num_replicas": 3,
        "target_num_replicas": 3,
        "total_num_requests": 6.0,
        "total_queued_requests": 0.0,
        "aggregated_metrics": {
            "engine_waiting": {"a": 0.0, "b": 0.0, "c": 0.0},
            "engine_running": {"a": 2.0, "b": 2.0, "c": 2.0},
            "kv_cache_usage": {"a": 0.1, "b": 0.1, "c": 0.1},
            "completed_total": {"a": 10.0, "b": 10.0, "c": 10.0},
        },
        "capacity_adjusted_min_replicas": 1,
        "capacity_adjusted_max_replicas": 24,
        "current_time": 1000.0,
    }
    return SimpleNamespace(**(fields | changes))


def test_a_backlog_scales_up_through_rays_interface() -> None:
    policy = QueueDepthPolicy(slots_per_replica=4, service_prior_s=2.0)
    replicas = 3
    for second in range(20):
        replicas, state = policy(
            context(
                current_time=1000.0 + second,
                total_num_requests=12.0 + 10 * second,
                total_queued_requests=10.0 * second,
            )
        )
        assert state == {}
    assert replicas > 6


@pytest.mark.parametrize(
    "changes",
    [
        {"aggregated_metrics": None},
        {"aggregated_metrics": {"engine_running": {"a": "nonsense"}}},
        {"aggregated_metrics": {"engine_running": 3}},
        {"total_num_requests": None},
        {"total_num_requests": float("nan")},
        {"total_queued_requests": -5},
        {"current_time": None},
        {"capacity_adjusted_max_replicas": None},
        {"target_num_replicas": 3, "current_num_replicas": None},
    ],
)
def test_a_broken_context_holds_the_target(changes: dict[str, Any]) -> None:
    policy = QueueDepthPolicy()
    policy(context())
    assert policy(context(**({"current_time": 1001.0} | changes)))[0] == 3


def test_an_exception_in_the_core_holds_the_target(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("planted")

    monkeypatch.setattr(policy_module, "decide", broken)
    assert QueueDepthPolicy()(context(target_num_replicas=5))[0] == 5


def test_an_unreadable_context_repeats_the_last_answer() -> None:
    policy = QueueDepthPolicy()
    last = policy(context())[0]
    assert policy(object())[0] == last  # type: ignore[arg-type]  # nothing can be read from it


def test_wrong_settings_are_said_and_the_defaults_run(caplog: pytest.LogCaptureFixture) -> None:
    policy = QueueDepthPolicy(slo_wait=2)
    assert "slo_wait: unknown setting" in caplog.text
    assert policy(context())[0] == 3


def test_numpy_numbers_from_ray_decide_and_are_recorded(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    policy = QueueDepthPolicy(slots_per_replica=4, service_prior_s=2.0, journal_path=str(path))
    replicas = flooded(policy, np.float64, np.int64)
    assert replicas > 6
    deadline = time.monotonic() + 30.0
    while time.monotonic() < deadline and not (path.exists() and path.stat().st_size):
        time.sleep(0.01)
    entry = next(read_journal(path))
    assert entry.replays()
    assert entry.observation.reporting_replicas == 3


def flooded(policy: QueueDepthPolicy, real: Any = float, whole: Any = int) -> int:
    """The answer after 20 s in which the queue grows by ten a second."""
    for second in range(20):
        replicas, _ = policy(
            context(
                current_time=real(1000.0 + second),
                current_num_replicas=whole(3),
                total_num_requests=real(12.0 + 10 * second),
                total_queued_requests=whole(10 * second),
                aggregated_metrics={"engine_running": dict.fromkeys("abc", real(4.0))},
            )
        )
    return replicas


def test_a_failing_journal_never_changes_a_decision(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise OSError("planted")

    expected = flooded(QueueDepthPolicy(slots_per_replica=4, service_prior_s=2.0))
    monkeypatch.setattr(Journal, "record", broken)
    assert flooded(QueueDepthPolicy(slots_per_replica=4, service_prior_s=2.0)) == expected
    assert expected > 6


def test_shadow_mode_leaves_the_number_alone() -> None:
    policy = QueueDepthPolicy(shadow=True)
    busy = {"total_num_requests": 500.0, "total_queued_requests": 400.0}
    assert policy(context(**busy))[0] == 3
    default = QueueDepthPolicy(shadow=True, shadow_target_ongoing_requests=50)
    assert default(context(**busy))[0] == 10


def test_a_new_object_remembers_what_the_old_one_learnt(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    settings = {"slots_per_replica": 4, "service_prior_s": 6.0, "journal_path": str(path)}
    first = QueueDepthPolicy(**settings)
    learnt = served(first, 0, 300)
    assert learnt == pytest.approx(2.0, rel=0.1)
    first._journal.close()  # its lines are to stand before those of the next
    redeployed = QueueDepthPolicy(**settings)
    assert served(redeployed, 300, 301) == pytest.approx(learnt, rel=0.01)
    redeployed._journal.close()
    memory.forget()
    restarted = QueueDepthPolicy(**settings)
    assert served(restarted, 310, 311) == pytest.approx(learnt, rel=0.05)
    memory.forget()
    assert served(QueueDepthPolicy(slots_per_replica=4, service_prior_s=6.0), 0, 1) == 6.0


def test_a_restart_gives_each_application_its_own_memory(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    settings = {"slots_per_replica": 4, "service_prior_s": 6.0, "journal_path": str(path)}
    for app, busy in (("live", 2.0), ("trial", 4.0)):
        policy = QueueDepthPolicy(**settings)
        assert served(policy, 0, 300, app, busy) == pytest.approx(busy, rel=0.1)
        policy._journal.close()
    memory.forget()
    for app, busy in (("live", 2.0), ("trial", 4.0)):
        restarted = QueueDepthPolicy(**settings)
        assert served(restarted, 310, 311, app, busy) == pytest.approx(busy, rel=0.2)
        restarted._journal.close()
    assert entry_at(path, None, "Small").deployment == "trial/Small"
    assert entry_at(path, None, "live/Small").deployment == "live/Small"


def served(
    policy: QueueDepthPolicy, start: int, end: int, app: str = "", busy: float = 2.0
) -> float:
    """The learnt service time after seconds with three busy replicas, 1 request/s from each."""
    for second in range(start, end):
        counts = dict.fromkeys("abc", 10.0 + second)
        metrics = {"engine_running": dict.fromkeys("abc", busy), "completed_total": counts}
        changes: dict[str, Any] = {"aggregated_metrics": metrics, "app_name": app}
        policy(context(current_time=1000.0 + second, **changes))
    assert policy.last_decision is not None
    return policy.last_decision.terms.service_s


def test_the_journal_s_thread_ends_with_its_policy(tmp_path: Path) -> None:
    def writers() -> int:
        return sum(thread.name == "autoscale-journal" for thread in threading.enumerate())

    before = writers()
    for _ in range(30):
        QueueDepthPolicy(journal_path=str(tmp_path / "journal.jsonl"))(context())
    gc.collect()
    deadline = time.monotonic() + 30.0
    while writers() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert writers() <= before


def test_importing_the_policy_pulls_in_nothing_heavy() -> None:
    code = (
        "import sys, autoscale.policy;"
        "heavy={'ray','numpy','pandas','scipy','simpy','numba','matplotlib','rich','typer'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
