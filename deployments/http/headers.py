"""The request headers we honour and the response headers we always send."""

import hashlib
import uuid
from typing import Any

from starlette.datastructures import Headers
from starlette.requests import Request

from deployments.accounting.exchange import Exchange
from deployments.gateway.hints import Hints
from deployments.privacy.policy import Subject
from deployments.protocol.errors import InvalidRequest, LoopDetected
from deployments.protocol.openai_request import ParsedRequest

# Ray's proxy enforces `x-request-timeout-seconds` too, with an answer that is not OpenAI's. Ours
# comes first by this share of the time, at most `PROXY_MARGIN_S`.
PROXY_MARGIN = 0.05
PROXY_MARGIN_S = 0.25
# At least this, but never more than half of the time: what a gateway needs to say no.
PROXY_MIN_MARGIN_S = 0.05
# Ids are kept for half an hour each: a UUID has 36 characters, and what is longer is no id.
MAX_SESSION_CHARACTERS = 256
# One service may well stand before another; what has passed so many goes round.
MAX_HOPS = 3
# Proxies cut the connection at a few KiB of response headers.
MAX_IGNORED_NAMES = 20

DECISION_HEADERS = [f"x-smallfirst-{n}" for n in ("tier", "model", "cause", "score", "request-id")]
DEBUG_HEADERS = [
    f"x-smallfirst-{name}"
    for name in (
        *("attempts", "ignored-fields", "ignored-count"),
        *("score-ms", "gain", "familiar", "artifact"),
        *("answer-score", "answer-fault", "hold-ms"),
    )
]


def hints(request: Request) -> Hints:
    """What the request's headers ask for. Raises: `InvalidRequest` on a value we do not know.

    A header may come more than once, from a client and from the proxies before us: what asks for
    more care wins, whoever sent it.
    """
    headers = request.headers
    key_id, key = getattr(request.state, "caller", ("", None))
    return Hints(
        request_id=request_id(request),
        min_tier_large="large" in _words(headers, "x-smallfirst-min-tier", ("small", "large")),
        local_only="true" in _words(headers, "x-smallfirst-local-only", ("true", "false")),
        session=_session(headers.getlist("x-smallfirst-session")),
        answer_check="off" not in _words(headers, "x-smallfirst-answer-check", ("on", "off")),
        hops=_hops(_listed(headers, "x-smallfirst-hops")),
        timeout_s=_timeout_s(_listed(headers, "x-request-timeout-seconds")),
        # A key's id outlives its secrets: a session does not end when they are replaced.
        caller=hashlib.sha256(key_id.encode()).digest()
        if key is not None
        else _caller(authorizations(headers)),
        subject=Subject(
            key=key_id or None,
            tenant=key.limits.tenant if key else None,
            local_only=key is not None and key.limits.local_only,
        ),
        key_id=key_id,
        key=key,
    )


def request_id(request: Request) -> str:
    """The client's `x-request-id` where it is a plain short word, else a fresh one."""
    given = request.headers.get("x-request-id", "")
    if 0 < len(given) <= 128 and all(c.isascii() and (c.isalnum() or c in "-_.") for c in given):
        return given
    return uuid.uuid4().hex


def authorizations(headers: Headers) -> list[str]:
    """What the request says that it may: `Authorization`, and Anthropic's `x-api-key` as that."""
    keys = [f"Bearer {key}" for key in headers.getlist("x-api-key") if key.strip()]
    # Clients that know no key send the header all the same.
    given = headers.getlist("authorization")
    return [*(line for line in given if line.strip().lower() not in ("", "bearer")), *keys]


def _caller(authorization: list[str]) -> bytes:
    """A digest of the caller's key: it tells callers apart and gives no key away."""
    keys = dict.fromkeys(line.partition(" ")[2].strip() for line in authorization)
    return hashlib.sha256("\n".join(keys).encode()).digest()


def _listed(headers: Headers, name: str) -> list[str]:
    """Every value of a header, whether sent in one line with commas or in several."""
    return [part.strip() for line in headers.getlist(name) for part in line.split(",")]


def _words(headers: Headers, name: str, known: tuple[str, str]) -> set[str]:
    """A header that protects data must not be misread: anything but the known words is refused."""
    given = {word.lower() for word in _listed(headers, name)}
    if not given.issubset(known):
        raise InvalidRequest(f"{name} must be '{known[0]}' or '{known[1]}'.")
    return given


