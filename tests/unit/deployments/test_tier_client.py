"""The gateway's side of a tier: retried before the first byte, never after it, always cancelled."""

import asyncio
import functools
from collections.abc import AsyncGenerator, Callable
from typing import Any

import grpc
import pytest
from ray.exceptions import (
    ActorDiedError,
    ActorUnavailableError,
    RayTaskError,
    TaskCancelledError,
)
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError

from deployments.protocol import wire
from deployments.protocol.chunk import Chunk, Usage, joined
from deployments.protocol.engine import EngineRequest
from deployments.protocol.errors import (
    AdapterNotLoaded,
    DeadlineExceeded,
    EngineDead,
    EngineFailure,
    InvalidRequest,
    Overloaded,
    ReplicaUnavailable,
    ServingError,
    TierUnavailable,
)
from deployments.replicas import tier_client
from deployments.replicas.health import TierHealth
from deployments.replicas.tier_client import RETRY_PAUSES_S, TierClient
from tests.fakes import FakeHandle

REQUEST = EngineRequest("chat", {"model": "m", "messages": [], "stream": True}, "r1")
FOREVER = 1e9
ONE = Chunk(b"1", Usage(7, 1), content=True, model="m")
END = Chunk(b"2", Usage(7, 2), finish_reason="stop", done=True)
WHOLE = Chunk(b"12", Usage(7, 2), content=True, finish_reason="stop", model="m", done=True)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tier_client, "RETRY_PAUSES_S", (0.0,) * len(RETRY_PAUSES_S))
    monkeypatch.setattr(tier_client, "SPREAD_S", 0.0)


class Script:
    """A deployment that plays one script per call: chunks, errors that a replica sends or that Ray
    raises, seconds to wait."""

    def __init__(self, *scripts: list[Any]) -> None:
        self._scripts = list(scripts)
        self.closed = 0

    async def generate(self, _: dict[str, Any]) -> AsyncGenerator[Any, None]:
        try:
            for step in self._scripts.pop(0):
                if isinstance(step, ServingError):
                    yield wire.encode_error(step)
                elif isinstance(step, BaseException):
                    raise step
                elif isinstance(step, float):
                    await asyncio.sleep(step)
                else:
                    yield wire.encode(step) if isinstance(step, Chunk) else step
        finally:
            self.closed += 1


def health(small: int = 2, large: int = 1) -> TierHealth:
    known = TierHealth(dict, 1.0, frozenset())
    known.update({"small": small, "large": large})
    return known


def client(script: Script, known: TierHealth | None = None) -> tuple[TierClient, FakeHandle]:
    handle: Any = FakeHandle(script.generate)
    return TierClient("small", handle, known or health()), handle


async def read(opened: Any) -> Chunk:
    """The whole answer: how many chunks it comes in depends on who is faster."""
    chunks: list[Chunk] = [chunk async for chunk in opened]
    return functools.reduce(joined, chunks)


def died() -> BaseException:
    error: BaseException = ActorDiedError()
    return error


async def test_an_answer_gives_its_chunks_in_order_and_says_who_answers() -> None:
    tier, handle = client(Script([ONE, END]))
    answer = await tier.open(REQUEST, FOREVER)
    assert answer.model == "m"
    assert await read(answer) == WHOLE
    assert not handle.responses[0].cancelled


async def test_an_answer_is_over_with_its_last_chunk_whatever_its_replica_does_then() -> None:
    tier, handle = client(Script([ONE, END, died()]))
    answer = await tier.open(REQUEST, FOREVER)
    assert await read(answer) == WHOLE
    await answer.close()
    assert not handle.responses[0].cancelled


async def test_an_answer_that_stops_without_its_last_chunk_was_cut() -> None:
    tier, _ = client(Script([ONE]))
    answer = await tier.open(REQUEST, FOREVER)
    assert await anext(answer) == ONE
    with pytest.raises(EngineFailure):
        await anext(answer)


