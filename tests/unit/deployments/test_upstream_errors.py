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
    error = refusal(status, body(f"Something is wrong with {SECRET}"))
    assert type(error) is kind
    assert SECRET not in json.dumps(error.envelope())


@pytest.mark.parametrize("status", [401, 402, 403])
def test_refused_key_is_the_operators_affair(status: int) -> None:
    error = refusal(status, body("Incorrect API key provided; see BIG_KEY"))
    assert error.message == "The upstream refused this service's credentials."


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        pytest.param(
            b'[{"error":{"code":400,"message":"API key not valid. Please pass a valid API key."}}]',
            TierUnavailable,
            id="google's key",
        ),
        pytest.param(body("Incorrect API key provided: xa***9"), TierUnavailable, id="xai's key"),
        pytest.param(body("gone", code="model_decommissioned"), TierUnavailable, id="groq's model"),
        pytest.param(
            b'{"object":"error","message":"Invalid model: big-1","type":"invalid_model"}',
            TierUnavailable,
            id="mistral's model",
        ),
        pytest.param(body("Rate limit exceeded for org acme"), Overloaded, id="rate"),
    ],
)
def test_400_for_what_the_cluster_is_asks_the_next_tier(
    raw: bytes, kind: type[ServingError]
) -> None:
    error = refusal(400, raw)
    assert type(error) is kind
    assert error.retryable


def test_bad_request_passes_its_advice_on() -> None:
    error = refusal(400, body("'temperature' must be\n at most 2.", param="temperature"))
    assert error.message.endswith("'temperature' must be at most 2.")
    assert error.param == "temperature"


def test_context_length_keeps_its_code() -> None:
    error = refusal(400, body("Too long.", code="context_length_exceeded"))
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
    assert "[removed]" in refusal(400, body(message)).message
    assert message not in refusal(400, body(message)).message


@pytest.mark.parametrize(
    "raw",
    [b"", b"<html>too long</html>", b"[]", b"null", b'{"error": {"message": 3}}', b"\xff", b"  "],
)
def test_bad_request_without_words_gives_no_reason(raw: bytes) -> None:
    assert "no reason" in refusal(400, raw).message


def test_long_advice_is_cut_and_control_characters_dropped() -> None:
    message = refusal(400, body("a \x1b[31m" * 1000)).message
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
        ("Wed, 21 Oct 99999999999 07:28:00 GMT", None),
        ("Wed, 99 Oct 2026 07:28:00 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str | None, seconds: float | None) -> None:
    now = datetime(2026, 10, 21, 7, 28, 0, tzinfo=UTC)
    assert retry_after_s(header, now) == seconds
