"""Every error reaches the client in OpenAI's words, also after a trip through Ray's pickling."""

import importlib
import pkgutil

import pytest
from ray import cloudpickle

import deployments
from deployments.protocol.errors import (
    BY_NAME,
    ContextLengthExceeded,
    DeadlineExceeded,
    EngineFailure,
    InvalidRequest,
    Overloaded,
    ServingError,
    TierUnavailable,
    UnknownModel,
    all_errors,
    by_status,
)
from deployments.settings.config_mistake import ConfigError

# Importing these costs seconds (vLLM) or builds an application; they define no error.
HEAVY = ("deployments.vllm.", "deployments.default_app")
for found in pkgutil.walk_packages(deployments.__path__, "deployments."):
    if not found.name.startswith(HEAVY):
        importlib.import_module(found.name)

EVERY = pytest.mark.parametrize("cls", all_errors(), ids=lambda cls: cls.__name__)

# The contract of the HTTP API: status, OpenAI's type, code.
CONTRACT = {
    "ServingError": (500, "server_error", "internal_error"),
    "InvalidRequest": (400, "invalid_request_error", "invalid_request"),
    "ContextLengthExceeded": (400, "invalid_request_error", "context_length_exceeded"),
    "LocalOnlyConflict": (400, "invalid_request_error", "local_only"),
    "PrivateDataRefused": (400, "invalid_request_error", "private_data"),
    "InvalidApiKey": (401, "invalid_request_error", "invalid_api_key"),
    "NotPermitted": (403, "invalid_request_error", "not_permitted"),
    "HostNotAllowed": (403, "invalid_request_error", "host_not_allowed"),
    "OriginNotAllowed": (403, "invalid_request_error", "origin_not_allowed"),
    "UnknownModel": (404, "invalid_request_error", "model_not_found"),
    "UnknownPath": (404, "invalid_request_error", "unknown_url"),
    "MethodNotAllowed": (405, "invalid_request_error", "method_not_allowed"),
    "BodyTooLarge": (413, "invalid_request_error", "request_too_large"),
    "UnsupportedMediaType": (415, "invalid_request_error", "unsupported_media_type"),
    "Overloaded": (429, "rate_limit_error", "overloaded"),
    "RateLimited": (429, "rate_limit_error", "rate_limit_exceeded"),
    "InsufficientQuota": (429, "insufficient_quota", "insufficient_quota"),
    "EngineFailure": (500, "server_error", "engine_failure"),
    "TierUnavailable": (503, "server_error", "tier_unavailable"),
    "ReplicaUnavailable": (503, "server_error", "replica_unavailable"),
    "AccountsUnavailable": (503, "server_error", "accounts_unavailable"),
    "AdapterNotLoaded": (503, "server_error", "adapter_not_loaded"),
    "EngineDead": (500, "server_error", "engine_dead"),
    "EngineKilled": (500, "server_error", "engine_killed"),
    "LoopDetected": (508, "invalid_request_error", "loop_detected"),
    "DeadlineExceeded": (504, "timeout_error", "deadline_exceeded"),
}


@EVERY
def test_an_error_survives_rays_pickling(cls: type[ServingError]) -> None:
    back = cloudpickle.loads(cloudpickle.dumps(cls("what went wrong", "messages")))
    assert type(back) is cls
    assert (back.message, back.param, str(back)) == ("what went wrong", "messages", back.message)
    assert (back.status, back.code) == (cls.status, cls.code)


@EVERY
def test_an_error_has_openais_envelope(cls: type[ServingError]) -> None:
    assert cls("m", "p").envelope() == {
        "error": {"message": "m", "type": cls.type, "param": "p", "code": cls.code}
    }


@EVERY
def test_an_error_keeps_its_place_in_the_contract(cls: type[ServingError]) -> None:
    assert (cls.status, cls.type, cls.code) == CONTRACT[cls.__name__]


@EVERY
def test_an_error_can_be_sent_by_name(cls: type[ServingError]) -> None:
    # A replica sends errors as data; a class that is not in the table cannot be rebuilt.
    assert BY_NAME[cls.__name__] is cls


@EVERY
def test_only_a_failure_that_another_replica_may_not_share_is_retried(
    cls: type[ServingError],
) -> None:
    assert cls.retryable == issubclass(cls, Overloaded | EngineFailure | TierUnavailable)


@EVERY
def test_a_client_is_told_when_to_come_back(cls: type[ServingError]) -> None:
    assert (cls.retry_after_s is not None) == (cls.status in (429, 503))


def test_a_start_up_mistake_is_no_http_error() -> None:
    assert not issubclass(ConfigError, ServingError)


@pytest.mark.parametrize(
    ("status", "cls"),
    [
        (400, InvalidRequest),
        (404, UnknownModel),
        (408, DeadlineExceeded),
        (413, ContextLengthExceeded),
        (422, InvalidRequest),
        (429, Overloaded),
        (500, EngineFailure),
        (501, EngineFailure),
        (502, TierUnavailable),
        (503, TierUnavailable),
        (504, DeadlineExceeded),
        (418, EngineFailure),
    ],
)
def test_an_engines_status_becomes_our_error(status: int, cls: type[ServingError]) -> None:
    assert by_status(status) is cls
