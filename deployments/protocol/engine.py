"""What a tier runs: the one interface between a replica and the thing that makes tokens.

Implemented by `vllm_engine` (real weights), `simulated.engine` (rehearsals, load and fault tests)
and `upstream.engine` (an OpenAI-compatible endpoint).
"""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

from deployments.protocol.chunk import Usage

Endpoint = Literal["chat", "completions"]


@dataclass(frozen=True, slots=True)
class EngineRequest:
    """One generation: an OpenAI request body whose `model` is already the served name."""

    endpoint: Endpoint
    body: dict[str, Any]
    request_id: str
    # True: this request must not leave the cluster. Checked where bytes would leave it.
    local_only: bool = False
    # Time left for the whole answer, from the moment the request is handed over.
    timeout_s: float | None = None

    @property
    def stream(self) -> bool:
        """Whether the client asked for server-sent events."""
        return bool(self.body.get("stream"))

    @property
    def include_usage(self) -> bool:
        """Whether a streaming client asked for the final usage event."""
        options = self.body.get("stream_options")
        return isinstance(options, dict) and bool(options.get("include_usage"))


class Ended(NamedTuple):
    """The last item a replica sends: the answer's last bytes, if any are left, and its cost."""

    last: bytes
    usage: Usage


@dataclass(frozen=True, slots=True)
class EngineLoad:
    """What the engine is doing now; `progress` only ever grows while it works."""

    waiting: int = 0
    running: int = 0
    kv_cache_usage: float = 0.0
    progress: int = 0


@runtime_checkable
class AdapterEngine(Protocol):
    """An engine that can hold LoRA adapters beside its model."""

    async def set_adapters(self, paths: dict[str, str]) -> None:
        """Hold exactly these adapters, name to folder, from now on; nothing is restarted.

        Raises: `ConfigError` naming the adapter that cannot be loaded.
        """


class Engine(Protocol):
    """Turns OpenAI requests into OpenAI responses."""

    async def start(self) -> None:
        """Load the model; return when requests can be answered."""

    def generate(self, request: EngineRequest) -> AsyncGenerator[bytes | Usage, None]:
        r"""The answer as bytes, then `Usage`.

        Streaming: each item is one or more whole SSE events (`data: {...}\n\n`), without the
        final `[DONE]`; the usage event only if the client asked for it. Otherwise: one JSON
        document. An item holds all that is ready when it is asked for, so that a reader who asks
        less often gets fewer, larger items. Closing the iterator stops the generation.
        Raises: `ServingError`, before or after the first item; never anything else.
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