# what a replica does before its first byte -> how often the tier is asked when it does so every
# time, and what the gateway gets in the end
ALL_TRIES = len(RETRY_PAUSES_S) + 1
TRIES: dict[str, tuple[Callable[[], Any], int, type[ServingError]]] = {
    "dies": (lambda: ActorDiedError(), 2, EngineDead),
    "cannot be reached any more": (lambda: ActorUnavailableError("", None), 2, EngineDead),
    "breaks the connection": (lambda: grpc.RpcError(), 2, EngineDead),
    "says that its engine died": (lambda: EngineDead("x"), 2, EngineDead),
    "was dead before": (lambda: ReplicaUnavailable("x"), ALL_TRIES, ReplicaUnavailable),
    "lacks the adapter": (lambda: AdapterNotLoaded("x"), ALL_TRIES, AdapterNotLoaded),
    "is of another release": (lambda: b"data: {}", ALL_TRIES, ReplicaUnavailable),
    "is stopped": (lambda: TaskCancelledError(), ALL_TRIES, ReplicaUnavailable),
    "is stopped, by gRPC": (lambda: asyncio.CancelledError(), ALL_TRIES, ReplicaUnavailable),
    "is away": (lambda: DeploymentUnavailableError("x"), ALL_TRIES, ReplicaUnavailable),
    # These an upstream may answer, which was tried often enough.
    "is an upstream that is down": (lambda: TierUnavailable("x"), 1, TierUnavailable),
    "is an upstream that is full": (lambda: Overloaded("x"), 1, Overloaded),
    "fails": (lambda: EngineFailure("x"), 1, EngineFailure),
    "is late": (lambda: DeadlineExceeded("x"), 1, DeadlineExceeded),
    "refuses": (lambda: InvalidRequest("x"), 1, InvalidRequest),
    "has a bug": (lambda: RayTaskError("f", "secret", ValueError("secret")), 1, EngineFailure),
    "raises anything": (lambda: ValueError("secret"), 1, EngineFailure),
    "has a full queue": (lambda: BackPressureError(1, 1), 1, Overloaded),
}


@pytest.mark.parametrize(("does", "tries", "error"), TRIES.values(), ids=TRIES)
async def test_a_tier_is_asked_again_only_where_another_replica_may_answer(
    does: Callable[[], Any], tries: int, error: type[ServingError]
) -> None:
    tier, handle = client(Script(*([does()] for _ in range(9))))
    with pytest.raises(error) as caught:
        await tier.open(REQUEST, FOREVER)
    assert type(caught.value) is error and "secret" not in caught.value.message
    assert len(handle.requests) == tries


@pytest.mark.parametrize(("does", "tries"), [v[:2] for v in TRIES.values()], ids=TRIES)
async def test_another_replica_that_answers_is_enough(does: Callable[[], Any], tries: int) -> None:
    if tries == 1:
        pytest.skip("is not asked again")
    tier, handle = client(Script([does()], [ONE, END]))
    assert await read(await tier.open(REQUEST, FOREVER)) == WHOLE
    assert len(handle.requests) == 2


async def test_two_deaths_are_one_too_many_whatever_lies_between() -> None:
    steps = [EngineDead("x"), ReplicaUnavailable("x"), died()]
    tier, handle = client(Script(*([step] for step in steps), [ONE, END]))
    with pytest.raises(EngineDead):
        await tier.open(REQUEST, FOREVER)
    assert len(handle.requests) == 3


async def test_a_request_whose_replica_died_waits_for_its_tier_and_never_leaves_it() -> None:
    known = health()

    async def generate(_: dict[str, Any]) -> AsyncGenerator[Any, None]:
        if known.up("small"):
            known.update({"small": 0, "large": 1})
            raise died()
        await asyncio.sleep(0.05)  # until Serve has started another
        yield wire.encode(END)

    handle: Any = FakeHandle(generate)
    answer = await TierClient("small", handle, known).open(REQUEST, FOREVER)
    assert await read(answer) == END


async def test_a_replica_that_dies_after_the_first_byte_is_not_asked_again() -> None:
    tier, handle = client(Script([ONE, died()], [END]))
    answer = await tier.open(REQUEST, FOREVER)
    assert await anext(answer) == ONE
    with pytest.raises(ReplicaUnavailable):
        await anext(answer)
    assert len(handle.requests) == 1


async def test_a_tier_that_is_known_to_be_down_is_not_asked_again() -> None:
    known = health()

    async def generate(_: dict[str, Any]) -> AsyncGenerator[Any, None]:
        known.update({"small": 0, "large": 1})
        yield wire.encode_error(ReplicaUnavailable("x"))

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


async def test_an_error_sent_as_data_keeps_message_parameter_and_retry() -> None:
    error = Overloaded("full", "model")
    error.retry_after_s = 7
    tier, _ = client(Script([error]))
    with pytest.raises(Overloaded) as caught:
        await tier.open(REQUEST, FOREVER)
    assert (caught.value.message, caught.value.param) == ("full", "model")
    assert caught.value.retry_after_s == 7


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
    tier, handle = client(Script([ONE, 60.0]))
    answer = await tier.open(REQUEST, asyncio.get_running_loop().time() + 0.05)
    assert await anext(answer) == ONE
    with pytest.raises(DeadlineExceeded):
        await anext(answer)
    assert handle.responses[0].cancelled


async def test_closing_an_answer_cancels_the_replica() -> None:
    script = Script([ONE, ONE, 60.0])
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
