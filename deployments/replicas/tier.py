"""A tier's replica: one engine, its health, its load, its end. The same class for both tiers."""

import asyncio
import gc
import logging
import math
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from deployments.protocol import wire
from deployments.protocol.chunk import Chunk, joined
from deployments.protocol.engine import AdapterEngine, EngineRequest, RemoteEngine, work
from deployments.protocol.errors import (
    AdapterNotLoaded,
    EngineDead,
    ReplicaUnavailable,
    ServingError,
)
from deployments.replicas.beat import Beat
from deployments.replicas.build_engine import build_engine
from deployments.replicas.gauges import EngineGauges
from deployments.replicas.progress import Progress
from deployments.replicas.relay import Address
from deployments.replicas.relay_links import RelayLinks
from deployments.replicas.start_lock import start_lock
from deployments.replicas.target_gauges import TargetGauges
from deployments.settings.app import TierConfig, TierName
from deployments.settings.config_mistake import ConfigError
from deployments.settings.environment import visible_gpus
from deployments.settings.privacy import PrivacyConfig
from deployments.settings.release import release_of

log = logging.getLogger("ray.serve")

# How often a replica looks whether its engine died or stands still. Serve replaces a replica whose
# process is gone at once, but one whose health check fails only after three checks (28 s of errors,
# measured), and then lets its requests wait until they have drained.
WATCH_S = 0.2
# From a dead engine to the end of its replica: what the requests in it are told must have left.
LAST_WORDS_S = 0.1
# Chunks a second that a replica with a few streams sends, and the longest it waits to merge tokens:
# a chunk costs gateway and proxies as much with two tokens as with one.
BUSY_CHUNKS_PER_S = 120.0
MAX_MERGE_S = 0.05
# The item of a call whose frames went another way.
NOTHING = b""