def _hops(given: list[str]) -> int:
    """How often the request came by already. Raises: `LoopDetected` where that is no accident."""
    hops = max((int(value[:6]) for value in given if value[:6].isdecimal()), default=0)
    if hops > MAX_HOPS:
        raise LoopDetected("An upstream of this service sends its requests back to it.")
    return hops


def _session(given: list[str]) -> str | None:
    if len(set(given)) > 1:
        raise InvalidRequest("x-smallfirst-session is sent more than once, and differs.")
    session = given[0] if given else ""
    if len(session) > MAX_SESSION_CHARACTERS:
        raise InvalidRequest(
            f"x-smallfirst-session must have at most {MAX_SESSION_CHARACTERS} characters."
        )
    return session or None


def _timeout_s(given: list[str]) -> float | None:
    if not given:
        return None
    try:
        timeouts_s = [float(value) for value in given]
    except ValueError:
        timeouts_s = [-1.0]
    if not all(0 < timeout_s < float("inf") for timeout_s in timeouts_s):
        raise InvalidRequest("x-request-timeout-seconds must be a positive number of seconds.")
    timeout_s = min(timeouts_s)
    margin_s = max(timeout_s * PROXY_MARGIN, PROXY_MIN_MARGIN_S)
    return timeout_s - min(margin_s, PROXY_MARGIN_S, timeout_s / 2)


def bare_headers(request_id: str) -> dict[str, str]:
    """The headers of an answer for which nothing was decided."""
    # Anthropic's clients look for theirs; the one that OpenAI's look for, Serve's proxy adds.
    ids = dict.fromkeys(("x-smallfirst-request-id", "request-id"), request_id)
    return dict.fromkeys(DECISION_HEADERS, "") | ids


def fresh_headers() -> dict[str, str]:
    """The same where there is no request to take an id from."""
    return bare_headers(uuid.uuid4().hex)


def dry_run_headers(request_id: str, decision: dict[str, Any]) -> dict[str, str]:
    """The headers of an answer that says what would be decided."""
    score = decision["score"]
    return {
        **bare_headers(request_id),
        **{f"x-smallfirst-{name}": str(decision[name]) for name in ("tier", "model", "cause")},
        "x-smallfirst-score": "" if score is None else f"{score:.4f}",
    }


def response_headers(exchange: Exchange, parsed: ParsedRequest, debug: bool) -> dict[str, str]:
    """The headers of every answer; more of them where the client asks for debug."""
    last, score = exchange.last, exchange.score
    headers = bare_headers(exchange.request_id) | exchange.headers
    if last:
        headers["x-smallfirst-tier"] = last.tier
        # The replica's own word for itself; a header that cannot be sent would lose the answer.
        headers["x-smallfirst-model"] = _header_safe(last.model)
        headers["x-smallfirst-cause"] = last.cause.value
    if score:
        headers["x-smallfirst-score"] = f"{score.complexity:.4f}"
    if debug:
        headers["x-smallfirst-attempts"] = str(len(exchange.attempts))
        headers["x-smallfirst-release"] = last.release if last else ""
        named = parsed.ignored[:MAX_IGNORED_NAMES]
        headers["x-smallfirst-ignored-fields"] = ",".join(map(_header_safe, named))
        headers["x-smallfirst-ignored-count"] = str(len(parsed.ignored))
        if exchange.score_s is not None:
            headers["x-smallfirst-score-ms"] = f"{exchange.score_s * 1e3:.2f}"
        headers |= _answer_headers(exchange)
        if score:
            headers["x-smallfirst-gain"] = f"{score.gain:.4f}"
            headers["x-smallfirst-familiar"] = f"{score.familiar:.4f}"
            headers["x-smallfirst-artifact"] = score.artifact_id
    return headers


def _answer_headers(exchange: Exchange) -> dict[str, str]:
    """What the answer check said of the first answer that it judged."""
    judged = next((a for a in exchange.attempts if a.answer_score is not None), None)
    if judged is None:
        return {}
    return {
        "x-smallfirst-answer-score": f"{judged.answer_score:.4f}",
        "x-smallfirst-answer-fault": judged.answer_fault or "",
        "x-smallfirst-hold-ms": f"{judged.hold_s * 1e3:.2f}",
    }


def _header_safe(name: str) -> str:
    return "".join(c if c.isascii() and c.isprintable() and c != "," else "?" for c in name[:64])
