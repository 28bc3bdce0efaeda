"""Asks a running endpoint for the answers of `answer-check collect`, and loses none that came."""

import json
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import httpx

from answer_check import collecting
from answer_check.artifact import AnswerCheckError
from answer_check.json_lines import objects

AT_ONCE = 16
TRIES = 4
# Between two tries, doubled each time, where the endpoint names none; and the longest it may name.
WAIT_S = 1.0
LONGEST_WAIT_S = 30.0

Placed = tuple[str, dict[str, Any]]


class Answer(NamedTuple):
    """A row with its answer, or why there is none."""

    place: str
    row: dict[str, Any] | None
    why: str = ""


def left(data: Path, done: Path) -> list[Placed]:
    """The rows of `data`, with their places, that `done` has no answer of.

    Raises: `AnswerCheckError` before one is paid for, where a row cannot be asked or marked.
    """
    have = {_question(*row) for row in objects(done)} if done.exists() else set()
    rows = [(place, row) for place, row in objects(data) if _question(place, row) not in have]
    for place, row in rows:
        try:
            collecting.check(row)
        except AnswerCheckError as fault:
            raise AnswerCheckError(f"{place}: {fault}") from None
    return rows


def _question(place: str, row: dict[str, Any]) -> str:
    try:
        return repr(collecting.messages_of(row))
    except AnswerCheckError as fault:
        raise AnswerCheckError(f"{place}: {fault}") from None


def append_line(file: BinaryIO, row: dict[str, Any]) -> None:
    """Write a row, on a line of its own whoever wrote before. In ASCII: no line ends within it,
    and half a pair of surrogates is kept."""
    if file.tell() > 0:
        file.seek(-1, 2)
        if file.read(1) != b"\n":
            file.write(b"\n")
    file.write(json.dumps(row).encode() + b"\n")
    file.flush()


class Asker:
    """Asks for answers, several at once, and again where the endpoint had none to give."""

    def __init__(self, http: httpx.Client, max_tokens: int, large: bool) -> None:
        self._http = http
        self._max_tokens = max_tokens
        self._large = large

    def answers(self, rows: Sequence[Placed]) -> Iterator[Answer]:
        """Each as it comes. Stops asking where as many in a row failed as are asked at once."""
        pool = ThreadPoolExecutor(AT_ONCE)
        asked = {pool.submit(self._made, row): place for place, row in rows}
        left, failed = set(asked), 0
        try:
            for future in as_completed(asked):
                left.discard(future)
                answer = _come(asked[future], future)
                yield answer
                failed = 0 if answer.row is not None else failed + 1
                if failed == AT_ONCE:
                    break
        finally:
            pool.shutdown(cancel_futures=True)
        yield from (_come(asked[future], future) for future in left)

    def _made(self, row: dict[str, Any]) -> dict[str, Any]:
        made = collecting.answered(row, self._answer("small", row))
        if self._large and "expected" in row:
            made = collecting.marked_large(made, self._answer("large", row))
        return made

    def _answer(self, model: str, row: dict[str, Any]) -> Any:
        body = {
            "model": model,
            "messages": collecting.messages_of(row),
            "max_tokens": self._max_tokens,
            "temperature": 0,
            **({"logprobs": True, "top_logprobs": 0} if model == "small" else {}),
        }
        answer = self._posted(json.dumps(body).encode())
        if answer.status_code != 200:
            raise AnswerCheckError(f"{model}: HTTP {answer.status_code}: {answer.text[:200]!r}")
        try:
            return answer.json()
        except (ValueError, RecursionError):
            raise AnswerCheckError(f"{model}: not JSON: {answer.text[:60]!r}") from None

    def _posted(self, body: bytes) -> httpx.Response:
        """The answer; asked for again where the endpoint was busy or broke."""
        headers = {"content-type": "application/json"}
        for wait_s in (WAIT_S * 2**tried for tried in range(TRIES - 1)):
            try:
                answer = self._http.post("/v1/chat/completions", content=body, headers=headers)
            except httpx.TransportError:
                time.sleep(wait_s)
                continue
            if answer.status_code != 429 and answer.status_code < 500:
                return answer
            time.sleep(_named_wait_s(answer) or wait_s)
        return self._http.post("/v1/chat/completions", content=body, headers=headers)


def _come(place: str, future: Future[dict[str, Any]]) -> Answer:
    try:
        return Answer(place, future.result())
    except CancelledError:
        return Answer(place, None, "not asked: as many as are asked at once have failed")
    except (AnswerCheckError, httpx.HTTPError) as fault:
        return Answer(place, None, str(fault) or type(fault).__name__)


def _named_wait_s(answer: httpx.Response) -> float:
    """The seconds that the endpoint asks to wait; 0: it names none."""
    named = answer.headers.get("retry-after", "")
    return min(float(named), LONGEST_WAIT_S) if named.isascii() and named.isdigit() else 0.0
