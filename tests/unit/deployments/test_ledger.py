"""One line per request, with everything but its text; a disk that is full costs no request."""

import asyncio
from pathlib import Path
from typing import Any

import orjson
import pytest

from deployments.accounting.ledger import Ledger, RequestMetrics, ledger_line
from deployments.accounting.record import Record, cost_usd
from deployments.protocol.chunk import Usage
from deployments.protocol.errors import Overloaded
from deployments.routing.route import Cause, Route
from deployments.settings.app import TierConfig
from tests.fakes import score_of

PRICED = TierConfig.model_validate(
    {
        "model": "m",
        "engine": {"kind": "simulated"},
        "usd_per_million_prompt_tokens": 2.0,
        "usd_per_million_completion_tokens": 10.0,
    }
)


def record(**fields: Any) -> Record:
    return Record("r1", "chat", "auto", False, 0.0, **fields)


def finished(error: BaseException | None = None, **fields: Any) -> Record:
    one = record(usage=Usage(1000, 100), **fields)
    one.finish(error, PRICED)
    return one


@pytest.mark.parametrize(
    ("usage", "usd"),
    [((0, 0), 0.0), ((1_000_000, 0), 2.0), ((0, 1_000_000), 10.0), ((500_000, 100_000), 2.0)],
)
def test_an_answer_costs_its_tokens_at_the_tiers_prices(usage: tuple[int, int], usd: float) -> None:
    assert cost_usd(PRICED, Usage(*usage)) == pytest.approx(usd)


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (None, "ok"),
        (Overloaded("the prompt text"), "overloaded"),
        (asyncio.CancelledError(), "cancelled"),
        (GeneratorExit(), "cancelled"),
        (ValueError("the prompt text"), "internal_error"),
    ],
)
def test_a_request_ends_with_one_outcome(error: BaseException | None, outcome: str) -> None:
    assert finished(error).outcome == outcome


def test_the_first_byte_is_noted_once() -> None:
    one = record()
    one.first_byte()
    first = one.ttft_s
    one.first_byte()
    assert one.ttft_s == first


def test_a_line_tells_where_a_request_went_and_what_it_cost() -> None:
    one = finished(route=Route("large", Cause.SESSION, True), model="big", score=score_of(0.25))
    one.ttft_s, one.total_s = 0.0123456, 2.5
    line = ledger_line(one, 0.7, 1000.0004)
    assert line["tier"] == "large"
    assert line["cause"] == "session"
    assert line["model"] == "big"
    assert (line["score"], line["threshold"], line["artifact"]) == (0.25, 0.7, "test-artifact")
    assert (line["prompt_tokens"], line["completion_tokens"]) == (1000, 100)
    assert line["cost_usd"] == pytest.approx(0.003)
    assert (line["ttft_ms"], line["total_ms"]) == (12.35, 2500.0)
    assert line["time_s"] == 1000.0


def test_a_line_has_the_same_keys_however_early_a_request_failed() -> None:
    full = finished(route=Route("small", Cause.CLASSIFIER, True), model="m", score=score_of(0.1))
    early = record()
    early.finish(Overloaded("x"), None)
    assert ledger_line(early, 0.7, 0.0).keys() == ledger_line(full, 0.7, 0.0).keys()


def test_no_error_message_reaches_a_line() -> None:
    line = ledger_line(finished(Overloaded("prompt: ACME-4711")), 0.7, 0.0)
    assert b"4711" not in orjson.dumps(line)


def test_lines_are_appended_to_the_replicas_own_file(tmp_path: Path) -> None:
    for _ in range(2):
        ledger = Ledger(str(tmp_path / "new" / "folder"), "replica-1", 0.7)
        ledger.write(finished())
        ledger.close()
    lines = (tmp_path / "new" / "folder" / "ledger-replica-1.jsonl").read_bytes().splitlines()
    assert [orjson.loads(line)["request_id"] for line in lines] == ["r1", "r1"]


def test_without_a_folder_nothing_is_kept() -> None:
    Ledger(None, "r", 0.7).write(finished())


def test_a_full_disk_fails_no_request_and_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "ledger-r.jsonl").symlink_to("/dev/full")
    ledger = Ledger(str(tmp_path), "r", 0.7)
    ledger.write(finished())
    ledger.write(finished())
    ledger.close()
    assert len(caplog.records) == 1
    assert "No space left" in caplog.text


def test_a_finished_request_is_counted_however_it_ended() -> None:
    metrics = RequestMetrics()
    metrics.observe(finished(route=Route("small", Cause.CLASSIFIER, True), model="m"))
    metrics.observe(finished(Overloaded("x")))
