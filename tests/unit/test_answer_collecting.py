"""Answers are paid for: what came is kept, and a row without one is named."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner, Result

from answer_check.collecting import is_right
from answer_check.rows import read_rows
from deployments.cli import app
from deployments.commands import answer_asking
from deployments.commands.endpoint import Endpoint

Answers = Callable[[str], httpx.Response]


def said(text: Any = "x", **fields: Any) -> httpx.Response:
    """A whole answer of one choice."""
    logprobs = {"content": [{"token": "a", "logprob": -0.5}]}
    choice = {"message": {"content": text}, "finish_reason": "stop", "logprobs": logprobs}
    return httpx.Response(200, json={"choices": [choice | fields]})


@pytest.fixture
def collect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs the command on these rows, with answers from a function of the question."""
    monkeypatch.setattr(answer_asking, "WAIT_S", 0.0)

    def run(rows: list[dict[str, Any]], answers: Answers, *options: str) -> Result:
        def answer(request: httpx.Request) -> httpx.Response:
            return answers(json.loads(request.content)["messages"][-1]["content"])

        def client(self: Endpoint, timeout_s: float) -> httpx.Client:
            return httpx.Client(base_url=self.url, transport=httpx.MockTransport(answer))

        monkeypatch.setattr(Endpoint, "client", client)
        (tmp_path / "in.jsonl").write_text("\n".join(map(json.dumps, rows)))
        paths = ["--data", str(tmp_path / "in.jsonl"), "--out", str(tmp_path / "out.jsonl")]
        return CliRunner().invoke(app, ["answer-check", "collect", *paths, *options])

    return run


def kept(tmp_path: Path) -> list[dict[str, Any]]:
    lines = (tmp_path / "out.jsonl").read_bytes().split(b"\n")
    assert lines.pop() == b""
    return [json.loads(line) for line in lines]


QUESTIONS = [{"prompt": f"q{at}", "expected": "x"} for at in range(40)]


def odd(answer: httpx.Response | Exception) -> Answers:
    """The fifth question is answered so, the others well."""

    def answers(question: str) -> httpx.Response:
        if question != "q5":
            return said()
        if isinstance(answer, Exception):
            raise answer
        return answer

    return answers


BROKEN: dict[str, httpx.Response | Exception] = {
    "500": httpx.Response(500, text="oops"),
    "429": httpx.Response(429, headers={"retry-after": "0"}),
    "400": httpx.Response(400, json={"error": {"message": "no"}}),
    "HTML": httpx.Response(200, text="<html>"),
    "no choices": httpx.Response(200, json={"choices": []}),
    "a list": httpx.Response(200, json=[]),
    "no message": httpx.Response(200, json={"choices": [{}]}),
    "no text": said(["x"]),
    "no numbers": said(logprobs={"content": [{"logprob": None}]}),
    "a connection that breaks": httpx.ConnectError("broken"),
}


@pytest.mark.parametrize("answer", BROKEN.values(), ids=BROKEN)
def test_one_row_that_fails_costs_no_other_its_answer(
    collect: Callable[..., Result], tmp_path: Path, answer: httpx.Response | Exception
) -> None:
    made = collect(QUESTIONS, odd(answer))
    assert made.exit_code == 1
    assert "in.jsonl:6: " in made.output
    assert len(kept(tmp_path)) == 39
    again = collect(QUESTIONS, lambda question: said(question))
    assert again.exit_code == 0
    assert [row["prompt"] for row in kept(tmp_path)[39:]] == ["q5"]


def test_a_busy_endpoint_is_asked_again(collect: Callable[..., Result], tmp_path: Path) -> None:
    busy: list[httpx.Response | Exception] = [
        httpx.Response(429),
        httpx.Response(503),
        httpx.ReadError("gone"),
    ]

    def answers(question: str) -> httpx.Response:
        if question == "q5" and busy:
            refusal = busy.pop()
            if isinstance(refusal, Exception):
                raise refusal
            return refusal
        return said()

    assert collect(QUESTIONS, answers).exit_code == 0
    assert len(kept(tmp_path)) == 40


def test_an_endpoint_that_answers_nobody_is_left_alone(
    collect: Callable[..., Result], tmp_path: Path
) -> None:
    asked: list[str] = []

    def answers(question: str) -> httpx.Response:
        asked.append(question)
        return httpx.Response(401)

    made = collect([{"prompt": f"q{at}", "small": 1} for at in range(400)], answers)
    assert made.exit_code == 1
    assert "400 rows without an answer" in made.output
    assert len(asked) < 400
    assert kept(tmp_path) == []


UNFIT: tuple[Any, ...] = (None, {}, [], "", [None], True, [[1]])
NO_MARK: tuple[Any, ...] = ("x", None, float("nan"))


@pytest.mark.parametrize(
    "row",
    [
        {"x": 1},
        {"prompt": "z"},
        {"prompt": "", "expected": "x"},
        *({"prompt": "z", "expected": bad} for bad in UNFIT),
        *({"prompt": "z", "small": bad} for bad in NO_MARK),
    ],
)
def test_a_row_that_nothing_could_mark_is_named_before_one_is_paid_for(
    collect: Callable[..., Result], tmp_path: Path, row: dict[str, Any]
) -> None:
    made = collect([*QUESTIONS, row], lambda _: pytest.fail("asked"))
    assert made.exit_code == 2
    assert "in.jsonl:41: " in made.output
    assert not (tmp_path / "out.jsonl").exists()


def test_what_an_answer_says_ends_no_line(collect: Callable[..., Result], tmp_path: Path) -> None:
    texts = ["a\u2028b\u0085c", "x \ud83d", "x\r\n"]
    raw = {f"q{at}": json.dumps({"choices": [{"message": {"content": text}}]})
           for at, text in enumerate(texts)}  # fmt: skip
    (tmp_path / "out.jsonl").write_text(json.dumps({"prompt": "old", "answer": "o", "small": 1}))
    for added in (3, 0):
        made = collect(QUESTIONS[:3], lambda question: httpx.Response(200, content=raw[question]))
        assert made.exit_code == 0
        assert f"{added} rows added" in made.output
    assert {row["answer"] for row in kept(tmp_path)} == {"o", *texts}
    assert len(read_rows([tmp_path / "out.jsonl"])) == 4


def test_a_file_that_is_no_text_is_refused(collect: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "out.jsonl").write_bytes(b"\xff\xfe\x00x")
    made = collect(QUESTIONS, lambda _: said())
    assert made.exit_code == 2
    assert "not UTF-8" in made.output


def test_the_large_tier_is_marked_by_the_same_words(
    collect: Callable[..., Result], tmp_path: Path
) -> None:
    rows = [{"prompt": "q", "expected": 42}]
    assert collect(rows, lambda _: said("It is 42."), "--large").exit_code == 0
    (row,) = kept(tmp_path)
    assert (row["small"], row["large"]) == (1, 1)


@pytest.mark.parametrize(
    ("answer", "expected", "right"),
    [("42", 42, True), ("142", 42, False), ("1.5", [1.5], True), ("b", ["a", "b"], True)],
)
def test_numbers_are_expected_as_words_are(answer: str, expected: Any, right: bool) -> None:
    assert is_right(answer, expected) is right
