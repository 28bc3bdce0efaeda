"""What an upstream's refusal means to our client: one table, and nothing of its body unseen.

An upstream's error text can hold keys, account names and the prompt. Only the message of a 400,
which tells the client what to mend, is passed on, cut and cleaned.
"""

import json
import math
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from deployments.protocol.errors import (
    ContextLengthExceeded,
    EngineFailure,
    InvalidRequest,
    Overloaded,
    ServingError,
    TierUnavailable,
)

# What is tried again before the first byte: the upstream says that later is better.
RETRIED = frozenset({429, 502, 503})
# Statuses that say the upstream is broken, so that the breaker counts them.
BROKEN = frozenset({500, 502, 503, 504})
# Longer messages are pages or dumps, not advice.
MAX_MESSAGE_CHARS = 300
# Keys as providers write them (sk-…, gsk_…, key-…), bearer tokens, and any long opaque word.
SECRET = re.compile(
    r"\b(?:sk|pk|gsk|key|xai|hf)[-_]\S+|Bearer\s+\S+|\b[\w\-+/=.]{32,}", re.IGNORECASE
)
_BAD_REQUEST = frozenset({400, 413, 422})


def refusal(status: int, body: bytes, api_key_env: str | None) -> ServingError:
    """Our error for an upstream's answer that is not 200."""
    if status in _BAD_REQUEST:
        return _bad_request(status, body)
    if status in (401, 403):
        advice = f"check the environment variable {api_key_env}" if api_key_env else "it wants one"
        return TierUnavailable(f"The upstream refused this cluster's API key; {advice}.")
    if status == 404:
        return TierUnavailable("The upstream does not know the configured model or address.")
    if status == 429:
        return Overloaded("The upstream's rate limit is reached.")
    if status in (502, 503, 504) or 300 <= status < 400:
        return TierUnavailable(f"The upstream is not available (HTTP {status}).")
    return EngineFailure(f"The upstream failed (HTTP {status}).")


def retry_after_s(header: str | None, now: datetime | None = None) -> float | None:
    """Seconds from a `retry-after` header, given as seconds or as a date (RFC 9110, 10.2.3)."""
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            at = parsedate_to_datetime(header)
        except ValueError:
            return None
        seconds = (at - (now or datetime.now(UTC))).total_seconds() if at.tzinfo else math.nan
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _bad_request(status: int, body: bytes) -> InvalidRequest:
    error = _error_object(body)
    message = _cleaned(error.get("message"))
    text = f"The model's provider refused the request: {message}"
    param = error.get("param")
    kind = InvalidRequest
    if status == 413 or error.get("code") == "context_length_exceeded":
        kind = ContextLengthExceeded
    return kind(text, param if isinstance(param, str) and len(param) < 64 else None)


def _error_object(body: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(body)
    except ValueError:
        return {}
    error = parsed.get("error") if isinstance(parsed, dict) else None
    return error if isinstance(error, dict) else {}


def _cleaned(message: Any) -> str:
    if not isinstance(message, str):
        return "it gave no reason."
    one_line = " ".join(message.split())
    printable = "".join(char for char in one_line if char.isprintable())
    return SECRET.sub("[removed]", printable)[:MAX_MESSAGE_CHARS]
