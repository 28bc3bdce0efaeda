"""Every error a client can see, and its one translation into OpenAI's error envelope.

Raise a subclass anywhere on the request's path; the gateway turns it into a response. Messages are
written for the client: no traceback, no upstream body, no secret ever goes into one.
"""

from typing import Any

MAX_NAMED_CHARACTERS = 100


class ServingError(Exception):
    """A failed request: `status`, OpenAI `type` and `code` come from the class.

    The only constructor arguments are positional strings, because Ray pickles exceptions by
    `args` and turns one with keyword-only arguments into `UnserializableException`.
    """

    status = 500
    type = "server_error"
    code: str | None = "internal_error"
    # Another replica or the other tier may still answer, as long as no byte went out.
    retryable = False
    retry_after_s: int | None = None

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message, param)
        self.message = message
        self.param = param

    def __str__(self) -> str:
        return self.message

    def envelope(self) -> dict[str, Any]:
        """OpenAI's error body for this error."""
        return {
            "error": {
                "message": self.message,
                "type": self.type,
                "param": self.param,
                "code": self.code,
            }
        }


class InvalidRequest(ServingError):
    """The request itself is wrong; sending it again cannot help."""

    status = 400
    type = "invalid_request_error"
    code = "invalid_request"


class ContextLengthExceeded(InvalidRequest):
    """Prompt and answer do not fit the model's context window."""

    code = "context_length_exceeded"


class LocalOnlyConflict(InvalidRequest):
    """The request must stay in the cluster, but what it asks for lives outside."""

    code = "local_only"


class PrivateDataRefused(InvalidRequest):
    """The request holds data that may not be sent to this endpoint at all."""

    code = "private_data"


class InvalidApiKey(ServingError):
    """No API key, or one that is not on the list."""

    status = 401
    type = "invalid_request_error"
    code = "invalid_api_key"


class NotPermitted(ServingError):
    """The API key may not have what is asked for."""

    status = 403
    type = "invalid_request_error"
    code = "not_permitted"


class HostNotAllowed(ServingError):
    """The request names a host that this endpoint does not answer for."""

    status = 403
    type = "invalid_request_error"
    code = "host_not_allowed"


class OriginNotAllowed(ServingError):
    """A web page asks, and its origin is not one that may."""

    status = 403
    type = "invalid_request_error"
    code = "origin_not_allowed"


class UnknownModel(ServingError):
    """The model name is neither `auto`, a tier, nor a served model."""

    status = 404
    type = "invalid_request_error"
    code = "model_not_found"


def unknown_model(name: str, more: str = "") -> UnknownModel:
    """The error for a name, which is repeated only where it is short and one plain line."""
    plain = len(name) <= MAX_NAMED_CHARACTERS and name.isprintable()
    shown = f"The model '{name}'" if plain else "This model"
    return UnknownModel(f"{shown} does not exist.{more}", "model")


class UnknownPath(ServingError):
    """No such endpoint."""

    status = 404
    type = "invalid_request_error"
    code = "unknown_url"


class MethodNotAllowed(ServingError):
    """The endpoint exists, but not for this HTTP method."""

    status = 405
    type = "invalid_request_error"
    code = "method_not_allowed"


class BodyTooLarge(ServingError):
    """The request body is over the configured limit."""

    status = 413
    type = "invalid_request_error"
    code = "request_too_large"


class UnsupportedMediaType(ServingError):
    """The request body is of a type or in an encoding that is not read here."""

    status = 415
    type = "invalid_request_error"
    code = "unsupported_media_type"


class Overloaded(ServingError):
    """Every place for this request is taken; come back after `retry_after_s`."""

    status = 429
    type = "rate_limit_error"
    code = "overloaded"
    retryable = True
    retry_after_s = 1


class RateLimited(ServingError):
    """The API key's requests or tokens of this minute are used, or too many of its run."""

    status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"
    # Who raises it knows better when there is room again.
    retry_after_s = 1


class InsufficientQuota(ServingError):
    """A cap on what may be spent has no room for the request."""

    status = 429
    type = "insufficient_quota"
    code = "insufficient_quota"
    retry_after_s = 60


class AccountsUnavailable(ServingError):
    """Budgets cannot be checked, and the API key is not to be used unchecked."""

    status = 503
    code = "accounts_unavailable"
    retry_after_s = 5


class EngineFailure(ServingError):
    """The engine or the upstream failed on this request in a way of its own."""

    code = "engine_failure"
    retryable = True


class TierUnavailable(ServingError):
    """No replica of the tier, or no upstream, can be reached."""

    status = 503
    type = "server_error"
    code = "tier_unavailable"
    retryable = True
    retry_after_s = 5


class ReplicaUnavailable(TierUnavailable):
    """This replica cannot answer and that is not the request's doing; another of its tier may."""

    code = "replica_unavailable"


class AdapterNotLoaded(ReplicaUnavailable):
    """The replica does not hold the adapter that is to answer, or not yet."""

    code = "adapter_not_loaded"


class EngineDead(ServingError):
    """The engine died while it held this request, which may be why: no other tier gets it."""

    code = "engine_dead"


class EngineKilled(ServingError):
    """Engines died under this request; it is refused for a while, so that no more of them do."""

    code = "engine_killed"


class DeadlineExceeded(ServingError):
    """The request's deadline passed before the answer was complete."""

    status = 504
    type = "timeout_error"
    code = "deadline_exceeded"


class LoopDetected(ServingError):
    """The request has passed this service before: an upstream sends its requests back to it."""

    status = 508
    type = "invalid_request_error"
    code = "loop_detected"


def all_errors() -> list[type[ServingError]]:
    """Every concrete error class, the root included."""
    found: list[type[ServingError]] = [ServingError]
    for cls in found:
        found.extend(cls.__subclasses__())
    return found


BY_NAME = {cls.__name__: cls for cls in all_errors()}


def by_status(status: int) -> type[ServingError]:
    """The error class that stands for an engine's or upstream's HTTP status."""
    exact: dict[int, type[ServingError]] = {
        400: InvalidRequest,
        404: UnknownModel,
        408: DeadlineExceeded,
        413: ContextLengthExceeded,
        422: InvalidRequest,
        429: Overloaded,
        502: TierUnavailable,
        503: TierUnavailable,
        504: DeadlineExceeded,
    }
    return exact.get(status, EngineFailure)
