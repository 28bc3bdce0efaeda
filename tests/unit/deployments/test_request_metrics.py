"""What the histograms of requests are told: the two times of an answer, each in its own."""

from collections import defaultdict
from typing import Any

import pytest

from deployments.accounting import metrics as request_metrics
from deployments.accounting.exchange import Exchange
from deployments.protocol.errors import EngineFailure
from deployments.settings.app import GatewayConfig
from tests.fakes import FakeTier, Setting, chat, chunks_of

TTFT, TOTAL = "smallfirst_ttft_ms", "smallfirst_request_ms"


class Histogram:
    """Stands in for Ray's: remembers its bounds, and what it was told."""

    bounds: dict[str, list[int]]
    told: dict[str, list[float]]

    def __init__(self, name: str, *_: Any, boundaries: list[int], tag_keys: Any) -> None:
        self._name, self._tags = name, set(tag_keys)
        self.bounds[name] = boundaries

    def observe(self, value: float, tags: dict[str, str]) -> None:
        assert set(tags) == self._tags
        self.told[self._name].append(value)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[float]]:
    monkeypatch.setattr(Histogram, "bounds", {}, raising=False)
    monkeypatch.setattr(Histogram, "told", defaultdict(list), raising=False)
    monkeypatch.setattr("ray.serve.metrics.Histogram", Histogram)
    return Histogram.told


WHOLE = chunks_of("a", "b")
BROKEN = [*WHOLE[:1], EngineFailure("x")]


@pytest.mark.parametrize(
    ("stream", "items", "first_bytes"),
    [(True, WHOLE, 1), (False, WHOLE, 0), (True, EngineFailure("x"), 0), (False, BROKEN, 0)],
    ids=["a stream", "a document", "a stream that never began", "a document that broke"],
)
async def test_only_a_stream_has_a_time_to_its_first_token(
    told: dict[str, list[float]], stream: bool, items: Any, first_bytes: int
) -> None:
    setting = Setting(small=FakeTier(items), large=FakeTier(items))
    exchange = await setting.answer(chat("Hi", stream=stream, model="small"))
    request_metrics.RequestMetrics().observe(exchange)
    assert (len(told[TTFT]), len(told[TOTAL])) == (first_bytes, 1)


async def test_the_times_are_milliseconds_since_the_request_came(
    told: dict[str, list[float]],
) -> None:
    exchange = Exchange("r", "chat", "auto", True, 0.0)
    exchange.ttft_s, exchange.total_s = 0.25, 90.0
    request_metrics.RequestMetrics().observe(exchange)
    assert told == {TTFT: [250.0], TOTAL: [90_000.0]}


def test_the_longest_request_has_a_bucket(told: dict[str, list[float]]) -> None:
    request_metrics.RequestMetrics()
    for name in (TTFT, TOTAL):
        bounds = Histogram.bounds[name]
        assert bounds == sorted(set(bounds))
        assert bounds[-1] >= GatewayConfig().max_request_s * 1e3
        # A slow answer and one at its deadline are two.
        assert sum(bound > 60_000 for bound in bounds) >= 2
