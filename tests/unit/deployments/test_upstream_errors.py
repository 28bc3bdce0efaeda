"""An upstream's refusal reaches the client as our error, without its secrets."""

import json
from datetime import UTC, datetime

import pytest

from deployments.protocol.errors import (
    ContextLengthExceeded,
    EngineFailure,
    InvalidRequest,
    Overloaded,
    ServingError,
    TierUnavailable,
)
from deployments.upstream.errors import MAX_MESSAGE_CHARS, refusal, retry_after_s

SECRET = "sk-proj-0123456789"


def body(message: str, **fields: str) -> bytes:
    return json.dumps({"error": {"message": message, **fields}}).encode()


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, InvalidRequest),
        (422, InvalidRequest),
        (413, ContextLengthExceeded),
        (401, TierUnavailable),
        (403, TierUnavailable),
        (404, TierUnavailable),
        (307, TierUnavailable),
        (429, Overloaded),
        (500, EngineFailure),
        (502, TierUnavailable),
        (503, TierUnavailable),
        (504, TierUnavailable),
        (418, EngineFailure),
    ],
)
def test_status_has_its_error_and_the_body_its_silence(
    status: int, kind: type[ServingError]
) -> None:
    error = refusal(status, body(f"Incorrect API key: {SECRET}"), "BIG_KEY")
    assert type(error) is kind
    assert SECRET not in json.dumps(error.envelope())


def test_refused_key_names_the_variable_to_mend() -> None:
    assert "BIG_KEY" in refusal(401, b"", "BIG_KEY").message
    assert "API key" in refusal(403, b"", None).message


def test_bad_request_passes_its_advice_on() -> None:
    error = refusal(400, body("'temperature' must be\n at most 2.", param="temperature"), None)
    assert error.message.endswith("'temperature' must be at most 2.")
    assert error.param == "temperature"


def test_context_length_keeps_its_code() -> None:
    error = refusal(400, body("Too long.", code="context_length_exceeded"), None)
    assert type(error) is ContextLengthExceeded


@pytest.mark.parametrize(
    "message",
    [
        f"key {SECRET} is wrong",
        "header was Bearer abc.def",
        "token hf_abcdefghijklmnop",
        "hash 0123456789abcdef0123456789abcdef0123",
    ],
)
def test_what_looks_like_a_secret_is_removed_from_advice(message: str) -> None:
    assert "[removed]" in refusal(400, body(message), None).message
    assert message not in refusal(400, body(message), None).message


@pytest.mark.parametrize(
    "raw", [b"", b"<html>", b"[]", b'{"error": "text"}', b'{"error": {"message": 3}}', b"\xff"]
)
def test_bad_request_without_an_openai_body_gives_no_reason(raw: bytes) -> None:
    assert "no reason" in refusal(400, raw, None).message


def test_long_advice_is_cut_and_control_characters_dropped() -> None:
    message = refusal(400, body("a \x1b[31m" * 1000), None).message
    assert len(message) < MAX_MESSAGE_CHARS + 60
    assert message.isprintable()


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        ("0.5", 0.5),
        ("-3", 0.0),
        ("Wed, 21 Oct 2026 07:28:30 GMT", 30.0),
        ("Wed, 21 Oct 2026 07:27:00 GMT", 0.0),
        ("soon", None),
        ("nan", None),
        ("inf", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str | None, seconds: float | None) -> None:
    now = datetime(2026, 10, 21, 7, 28, 0, tzinfo=UTC)
    assert retry_after_s(header, now) == seconds
