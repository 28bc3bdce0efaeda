"""The request headers we honour and the response headers we always send."""

import uuid

from starlette.requests import Request

from deployments.accounting.record import Record
from deployments.gateway.answering import Hints
from deployments.protocol.errors import InvalidRequest
from deployments.protocol.openai_request import ParsedRequest

# Ray's proxy enforces `x-request-timeout-seconds` too, with an answer that is not OpenAI's. Ours
# comes first by this share of the time, at most `PROXY_MARGIN_S`.
PROXY_MARGIN = 0.05
PROXY_MARGIN_S = 0.25
# At least this, but never more than half of the time: what a gateway needs to say no.
PROXY_MIN_MARGIN_S = 0.05


def hints(request: Request) -> Hints:
    """What the request's headers ask for. Raises: `InvalidRequest` on a value we do not know."""
    headers = request.headers
    min_tier = headers.get("x-smallfirst-min-tier", "small").lower()
    if min_tier not in ("small", "large"):
        raise InvalidRequest("x-smallfirst-min-tier must be 'small' or 'large'.")
    return Hints(
        request_id=request_id(request),
        min_tier_large=min_tier == "large",
        local_only=_flag(headers.get("x-smallfirst-local-only"), "x-smallfirst-local-only"),
        session=headers.get("x-smallfirst-session"),
        timeout_s=_timeout_s(headers.get("x-request-timeout-seconds")),
    )


def request_id(request: Request) -> str:
    """The client's `x-request-id` where it is a plain short word, else a fresh one."""
    given = request.headers.get("x-request-id", "")
    if 0 < len(given) <= 128 and all(c.isascii() and (c.isalnum() or c in "-_.") for c in given):
        return given
    return uuid.uuid4().hex


def _flag(value: str | None, name: str) -> bool:
    """A header that protects data must not be misread: anything but true and false is refused."""
    if value is None:
        return False
    if value.lower() not in ("true", "false"):
        raise InvalidRequest(f"{name} must be 'true' or 'false'.")
    return value.lower() == "true"


def _timeout_s(value: str | None) -> float | None:
    if value is None:
        return None
    try:
        timeout_s = float(value)
    except ValueError:
        timeout_s = -1.0
    if not 0 < timeout_s < float("inf"):
        raise InvalidRequest("x-request-timeout-seconds must be a positive number of seconds.")
    margin_s = max(timeout_s * PROXY_MARGIN, PROXY_MIN_MARGIN_S)
    return timeout_s - min(margin_s, PROXY_MARGIN_S, timeout_s / 2)


def bare_headers(request_id: str) -> dict[str, str]:
    """The headers of an answer that was given before anything was decided."""
    names = ("tier", "model", "cause", "score")
    return {"x-smallfirst-request-id": request_id, **{f"x-smallfirst-{n}": "" for n in names}}


def response_headers(record: Record, parsed: ParsedRequest, debug: bool) -> dict[str, str]:
    """The headers of every answer; more of them where the client asks for debug."""
    route, score = record.route, record.score
    headers = bare_headers(record.request_id)
    headers["x-smallfirst-model"] = record.model or ""
    if route:
        headers["x-smallfirst-tier"] = route.tier
        headers["x-smallfirst-cause"] = route.cause.value
    if score:
        headers["x-smallfirst-score"] = f"{score.complexity:.4f}"
    if debug:
        headers["x-smallfirst-attempts"] = str(record.attempts)
        headers["x-smallfirst-ignored-fields"] = ",".join(map(_header_safe, parsed.ignored))
        if record.score_s is not None:
            headers["x-smallfirst-score-ms"] = f"{record.score_s * 1e3:.2f}"
        if score:
            headers["x-smallfirst-gain"] = f"{score.gain:.4f}"
            headers["x-smallfirst-familiar"] = f"{score.familiar:.4f}"
            headers["x-smallfirst-artifact"] = score.artifact_id
    return headers


def _header_safe(name: str) -> str:
    return "".join(c if c.isascii() and c.isprintable() and c != "," else "?" for c in name[:64])
