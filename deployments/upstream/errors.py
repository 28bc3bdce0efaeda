"""What an upstream's refusal means to our client: one table, and nothing of its body unseen.

An upstream's error text can hold keys, account names and the prompt. Only the message of a refused
request, which tells the client what to mend, is passed on, cut and cleaned.
"""

import math
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from deployments.protocol.errors import (
    ContextLengthExceeded,
    EngineFailure,
    InvalidRequest,
    Overloaded,
    ServingError,
    TierUnavailable,
)
from deployments.upstream.context_length import is_context_overflow
from deployments.upstream.provider_error import ProviderError, read_error

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
# Refusals of what this cluster is, not of what its client asked; some providers make them a 400.
_KEY = re.compile(
    r"invalid_api_key|api_key_invalid|(?:incorrect|invalid) api[ _]key"
    r"|api[ _]key (?:is )?(?:not valid|invalid|expired)",
    re.IGNORECASE,
)
_MODEL = re.compile(
    r"\bmodel_not_found|\bmodel_decommissioned|\binvalid_model\b|\binvalid model\b"
    r"|\bmodel\b.{0,80}\b(?:does not exist|not found|is not available|decommissioned)",
    re.IGNORECASE,
)
_RATE = re.compile(r"rate.?limit|per (?:minute|day)|\btp[md]\b", re.IGNORECASE)
_KEY_REFUSED = "The upstream refused this service's credentials."
_MODEL_UNKNOWN = "The upstream does not know the configured model or address."
_AT_LIMIT = "The upstream's rate limit is reached."


def refusal(status: int, body: bytes) -> ServingError:
    """Our error for an upstream's answer that is not 200."""
    return meaning(status, read_error(body))


def meaning(status: int, said: ProviderError) -> ServingError:
    """Our error for a status and what the upstream said with it."""
    if status in _BAD_REQUEST:
        return _bad_request(status, said)
    if status == 500 and is_context_overflow(said):
        return _refused_request(ContextLengthExceeded, said)
    if status in (401, 402, 403):
        return TierUnavailable(_KEY_REFUSED)
    if status == 404:
        return TierUnavailable(_MODEL_UNKNOWN)
    if status == 429:
        return Overloaded(_AT_LIMIT)
    if status in (502, 503, 504, 529) or 300 <= status < 400:
        return TierUnavailable(f"The upstream is not available (HTTP {status}).")
    return EngineFailure(f"The upstream failed (HTTP {status}).")


def refusal_inside(said: ProviderError) -> ServingError:
    """Our error for one that an upstream gives with a 200, in place of an answer."""
    if said.status is not None:
        return meaning(said.status, said)
    if is_context_overflow(said):
        return _refused_request(ContextLengthExceeded, said)
    return EngineFailure("The upstream gave an error in place of an answer.")


def retry_after_s(header: str | None, now: datetime | None = None) -> float | None:
    """Seconds from a `retry-after` header, given as seconds or as a date (RFC 9110, 10.2.3)."""
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            at = parsedate_to_datetime(header)
        except (ValueError, OverflowError):  # no date, or one beyond all calendars
            return None
        seconds = (at - (now or datetime.now(UTC))).total_seconds() if at.tzinfo else math.nan
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _bad_request(status: int, said: ProviderError) -> ServingError:
    if is_context_overflow(said):
        return _refused_request(ContextLengthExceeded, said)
    words = f"{said.code} {said.text}"
    if _KEY.search(words):
        return TierUnavailable(_KEY_REFUSED)
    if _MODEL.search(words):
        return TierUnavailable(_MODEL_UNKNOWN)
    if _RATE.search(words):
        return Overloaded(_AT_LIMIT)
    return _refused_request(ContextLengthExceeded if status == 413 else InvalidRequest, said)


def _refused_request(kind: type[InvalidRequest], said: ProviderError) -> InvalidRequest:
    reason = _cleaned(said.message)
    return kind(f"The model's provider refused the request: {reason}", said.param)


def _cleaned(message: str) -> str:
    one_line = " ".join(message.split())
    printable = "".join(char for char in one_line if char.isprintable())
    return SECRET.sub("[removed]", printable)[:MAX_MESSAGE_CHARS] or "it gave no reason."
