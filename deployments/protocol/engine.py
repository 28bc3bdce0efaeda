"""What a tier runs: the one interface between a replica and the thing that makes tokens.

Implemented by `vllm.engine` (real weights), `simulated.engine` (rehearsals, load and fault tests)
and `upstream.engine` (an OpenAI-compatible endpoint).
"""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol, runtime_checkable

from deployments.protocol.chunk import Chunk, Usage
from deployments.protocol.errors import InvalidRequest

Endpoint = Literal["chat", "completions"]
# What is wanted of a prompt: its answer, or its tokens; or the text of tokens.
Purpose = Literal["answer", "tokenize", "detokenize"]


@dataclass(frozen=True, slots=True)
class EngineRequest:
    """One generation.

    The body's `model` is what the client asked for until a replica puts the name there under which
    it serves what will answer.
    """

    endpoint: Endpoint
    # Never printed: it is the client's text.
    body: dict[str, Any] = field(repr=False)
    request_id: str
    # True: this request must not leave the cluster. Checked where bytes would leave it.
    local_only: bool = False
    # Time left for the whole answer, from the moment the request is handed over.
    timeout_s: float | None = None
    # The adapter that is to answer; None: the tier's own model.
    adapter: str | None = None
    # Whether the chunks shall carry their tokens' log-probabilities, where the engine has them.
    logprobs: bool = False
    # What a model must be able to do, and hosts that it must be allowed to fetch images from: for
    # tiers behind which models differ.
    needs: tuple[str, ...] = ()
    media_hosts: tuple[str, ...] = ()
    # How often the request has passed a service like this one.
    hops: int = 0
    purpose: Purpose = "answer"

    def after(self, waited_s: float) -> "EngineRequest":
        """The request with the time that is left after a wait, by two nodes' clocks.

        A wait that is no wait, or longer than the request had, says that the clocks do not agree.
        """
        if self.timeout_s is None or not 0 < waited_s < self.timeout_s:
            return self
        return replace(self, timeout_s=self.timeout_s - waited_s)

    @property
    def stream(self) -> bool:
        """Whether the client asked for server-sent events."""
        return bool(self.body.get("stream"))

    @property
    def include_usage(self) -> bool:
        """Whether a streaming client asked for the final usage event."""
        options = self.body.get("stream_options")
        return isinstance(options, dict) and bool(options.get("include_usage"))


@dataclass(frozen=True, slots=True)
class EngineLoad:
    """What the engine is doing now; `progress` only ever grows while it works.

    A request that the engine has finished is not running, however slowly its answer is read.
    """

    waiting: int = 0
    running: int = 0
    kv_cache_usage: float = 0.0
    progress: int = 0


@runtime_checkable
class RemoteEngine(Protocol):
    """An engine that asks upstreams, and knows which of them it leaves alone."""

    def closed(self) -> dict[str, bool]:
        """By upstream, whether it is down, or asked to be left alone."""
        ...


@runtime_checkable
class AdapterEngine(Protocol):
    """An engine that can hold LoRA adapters beside its model."""

    async def set_adapters(self, paths: dict[str, str]) -> None:
        """Hold exactly these adapters, name to folder, from now on; nothing is restarted.

        Raises: `ConfigError` naming the adapter that cannot be loaded.
        """


@runtime_checkable
class TokenizingEngine(Protocol):
    """An engine that has its model's tokenizer at hand."""

    async def tokens(self, request: EngineRequest) -> bytes:
        """vLLM's JSON document for `/tokenize` or `/detokenize`. Raises: `ServingError`."""
        ...


class Engine(Protocol):
    """Turns OpenAI requests into OpenAI responses."""

    async def start(self) -> None:
        """Load the model; return when requests can be answered."""

    def generate(self, request: EngineRequest) -> AsyncGenerator[Chunk, None]:
        r"""The answer in chunks; the last has `done`, and may be empty.

        Streaming: the data of each is whole SSE events (`data: {...}\n\n`), without the final
        `[DONE]`; the usage event only if the client asked for it. Otherwise: one JSON document. A
        chunk holds all that is ready when it is asked for, so that a reader who asks less often
        gets fewer, larger ones. Closing the iterator stops the generation.
        Raises: `ServingError`, before or after the first chunk; never anything else. `EngineDead`
        only where this request may be what killed the engine.
        """
        ...

    def load(self) -> EngineLoad:
        """Requests waiting and running, KV use in [0, 1], and the progress counter."""
        ...

    def dead(self) -> bool:
        """Whether the engine can never answer again, so that the replica must be replaced."""
        ...

    async def stop(self) -> None:
        """Free the model; called once, after the last request."""


def work(engine: Engine, request: EngineRequest) -> AsyncGenerator[Chunk, None]:
    """What an engine makes of a request: an answer, or its tokens as the one chunk of one."""
    return engine.generate(request) if request.purpose == "answer" else _tokens(engine, request)


async def _tokens(engine: Engine, request: EngineRequest) -> AsyncGenerator[Chunk, None]:
    if not isinstance(engine, TokenizingEngine):
        raise InvalidRequest("This model is elsewhere: its tokenizer is not here.", "model")
    yield Chunk(await engine.tokens(request), Usage(0, 0), True, done=True)
