"""The gateway's side of a tier: retried before the first byte, never after it, always cancelled."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import grpc
import pytest
from ray.exceptions import ActorDiedError, RayTaskError, TaskCancelledError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError

from deployments.protocol.chunk import Usage
from deployments.protocol.engine import Ended, EngineRequest
from deployments.protocol.errors import (
    DeadlineExceeded,
    EngineDead,
    EngineFailure,
    ErrorReply,
    InvalidRequest,
    Overloaded,
    ServingError,
    TierUnavailable,
)
from deployments.replicas.health import TierHealth
from deployments.replicas.tier_client import SAME_TIER_ATTEMPTS, TierClient
from tests.fakes import FakeHandle

REQUEST = EngineRequest("chat", {"model": "m", "messages": [], "stream": True}, "r1")
FOREVER = 1e9


class Script:
    """A deployment that plays one script per call: items, errors to raise, seconds to wait."""

    def __init__(self, *scripts: list[Any]) -> None:
        self._scripts = list(scripts)
        self.closed = 0

    async def generate(self, _: EngineRequest) -> AsyncGenerator[Any, None]:
        try:
            for step in self._scripts.pop(0):
                if isinstance(step, BaseException):
                    raise step
                if isinstance(step, float):
                    await asyncio.sleep(step)
                else:
                    yield step
        finally:
            self.closed += 1


def health(small: int = 2, large: int = 1) -> TierHealth:
    known = TierHealth(dict, 1.0, frozenset())
    known.update({"small": small, "large": large})
    return known


def client(script: Script, known: TierHealth | None = None) -> tuple[TierClient, FakeHandle]:
    handle: Any = FakeHandle(script.generate)
    return TierClient("small", handle, known or health()), handle


async def read(opened: Any) -> list[bytes]:
    return [item async for item in opened]


def died() -> BaseException:
    error: BaseException = ActorDiedError()
    return error


@pytest.mark.parametrize("last", [b"3", b""], ids=["with its end", "after its end"])
async def test_an_answer_gives_its_bytes_in_order_and_then_its_usage(last: bytes) -> None:
    tier, handle = client(Script([b"1", b"2", Ended(last, Usage(7, 3))]))
    answer = await tier.open(REQUEST, FOREVER)
    assert b"".join(await read(answer)) == b"12" + last
    assert answer.usage == Usage(7, 3)
    assert not handle.responses[0].cancelled


@pytest.mark.parametrize("failure", [died(), DeploymentUnavailableError("x")], ids=["died", "gone"])
async def test_a_request_whose_replica_died_first_is_sent_to_another(
    failure: BaseException,
) -> None:
    tier, handle = client(Script([failure], [Ended(b"1", Usage(1, 1))]))
    assert await read(await tier.open(REQUEST, FOREVER)) == [b"1"]
    assert len(handle.requests) == 2


async def test_an_engine_that_says_it_is_dead_is_left_for_another() -> None:
    dead = ErrorReply("EngineDead", "dead", None, 5)
    tier, handle = client(Script([dead], [Ended(b"1", Usage(1, 1))]))
    assert await read(await tier.open(REQUEST, FOREVER)) == [b"1"]
    assert len(handle.requests) == 2


async def test_a_replica_that_dies_after_the_first_byte_is_not_asked_again() -> None:
    tier, handle = client(Script([b"1", died()], [b"never"]))
    answer = await tier.open(REQUEST, FOREVER)
    assert await anext(answer) == b"1"
    with pytest.raises(TierUnavailable):
        await anext(answer)
    assert len(handle.requests) == 1


async def test_a_tier_whose_replicas_keep_dying_is_given_up() -> None:
    tier, handle = client(Script(*[[died()]] * 9))
    with pytest.raises(TierUnavailable):
        await tier.open(REQUEST, FOREVER)
    assert len(handle.requests) == SAME_TIER_ATTEMPTS


async def test_a_tier_that_is_known_to_be_down_is_not_asked_again() -> None:
    known = health()

    async def generate(_: EngineRequest) -> AsyncGenerator[Any, None]:
        known.update({"small": 0, "large": 1})
        for error in (died(),):
            raise error
        yield b""

    handle: Any = FakeHandle(generate)
    with pytest.raises(TierUnavailable):
        await TierClient("small", handle, known).open(REQUEST, FOREVER)
    assert len(handle.requests) == 1


async def test_a_request_that_waits_on_a_tier_is_woken_when_its_last_replica_is_gone() -> None:
    known, script = health(), Script([60.0])
    tier, handle = client(script, known)
    waiting = asyncio.create_task(tier.open(REQUEST, FOREVER))
    await asyncio.sleep(0.01)
    known.update({"small": 0, "large": 1})
    with pytest.raises(TierUnavailable):
        await asyncio.wait_for(waiting, 5)
    await asyncio.sleep(0)
    assert handle.responses[0].cancelled
    assert script.closed == 1


# what the replica does -> our error
FAILURES: dict[str, tuple[Any, type[ServingError]]] = {
    "a full queue": (BackPressureError(1, 1), Overloaded),
    "cancelled by Serve": (TaskCancelledError(), TierUnavailable),
    "a broken connection": (grpc.RpcError(), TierUnavailable),
    "a bug": (RayTaskError("f", "Traceback: secret", ValueError("secret")), EngineFailure),
    "any exception": (ValueError("secret"), EngineFailure),
    "a wrong request": (ErrorReply("InvalidRequest", "no", "n", None), InvalidRequest),
    "an engine failure": (ErrorReply("EngineFailure", "no", None, None), EngineFailure),
    "no item at all": (None, EngineFailure),
    "usage alone": (Ended(b"", Usage(1, 0)), EngineFailure),
}


@pytest.mark.parametrize(("step", "error"), FAILURES.values(), ids=FAILURES)
async def test_a_failure_becomes_our_error_without_rays_text(
    step: Any, error: type[ServingError]
) -> None:
    script = Script(*[[] if step is None else [step]] * SAME_TIER_ATTEMPTS)
    tier, _ = client(script)
    with pytest.raises(error) as caught:
        await tier.open(REQUEST, FOREVER)
    assert type(caught.value) is error
    assert "secret" not in caught.value.message


async def test_an_error_sent_as_data_keeps_message_parameter_and_retry() -> None:
    tier, _ = client(Script([ErrorReply("Overloaded", "full", "model", 7)]))
    with pytest.raises(Overloaded) as caught:
        await tier.open(REQUEST, FOREVER)
    assert (caught.value.message, caught.value.param) == ("full", "model")
    assert caught.value.retry_after_s == 7


async def test_only_a_lost_replica_is_tried_again() -> None:
    tier, handle = client(Script([EngineFailure("x")], [b"never"]))
    with pytest.raises(EngineFailure):
        await tier.open(REQUEST, FOREVER)
    assert len(handle.requests) == 1


async def test_the_deadline_ends_the_wait_for_the_first_byte() -> None:
    script = Script([60.0])
    tier, handle = client(script)
    with pytest.raises(DeadlineExceeded):
        await tier.open(REQUEST, asyncio.get_running_loop().time() + 0.02)
    await asyncio.sleep(0)
    assert handle.responses[0].cancelled
    assert len(handle.requests) == 1
    assert script.closed == 1


async def test_the_deadline_ends_an_answer_under_way() -> None:
    tier, handle = client(Script([b"1", 60.0]))
    answer = await tier.open(REQUEST, asyncio.get_running_loop().time() + 0.05)
    assert await anext(answer) == b"1"
    with pytest.raises(DeadlineExceeded):
        await anext(answer)
    assert handle.responses[0].cancelled


async def test_closing_an_answer_cancels_the_replica() -> None:
    script = Script([b"1", b"2", 60.0])
    tier, handle = client(script)
    answer = await tier.open(REQUEST, FOREVER)
    await answer.close()
    await asyncio.sleep(0)
    assert handle.responses[0].cancelled
    assert script.closed == 1


async def test_a_caller_that_gives_up_while_waiting_cancels_the_replica() -> None:
    script = Script([60.0])
    tier, handle = client(script)
    waiting = asyncio.create_task(tier.open(REQUEST, FOREVER))
    await asyncio.sleep(0.01)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await asyncio.sleep(0)
    assert handle.responses[0].cancelled
    assert script.closed == 1


def test_a_dead_engine_counts_as_a_lost_replica() -> None:
    # The retry is by class: were EngineDead moved, a dying replica's request would be lost.
    assert issubclass(EngineDead, TierUnavailable)
