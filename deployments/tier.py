"""A tier's replica: one engine, its health, its load, its end. The same class for both tiers."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import aclosing

from deployments.config import TierConfig
from deployments.engine import AdapterEngine, Engine, EngineRequest, Usage
from deployments.environment import secret, set_defaults, visible_gpus
from deployments.errors import ConfigError, EngineDead, ErrorReply, ServingError
from deployments.simulated.config import SimulatedEngineConfig
from deployments.simulated.engine import SimulatedEngine
from deployments.start_lock import start_lock
from deployments.upstream.engine import UpstreamEngine
from deployments.vllm_config import VllmConfig

log = logging.getLogger("ray.serve")

# How often a replica looks whether its engine died. Serve replaces a replica whose process is gone
# at once, but one whose health check fails only after three checks (28 s of errors, measured).
DEATH_WATCH_S = 0.2
# Chunks a second that one replica sends at most while it is busy, and the longest it waits to merge
# tokens. A Ray hop costs about 0.5 ms of CPU whether it carries one token or twenty.
BUSY_CHUNKS_PER_S = 120.0
MAX_MERGE_S = 0.1


class ModelTier:
    """Runs one engine and answers the gateway."""

    async def __init__(self, name: str, config: TierConfig) -> None:  # type: ignore[misc]  # Serve awaits it: a replica is ready when its model is
        self._name = name
        self._config = config
        self._engine = build_engine(config)
        self._completed = 0
        self._seen_progress = -1
        self._progress_at_s = 0.0
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
        self._watch = asyncio.create_task(self._exit_on_death())

    async def __del__(self) -> None:
        """Serve awaits it after the last request is drained."""
        self._watch.cancel()
        await self._engine.stop()

    async def generate(self, request: EngineRequest) -> AsyncIterator[bytes | Usage | ErrorReply]:
        """The engine's answer; where it fails, an `ErrorReply` is the last item.

        While the replica is busy it pulls less often, so that an item carries several tokens; the
        first item always goes out at once.
        """
        try:
            async with aclosing(self._engine.generate(request)) as answer:
                async for item in answer:
                    yield item
                    if request.stream and (pause_s := merge_pause_s(self._engine.load().running)):
                        await asyncio.sleep(pause_s)
        except ServingError as error:
            if self._engine.dead():
                self._exit("engine died while answering")
            yield ErrorReply.of(error)
        finally:
            self._completed += 1

    async def reconfigure(self, user_config: dict[str, dict[str, str]]) -> None:
        """Serve calls it after the start and whenever the adapters change: nothing restarts."""
        adapters = user_config["adapters"]
        if isinstance(self._engine, AdapterEngine):
            await self._engine.set_adapters(adapters)
        elif adapters:
            raise ConfigError(f"tier {self._name}: its engine holds no adapters")

    async def check_health(self) -> None:
        """Raise where the engine is dead, or has work and makes no progress."""
        if self._engine.dead():
            raise EngineDead(f"the engine of tier {self._name} is dead")
        load = self._engine.load()
        now_s = asyncio.get_running_loop().time()
        if load.progress != self._seen_progress or not (load.running or load.waiting):
            self._seen_progress, self._progress_at_s = load.progress, now_s
        elif now_s - self._progress_at_s > self._config.stall_timeout_s:
            raise EngineDead(
                f"tier {self._name}: {load.running} running, no progress for "
                f"{now_s - self._progress_at_s:.0f} s"
            )

    def record_autoscaling_stats(self) -> dict[str, float]:
        """What the autoscaling policy reads beside Serve's own counts."""
        load = self._engine.load()
        return {
            "engine_waiting": float(load.waiting),
            "engine_running": float(load.running),
            "kv_cache_usage": load.kv_cache_usage,
            "completed_total": float(self._completed),
        }

    async def _exit_on_death(self) -> None:
        while True:
            await asyncio.sleep(DEATH_WATCH_S)
            if self._engine.dead():
                self._exit("engine died")

    def _exit(self, why: str) -> None:
        """Leave at once: Serve starts a new replica now, not after three failed health checks."""
        log.error("tier %s: %s; replica exits to be replaced", self._name, why)
        logging.shutdown()
        os._exit(1)


def merge_pause_s(running: int) -> float:
    """How long to let tokens gather before the next item, seconds; 0 for a quiet replica.

    Each of `running` streams gets its share of `BUSY_CHUNKS_PER_S`.
    >>> merge_pause_s(1), merge_pause_s(8), merge_pause_s(100)
    (0.0, 0.06666666666666667, 0.1)
    """
    return 0.0 if running <= 1 else min(MAX_MERGE_S, running / BUSY_CHUNKS_PER_S)


def build_engine(config: TierConfig) -> Engine:
    """The engine that a tier's config names."""
    engine = config.engine
    if isinstance(engine, VllmConfig):
        set_defaults(vllm_environment(engine))
        # Imported here: it reads the environment, and a head node may be without vLLM.
        from deployments.vllm_engine import VllmEngine

        return VllmEngine(engine, config.model)
    if isinstance(engine, SimulatedEngineConfig):
        return SimulatedEngine(engine)
    return UpstreamEngine(engine, secret(engine.api_key_env))


def vllm_environment(config: VllmConfig) -> dict[str, str]:
    """What vLLM reads from the environment, for its own processes too."""
    variables = {
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "VLLM_CPU_OMP_THREADS_BIND": config.cpu_threads or "nobind",
    }
    if config.enforce_eager:
        # vLLM compiles its logprobs kernel even so; the first request that asks for them then
        # stalls the engine for 20 s.
        variables["TORCH_COMPILE_DISABLE"] = "1"
    return variables
