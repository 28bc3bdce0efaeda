"""JSON answers, and OpenAI's envelope for an error."""

from collections.abc import Mapping
from typing import Any

import orjson
from starlette.responses import Response

from deployments.protocol.errors import EngineKilled, ServingError, UnsupportedMediaType

# What a body may come as; an answer of 415 says it (RFC 9110, 15.5.16).
ACCEPTED = {"accept": "application/json", "accept-encoding": "gzip, deflate, identity"}


def json_response(body: Any, headers: Mapping[str, str], status: int = 200) -> Response:
    """A JSON document."""
    return Response(orjson.dumps(body), status, headers, media_type="application/json")


def error_response(error: ServingError, headers: Mapping[str, str]) -> Response:
    """OpenAI's envelope for an error."""
    if error.retry_after_s is not None:
        headers = {**headers, "retry-after": str(error.retry_after_s)}
    if isinstance(error, UnsupportedMediaType):
        headers = {**headers, **ACCEPTED}
    if isinstance(error, EngineKilled):
        # OpenAI's clients repeat a request after every 500 that does not say this.
        headers = {**headers, "x-should-retry": "false"}
    return json_response(error.envelope(), headers, error.status)
