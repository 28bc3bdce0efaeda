"""JSON answers, and OpenAI's envelope for an error."""

from collections.abc import Mapping
from typing import Any

import orjson
from starlette.responses import Response

from deployments.protocol.anthropic_answer import anthropic_error
from deployments.protocol.errors import EngineKilled, ServingError, UnsupportedMediaType

# What a body may come as; an answer of 415 says it (RFC 9110, 15.5.16).
ACCEPTED = {"accept": "application/json", "accept-encoding": "gzip, deflate, identity"}


def json_response(body: Any, headers: Mapping[str, str], status: int = 200) -> Response:
    """A JSON document."""
    return Response(orjson.dumps(body), status, headers, media_type="application/json")


def refused(path: str, error: ServingError, headers: Mapping[str, str]) -> Response:
    """An error before anything is known of the request but its path, whose API says its shape."""
    anthropic = path == "/v1/messages" or path.startswith("/v1/messages/")
    return error_response(error, headers, anthropic_error(error) if anthropic else None)


def error_response(
    error: ServingError, headers: Mapping[str, str], body: Mapping[str, Any] | None = None
) -> Response:
    """An error, in OpenAI's envelope where no other body says it."""
    if error.retry_after_s is not None:
        headers = {**headers, "retry-after": str(error.retry_after_s)}
    if isinstance(error, UnsupportedMediaType):
        headers = {**headers, **ACCEPTED}
    if isinstance(error, EngineKilled):
        # OpenAI's clients repeat a request after every 500 that does not say this.
        headers = {**headers, "x-should-retry": "false"}
    return json_response(body or error.envelope(), headers, error.status)
