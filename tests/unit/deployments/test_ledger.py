"""One line per exchange, with everything but its text; a disk that fails costs no request."""

import logging
import os
import threading
from pathlib import Path
from typing import Any

import orjson
import pytest

from deployments.accounting import ledger as ledger_module
from deployments.accounting.exchange import Exchange
from deployments.accounting.ledger import Ledger
from deployments.accounting.ledger_file import DAY_S, Appended, LedgerFile
from deployments.accounting.ledger_line import ledger_line
from deployments.accounting.metrics import RequestMetrics
from deployments.accounting.price import Price
from deployments.protocol.chunk import Usage
from deployments.protocol.errors import Overloaded
from deployments.routing.cause import Cause
from deployments.routing.route import Route
from tests.fakes import score_of

MIB = 1024**2
PRICE = Price(2 * 10**9, 10 * 10**9)


def exchange(request_id: str = "r1", **fields: Any) -> Exchange:
    return Exchange(request_id, "chat", "auto", False, 0.0, **fields)


def settled(error: BaseException | None = None, request_id: str = "r1", **fields: Any) -> Exchange:
    one = exchange(request_id, **fields)
    first = one.attempt(Route("small", Cause.CLASSIFIER, True), "small-model", PRICE)
    first.usage = Usage(1000, 1)
    first.end("empty")
    then = one.attempt(Route("large", Cause.ANSWER_CHECK, False), "large-model", PRICE)
    then.usage = Usage(1000, 100)
    one.end(error)
    one.settle(None, lambda _: None)
    return one


def test_a_line_tells_where_a_request_went_and_what_all_tries_cost() -> None:
    one = settled(score=score_of(0.25), threshold=0.7)
    one.ttft_s, one.total_s = 0.0123456, 2.5
    line = ledger_line(one, 1000.0004)
    assert (line["tier"], line["cause"], line["model"]) == ("large", "answer_check", "large-model")
    assert (line["score"], line["threshold"], line["artifact"]) == (0.25, 0.7, "test-artifact")
    assert (line["prompt_tokens"], line["completion_tokens"]) == (1000, 100)
    assert line["cost_nano_usd"] == 2_010_000 + 3_000_000
    assert line["cost_usd"] == pytest.approx(0.00501)
    assert (line["ttft_ms"], line["total_ms"]) == (12.35, 2500.0)
    assert (line["time_s"], line["arrived_s"]) == (1000.0, 997.5)
    tries = [(a["tier"], a["outcome"], a["completion_tokens"]) for a in line["attempts"]]
    assert tries == [("small", "empty", 1), ("large", "ok", 100)]
    assert sum(a["cost_nano_usd"] for a in line["attempts"]) == line["cost_nano_usd"]


def test_a_line_has_the_same_keys_however_early_a_request_failed() -> None:
    early = exchange()
    early.settle(Overloaded("x"), lambda _: None)
    full = settled(score=score_of(0.1))
    assert ledger_line(early, 0.0).keys() == ledger_line(full, 0.0).keys()


def test_no_error_message_reaches_a_line() -> None:
    line = ledger_line(settled(Overloaded("prompt: ACME-4711")), 0.0)
    assert b"4711" not in orjson.dumps(line)


# -- the file ---------------------------------------------------------------------------------


def lines_of(folder: Path) -> list[bytes]:
    files = sorted(folder.glob("*.jsonl"), key=lambda path: path.stat().st_mtime_ns)
    return [line for path in files for line in path.read_bytes().splitlines()]


def opened(folder: Path, replica: str = "r", file_bytes: int = MIB, keep: int = MIB) -> LedgerFile:
    return LedgerFile(folder, replica, file_bytes, keep)