class ModelTier:
    """Runs one engine and answers the gateway."""

    async def __init__(  # type: ignore[misc]  # Serve awaits it: a replica is ready when its model is
        self, name: TierName, config: TierConfig, privacy: PrivacyConfig | None = None
    ) -> None:
        self._name = name
        self._config = config
        self._release = release_of(name, config)
        self._adapters: frozenset[str] = frozenset()
        self._stall_timeout_s = config.stall_timeout_s
        self._completed = 0
        self._progress = Progress()
        self._links = RelayLinks()
        self._beat = Beat()
        self._gauges = EngineGauges()
        self._watch: asyncio.Task[None] | None = None
        self._engine = build_engine(config, privacy)
        if self._config.stand_in:
            log.warning(
                "tier %s: %r is a stand-in; set %s.engine to your model or endpoint",
                self._name,
                self._config.model,
                self._name,
            )
        # One at a time on a GPU, so that no start measures another's memory.
        async with start_lock(visible_gpus()):
            await self._engine.start()
        self._watch = asyncio.create_task(self._exit_when_useless())
        # What is here now stays: a collection that walks all of it stops every stream for a moment.
        gc.collect()
        gc.freeze()

    async def __del__(self) -> None:
        """Serve awaits it after the last request is drained, and where the start failed."""
        if not hasattr(self, "_engine"):
            return
        if self._watch is not None:
            self._watch.cancel()
        self._links.close()
        await self._engine.stop()

    async def generate(self, asked: dict[str, Any]) -> AsyncIterator[bytes]:
        """The engine's answer in frames of `wire`; an error is the last of them.

        They go over the connection that the request names (`relay`); the call yields them where
        there is none, and else one empty item. The first says under which name this replica serves
        what answers.
        """
        address = Address(*asked["relay"]) if asked.get("relay") else None
        link = await self._links.to(address) if address is not None else None
        try:
            async with aclosing(self._frames(asked)) as frames:
                async for frame in frames:
                    if link is None or address is None:
                        yield frame
                    else:
                        await link.send(address.stream, frame)
            if link is not None:
                # gRPC may drop the metadata of a stream without items that ends at once, and Serve,
                # which reads there that the call was accepted, then fails it.
                yield NOTHING
        except ServingError as error:  # of the link: the call is what is left
            yield wire.encode_error(error)
        finally:
            if link is not None and address is not None:
                link.forget(address.stream)
            self._completed += 1

    async def _frames(self, asked: dict[str, Any]) -> AsyncGenerator[bytes, None]:
        try:
            waited_s = time.time() - asked.get("sent_s", math.inf)
            request = self._under_own_name(wire.decode_request(asked).after(waited_s))
            name = request.body["model"]
            async with aclosing(self._gathered(request)) as chunks:
                async for chunk in chunks:
                    if name:
                        # What stands behind the tier may say a name of its own.
                        own = chunk.model or name
                        chunk = chunk._replace(model=own, release=self._release)
                    yield wire.encode(chunk)
                    name = ""
        except ServingError as error:
            yield wire.encode_error(error)

    def _under_own_name(self, request: EngineRequest) -> EngineRequest:
        """The request under a name that this replica serves: while a model is swapped, gateways and
        replicas do not agree on names."""
        if self._engine.dead():
            raise ReplicaUnavailable("The replica's engine had died before.")
        if request.adapter is not None and request.adapter not in self._adapters:
            raise AdapterNotLoaded(f"The adapter '{request.adapter}' is not loaded here.")
        return replace(
            request, body={**request.body, "model": request.adapter or self._config.model}
        )

    async def _gathered(self, request: EngineRequest) -> AsyncGenerator[Chunk, None]:
        """The engine's chunks, fewer and larger while the replica is busy.

        The first token always goes out at once. What opens and what ends an answer waits for what
        follows at once, so that both are one chunk.
        """
        held: Chunk | None = None
        try:
            async with aclosing(work(self._engine, request)) as answer:
                async for chunk in answer:
                    held = chunk if held is None else joined(held, chunk)
                    if chunk.done:
                        break
                    if not goes_out(request, chunk):
                        continue
                    yield held
                    held = None
                    if request.stream and (pause_s := merge_pause_s(self._engine.load().running)):
                        await self._beat.wait(pause_s)
        except ServingError:
            if held is not None and request.stream:
                yield held
            raise
        if held is not None:
            yield held

    async def reconfigure(self, user_config: dict[str, Any]) -> None:
        """Serve calls it after the start and whenever `adapters` or `stall_timeout_s` change:
        nothing restarts."""
        self._stall_timeout_s = user_config.get("stall_timeout_s", self._config.stall_timeout_s)
        adapters: dict[str, str] = user_config.get("adapters", {})
        if isinstance(self._engine, AdapterEngine):
            await self._engine.set_adapters(adapters)
        elif adapters:
            raise ConfigError(f"tier {self._name}: its engine holds no adapters")
        self._adapters = frozenset(adapters)

    async def check_health(self) -> None:
        """Raise where the engine is dead, or has work and makes no progress."""
        if complaint := self._complaint():
            raise EngineDead(f"tier {self._name}: {complaint}")

    def record_autoscaling_stats(self) -> dict[str, float]:
        """What the autoscaling policy reads beside Serve's own counts."""
        load = self._engine.load()
        self._gauges.set(load)  # here, because Serve asks once in `metrics_interval_s`
        return {
            "engine_waiting": float(load.waiting),
            "engine_running": float(load.running),
            "kv_cache_usage": load.kv_cache_usage,
            "completed_total": float(self._completed),
        }

    def _complaint(self) -> str | None:
        """Why this replica can answer nothing more; None while it can."""
        if self._engine.dead():
            return "engine died"
        if self._progress.stalled_s > self._stall_timeout_s:
            return f"no progress for {self._progress.stalled_s:.0f} s"
        return None

    async def _exit_when_useless(self) -> None:
        loop = asyncio.get_running_loop()
        gauges = TargetGauges(self._name) if isinstance(self._engine, RemoteEngine) else None
        while True:
            await asyncio.sleep(WATCH_S)
            if gauges is not None and isinstance(self._engine, RemoteEngine):
                gauges.show(self._engine.closed())
            self._progress.look(self._engine.load(), loop.time())
            if complaint := self._complaint():
                if self._engine.dead():
                    await asyncio.sleep(LAST_WORDS_S)
                self._exit(complaint)

    def _exit(self, why: str) -> None:
        """Leave at once: Serve starts a new replica now, not after three failed health checks, and
        the requests here go to another now, not after this one was given time to drain."""
        log.error("tier %s: %s; replica exits to be replaced", self._name, why)
        logging.shutdown()
        os._exit(1)


def goes_out(request: EngineRequest, chunk: Chunk) -> bool:
    """Whether a chunk that does not end the answer is sent by itself.

    Of a document nothing can be sent, but what it has cost so far is booked.
    """
    return bool(chunk.content and not chunk.finish_reason) if request.stream else not chunk.data


def merge_pause_s(running: int) -> float:
    """How long to let tokens gather before the next item, seconds; 0 for a quiet replica.

    Each of `running` streams gets its share of `BUSY_CHUNKS_PER_S`.
    >>> merge_pause_s(1), merge_pause_s(8), merge_pause_s(100)
    (0.0, 0.05, 0.05)
    """
    return 0.0 if running <= 1 else min(MAX_MERGE_S, running / BUSY_CHUNKS_PER_S)
