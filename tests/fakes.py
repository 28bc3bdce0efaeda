"""Stand-ins for Serve's handles and the classifier: what they are told, without Ray or chance."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

import orjson

from classifier import Score
from deployments.accounting.exchange import Exchange
from deployments.gateway.answering import Gateway
from deployments.gateway.hints import Hints
from deployments.gateway.ports import Ports
from deployments.protocol.chunk import Chunk, Usage
from deployments.protocol.engine import EngineRequest
from deployments.protocol.errors import ServingError
from deployments.protocol.openai_request import ParsedRequest, parse
from deployments.protocol.wire import decode_request
from deployments.replicas.tier import ModelTier
from deployments.routing.shared_state import LocalState
from deployments.settings.app import AppConfig, TierConfig, TierName
from deployments.settings.privacy import PrivacyConfig


def score_of(complexity: float, domain: str | None = "general") -> Score:
    """A score with this complexity; the other numbers follow from it."""
    return Score(complexity, 1.0 - complexity, 1.0, complexity, 0.5, domain, "test-artifact")


class FakeScorer:
    """Gives every conversation the same complexity; None: no score came in time."""

    def __init__(self, complexity: float | None = 0.1, domain: str | None = "general") -> None:
        self.complexity = complexity
        self.domain = domain
        self.asked: list[Any] = []

    async def score(self, conversation: Any) -> Score | None:
        self.asked.append(conversation)
        return None if self.complexity is None else score_of(self.complexity, self.domain)


class FakeResponse:
    """What `handle.remote` gives: an iterator with `cancel`, which ends the replica's work."""

    def __init__(self, items: Any) -> None:
        self._items = items
        self.cancelled = False

    async def __anext__(self) -> Any:
        return await anext(self._items)

    def cancel(self) -> None:
        self.cancelled = True
        self._closing = asyncio.ensure_future(self._close())

    async def _close(self) -> None:
        while True:
            with suppress(RuntimeError):  # its reader has not let go of it yet
                await self._items.aclose()
                return
            await asyncio.sleep(0)


class FakeHandle:
    """A streaming deployment handle whose replica is a function."""

    def __init__(self, generate: Callable[[dict[str, Any]], AsyncIterator[Any]]) -> None:
        self.generate = generate
        self.requests: list[EngineRequest] = []
        self.responses: list[FakeResponse] = []

    def options(self, **_: Any) -> "FakeHandle":
        return self

    def remote(self, request: dict[str, Any]) -> FakeResponse:
        self.requests.append(decode_request(request))
        self.responses.append(FakeResponse(self.generate(request)))
        return self.responses[-1]


class LocalTier(ModelTier):
    """A real replica in this process: where it would exit it says why, and it ends when told."""

    exits: list[str]

    def _exit(self, why: str) -> None:
        self.exits.append(why)

    def __del__(self) -> None:  # type: ignore[override]  # Serve awaits the parent's; nobody does here
        """Do nothing."""

    async def end(self) -> None:
        await ModelTier.__del__(self)


async def local_tier(
    config: TierConfig, name: str = "small", privacy: PrivacyConfig | None = None
) -> LocalTier:
    """A started replica of this tier."""
    tier = LocalTier.__new__(LocalTier)
    tier.exits = []
    await tier.__init__(name, config, privacy or PrivacyConfig())  # type: ignore[misc]  # as Serve starts it
    return tier


def chunks_of(*texts: str, finish: str | None = "stop", prompt_tokens: int = 10) -> list[Chunk]:
    """A whole answer, one token a chunk."""
    last = len(texts)
    said = [
        Chunk(text.encode(), Usage(prompt_tokens, at), bool(text))
        for at, text in enumerate(texts, 1)
    ]
    return [*said, Chunk(b"", Usage(prompt_tokens, last), finish_reason=finish, done=True)]


class FakeAnswer:
    """An `OpenAnswer` of these chunks; an error among them is raised in its place."""

    def __init__(self, items: Iterable[object]) -> None:
        self._items = iter(items)
        self.closed = 0

    def __aiter__(self) -> "FakeAnswer":
        return self

    async def __anext__(self) -> Chunk:
        await asyncio.sleep(0)
        for item in self._items:
            if isinstance(item, BaseException):
                raise item
            assert isinstance(item, Chunk)
            return item
        raise StopAsyncIteration

    async def close(self) -> None:
        self.closed += 1
        await asyncio.sleep(0)


class FakeTier:
    """Gives one of its answers after the other, the last one again and again; an error instead of
    an answer is raised by `open`."""

    def __init__(self, *answers: Sequence[object] | BaseException) -> None:
        self._answers = list(answers) or [chunks_of("Hello")]
        self.requests: list[EngineRequest] = []
        self.opened: list[FakeAnswer] = []

    async def open(self, request: EngineRequest, deadline_s: float) -> FakeAnswer:
        self.requests.append(request)
        await asyncio.sleep(0)
        given = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(given, BaseException):
            raise given
        self.opened.append(FakeAnswer(given))
        return self.opened[-1]


class FakeHealth:
    """Tiers are up unless they are named."""

    def __init__(self, *down: TierName) -> None:
        self.down = set(down)

    def up(self, tier: TierName) -> bool:
        return tier not in self.down


def chat(*said: Any, model: str = "auto", **fields: Any) -> ParsedRequest:
    """A chat: texts are the user's, mappings are whole messages."""
    messages = [m if isinstance(m, dict) else {"role": "user", "content": m} for m in said]
    body = {"model": model, "messages": messages, **fields}
    return parse("chat", orjson.dumps(body))


class Setting:
    """A gateway between plain objects, and the exchanges that it has settled."""

    def __init__(
        self,
        scorer: FakeScorer | None = None,
        small: FakeTier | None = None,
        large: FakeTier | None = None,
        health: FakeHealth | None = None,
        config: dict[str, Any] | None = None,
    ) -> None:
        self.settled: list[Exchange] = []
        self.config = AppConfig.model_validate(config or {})
        self.scorer = scorer or FakeScorer()
        self.tiers: dict[TierName, FakeTier] = {
            "small": small or FakeTier(),
            "large": large or FakeTier(),
        }
        ports = Ports(
            self.scorer,
            self.tiers,
            health or FakeHealth(),
            LocalState(self.config),
            self.settled.append,
        )
        self.gateway = Gateway(self.config, ports)

    async def answer(self, request: ParsedRequest, **hints: Any) -> Exchange:
        """The exchange of one request, read to its end; what it raised is its outcome."""
        asked = Hints(**{"request_id": "r", **hints})
        async with self.gateway.admit(request, asked, time.perf_counter()) as answering:
            with suppress(ServingError):
                await answering.open()
                async for _ in answering:
                    pass
        return self.settled[-1]

    async def where(self, request: ParsedRequest, **hints: Any) -> str:
        """Tier and cause of one request."""
        last = (await self.answer(request, **hints)).last
        return f"{last.tier} {last.cause}" if last else "nowhere"