def short_writes(monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    """A disk with this much room: a write that does not fit is short, the next one fails."""
    left, write = [room], os.write

    def full(fd: int, data: Any) -> int:
        if not left[0]:
            raise OSError(28, "No space left on device")
        count = write(fd, bytes(data)[: left[0]])
        left[0] -= count
        return count

    monkeypatch.setattr("os.write", full)


def test_a_short_write_leaves_whole_lines_and_the_next_line_is_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = opened(tmp_path)
    with monkeypatch.context() as full:
        short_writes(full, 5)
        done = file.append([b"abc\n", b"def\n", b"ghi\n"], 0.0)
    assert (done.lines, done.error and done.error.strerror) == (1, "No space left on device")
    assert file.append([b"jkl\n"], 0.0) == Appended(1)
    assert lines_of(tmp_path) == [b"abc", b"jkl"]


def test_a_half_line_of_a_crash_is_cut_at_the_next_start(tmp_path: Path) -> None:
    (tmp_path / "ledger-r.jsonl").write_bytes(b'{"a":1}\n{"b":')
    opened(tmp_path).append([b"c\n"], 0.0)
    assert lines_of(tmp_path) == [b'{"a":1}', b"c"]


def test_a_file_begins_anew_by_size_and_no_line_is_lost(tmp_path: Path) -> None:
    file = opened(tmp_path, file_bytes=10)
    for number in range(8):
        file.append([b"line %d\n" % number], 0.0)
    assert len(list(tmp_path.glob("ledger-*.jsonl"))) == 4
    assert sorted(lines_of(tmp_path)) == [b"line %d" % number for number in range(8)]


def test_a_file_begins_anew_every_day(tmp_path: Path) -> None:
    file = opened(tmp_path)
    for now_s in (0.5 * DAY_S, 0.9 * DAY_S, 1.1 * DAY_S, 1.2 * DAY_S):
        file.append([b"%d\n" % now_s], now_s)
    assert len(list(tmp_path.glob("ledger-*.jsonl"))) == 2
    assert (tmp_path / "ledger-r.jsonl").read_bytes().count(b"\n") == 2


def test_the_oldest_files_are_removed_and_never_the_current_one(tmp_path: Path) -> None:
    old = tmp_path / "ledger-gone.jsonl"
    old.write_bytes(b"x" * 100)
    other = tmp_path / "notes.jsonl"
    other.write_bytes(b"not ours")
    file = opened(tmp_path, file_bytes=10, keep=30)
    for number in range(20):
        file.append([b"line %02d\n" % number], 0.0)
    assert not old.exists()
    assert other.exists()
    kept = [line for line in lines_of(tmp_path) if line.startswith(b"line")]
    assert b"line 19" in kept
    assert len(kept) <= 6


def test_a_file_that_somebody_removed_is_made_again(tmp_path: Path) -> None:
    file = opened(tmp_path / "new")
    file.append([b"a\n"], 0.0)
    (tmp_path / "new" / "ledger-r.jsonl").unlink()
    (tmp_path / "new").rmdir()
    assert file.append([b"b\n"], 0.0) == Appended(1)
    assert lines_of(tmp_path / "new") == [b"b"]


@pytest.mark.parametrize("anew", [True, False])
def test_a_file_that_logrotate_moved_is_left_to_it(tmp_path: Path, anew: bool) -> None:
    file = opened(tmp_path)
    file.append([b"a\n"], 0.0)
    aside = (tmp_path / "ledger-r.jsonl").rename(tmp_path / "ledger-r.jsonl.1")
    if anew:
        (tmp_path / "ledger-r.jsonl").touch()
    # From here on it may be compressed and removed at any moment.
    assert file.append([b"b\n"], 0.0) == Appended(1)
    assert aside.read_bytes() == b"a\n"
    assert lines_of(tmp_path) == [b"b"]


# -- the queue and its thread -----------------------------------------------------------------


def ledger(file: Any, lost: list[int]) -> Ledger:
    return Ledger(file, lost.append)


def test_lines_are_appended_to_the_replicas_own_file(tmp_path: Path) -> None:
    for name in ("a", "b"):
        one = ledger(opened(tmp_path, "replica-1"), [])
        one.keep(settled(request_id=name))
        one.close()
    lines = (tmp_path / "ledger-replica-1.jsonl").read_bytes().splitlines()
    assert [orjson.loads(line)["request_id"] for line in lines] == ["a", "b"]


def test_a_full_disk_fails_no_request_is_said_once_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "ledger-r.jsonl").symlink_to("/dev/full")
    lost: list[int] = []
    one = ledger(opened(tmp_path), lost)
    for _ in range(3):
        one.keep(settled())
    one.close()
    assert sum(lost) == 3
    assert len(caplog.records) == 1
    assert "No space left" in caplog.text


class HangingFile:
    """A file on a disk that does not answer until it is told to."""

    def __init__(self) -> None:
        self.answers = threading.Event()
        self.written = 0

    def append(self, lines: list[bytes], now_s: float) -> Appended:
        self.answers.wait(30)
        self.written += len(lines)
        return Appended(len(lines))

    def close(self) -> None: ...


def test_a_disk_that_hangs_costs_lines_and_no_time(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(ledger_module, "WAITING_LINES", 10)
    file, lost = HangingFile(), list[int]()
    one = ledger(file, lost)
    for _ in range(100):  # would hang here, were the write on this thread
        one.keep(settled())
    assert 100 - 10 - 10 <= sum(lost) <= 100 - 10
    file.answers.set()
    one.close()
    assert file.written + sum(lost) == 100
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


def test_the_writer_outlives_what_it_does_not_know(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(HangingFile):
        def append(self, lines: list[bytes], now_s: float) -> Appended:
            if self.written == 0:
                self.written = 1
                raise RuntimeError("the prompt text")
            self.written += len(lines)
            return Appended(len(lines))

    file, lost = Broken(), list[int]()
    one = ledger(file, lost)
    one.keep(settled())
    while not lost:
        threading.Event().wait(0.01)
    one.keep(settled())
    one.close()
    assert (lost, file.written) == ([1], 2)
    assert "prompt" not in caplog.text


async def test_a_settled_exchange_is_counted_however_it_ended() -> None:
    metrics = RequestMetrics()
    one = exchange()
    one.attempt(Route("small", Cause.CLASSIFIER, True), "m", PRICE).usage = Usage(-1, -1)
    one.settle(None, lambda _: None)
    for each in (settled(), settled(Overloaded("x")), exchange(), one):
        metrics.observe(each)
    metrics.lines_lost(0)
    metrics.accounting_failed()
    metrics.flush()
