"""Foreign traffic raises the alarm, the same traffic does not."""

from dataclasses import asdict

import numpy as np
import pytest
from scipy.stats import ks_2samp

from classifier.drift import DriftMonitor, DriftReport, DriftWatch, kolmogorov_smirnov
from classifier.score import Score

DIMENSIONS = 64


def _traffic(rng: np.random.Generator, rows: int, centre: int) -> np.ndarray:
    raw = rng.normal(0, 1, (rows, DIMENSIONS)) * 0.12
    raw[:, centre] += 0.5
    units: np.ndarray = (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)
    return units


def _alarms(foreign: float, windows: int = 150) -> float:
    rng = np.random.default_rng(7)
    home = _traffic(rng, 1_000, 0)
    monitor = DriftMonitor(home, rng.random(1_000))
    raised = 0
    for _ in range(windows):
        strange = round(foreign * 300)
        vectors = np.concatenate([_traffic(rng, 300 - strange, 0), _traffic(rng, strange, 1)])
        raised += monitor.report(vectors, rng.random(300), rng.random(300), 0.7).alarm
    return raised / windows


def test_a_fifth_of_foreign_prompts_is_flagged_in_nine_windows_of_ten() -> None:
    assert _alarms(0.2) >= 0.9


def test_the_same_traffic_is_left_alone() -> None:
    assert _alarms(0.0) <= 0.04  # 150 windows at a true rate of 1.2%


def test_a_moved_score_is_flagged_although_the_words_are_the_same() -> None:
    rng = np.random.default_rng(0)
    monitor = DriftMonitor(_traffic(rng, 1_000, 0), rng.random(1_000))
    found = monitor.report(_traffic(rng, 300, 0), rng.random(300) ** 2, rng.random(300), 0.7)
    assert found.alarm
    assert found.ks_p < 1e-4


def test_the_rates_are_those_of_the_window() -> None:
    rng = np.random.default_rng(0)
    monitor = DriftMonitor(_traffic(rng, 500, 0), rng.random(500))
    scores = np.r_[np.full(30, 0.7), np.full(270, 0.1)]
    familiar = np.r_[np.full(60, 0.01), np.full(240, 0.5)]
    found = monitor.report(_traffic(rng, 300, 0), scores, familiar, 0.7)
    assert found.escalation_rate == pytest.approx(0.1)
    assert found.unfamiliar_rate == pytest.approx(0.2)
    assert set(DriftReport.about()) == set(asdict(found))


def test_a_watch_reports_once_a_window_and_starts_the_next_one_empty() -> None:
    rng = np.random.default_rng(0)
    home, scores = _traffic(rng, 900, 0), rng.random(900)
    watch = DriftWatch(DriftMonitor(home, scores, window=300), 0.7)
    reports = [
        watch.add(vector, Score(float(complexity), 0.5, 0.5, 0.0, 0.9))
        for vector, complexity in zip(home, scores, strict=True)
    ]
    assert [i for i, report in enumerate(reports) if report] == [299, 599, 899]
    assert reports[899] is not None
    assert reports[899].prompts == 300
    assert reports[899].escalation_rate == pytest.approx((scores[600:] >= 0.7).mean())


@pytest.mark.parametrize("shift", [0.0, 0.1, 0.5])
def test_kolmogorov_smirnov_agrees_with_scipy(shift: float) -> None:
    rng = np.random.default_rng(3)
    a, b = np.sort(rng.normal(size=300)), np.sort(rng.normal(shift, 1, 900))
    expected = ks_2samp(a, b, method="asymp")
    statistic, p = kolmogorov_smirnov(a, b)
    assert statistic == pytest.approx(expected.statistic)
    assert p == pytest.approx(expected.pvalue, abs=0.02)
