"""What the way to the Classifier deployment costs: `python -m bench.classifier.hop`.

A Serve replica stands for the gateway. It asks for the same scores in turn of: its own classifier
on its event loop (the arithmetic alone), its own in a thread, the deployment as we run it, and one
that batches. The hop is the difference to the arithmetic. Wall time, ms. `--serve-defaults` leaves
Ray's environment as Serve has it by itself.
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from bench.classifier.results import save
from bench.classifier.speed import prompts
from classifier import Score, load
from deployments.commands.ray_environment import RAY_ENVIRONMENT
from deployments.settings.app import ClassifierConfig
from deployments.settings.environment import set_defaults
from deployments.settings.serve_file import HttpOptions

SERVE_DEFAULTS = "--serve-defaults" in sys.argv
if not SERVE_DEFAULTS:
    set_defaults(RAY_ENVIRONMENT)

# Ray reads the environment when it is imported.
from ray import serve  # noqa: E402
from ray.serve.handle import DeploymentHandle  # noqa: E402

from deployments.commands.local_cluster import LocalOptions, local_cluster  # noqa: E402
from deployments.replicas.classify import ClassifierClient, ClassifierReplica  # noqa: E402

_ROUNDS = 200
_AT_ONCE = 16
_LENGTHS = ("12 tokens", "75 tokens", "200,000 characters")
_PORT = 18_461
Ask = Callable[[str], Awaitable[Any]]


class Batched(ClassifierReplica):
    """The road not taken: what waits while a batch is scored forms the next one."""

    @serve.batch(max_batch_size=32, batch_wait_timeout_s=0)  # type: ignore[untyped-decorator]
    async def score(self, texts: list[str]) -> list[Score]:
        """The scores of the batch, all at once."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, lambda: [self._score(t) for t in texts])


class Caller:
    """Measures from where the gateway stands: inside a replica, beside its event loop."""

    def __init__(self, single: DeploymentHandle, batched: DeploymentHandle) -> None:
        self._own = load()
        self._thread = ThreadPoolExecutor(1)
        self._ways: dict[str, Ask] = {
            "arithmetic": self._arithmetic,
            "in the gateway": self._inside,
            "deployment": ClassifierClient(single, 30.0).score,
            "deployment, batched": ClassifierClient(batched, 30.0).score,
        }

    async def _arithmetic(self, text: str) -> Score:
        return self._own.score(text)

    async def _inside(self, text: str) -> Score:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._own.score, text)

    async def one_by_one(self, texts: Sequence[str], rounds: int) -> dict[str, list[float]]:
        """Milliseconds of each score, asked alone, the ways in turn."""
        taken: dict[str, list[float]] = {name: [] for name in self._ways}
        for i in range(rounds):
            for name, ask in self._ways.items():
                started = time.perf_counter()
                await ask(texts[i % len(texts)])
                taken[name].append(1e3 * (time.perf_counter() - started))
        return taken

    async def at_once(self, texts: Sequence[str], rounds: int) -> dict[str, list[float]]:
        """Milliseconds until each of ``_AT_ONCE`` scores asked together is there."""
        taken: dict[str, list[float]] = {name: [] for name in self._ways}

        async def timed(ask: Ask, text: str) -> float:
            started = time.perf_counter()
            await ask(text)
            return 1e3 * (time.perf_counter() - started)

        for _ in range(rounds):
            for name, ask in list(self._ways.items())[1:]:
                asked = (timed(ask, texts[i % len(texts)]) for i in range(_AT_ONCE))
                taken[name] += await asyncio.gather(*asked)
        return taken


def _alone(taken: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    arithmetic = np.array(taken["arithmetic"])
    return {
        name: {
            "ms_p50": _quantile(ms, 0.5),
            "ms_p99": _quantile(ms, 0.99),
            "over_arithmetic_ms_p50": round(float(np.median(np.array(ms) - arithmetic)), 3),
        }
        for name, ms in taken.items()
    }


def _together(taken: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    return {
        name: {"ms_p50": _quantile(ms, 0.5), "ms_p99": _quantile(ms, 0.99)}
        for name, ms in taken.items()
        if ms
    }


def _quantile(ms: list[float], at: float) -> float:
    return round(float(np.quantile(ms, at)), 3)


def _deployment(kind: type, name: str) -> Any:
    actor = {"num_cpus": 0.1}
    return serve.deployment(kind, name=name, ray_actor_options=actor, max_ongoing_requests=64)


def main() -> None:
    """Write ``results/hop.json``, or ``hop-serve-defaults.json``."""
    found = prompts(load())
    with (
        tempfile.TemporaryDirectory(prefix="hop", ignore_cleanup_errors=True) as folder,
        local_cluster(
            LocalOptions(HttpOptions(port=_PORT), dashboard=False, temp_dir=Path(folder))
        ),
    ):
        config = ClassifierConfig()
        caller = serve.run(
            _deployment(Caller, "Caller").bind(
                _deployment(ClassifierReplica, "Classifier").bind(config),
                _deployment(Batched, "Batched").bind(config),
            )
        )
        # This process has no event loop for a router to share.
        caller._init(_run_router_in_separate_loop=True)
        caller.one_by_one.remote(found["12 tokens"], 20).result()  # warm up
        alone = {n: caller.one_by_one.remote(found[n], _ROUNDS).result() for n in _LENGTHS}
        together = caller.at_once.remote(found["75 tokens"], _ROUNDS // 10).result()
    figures = {
        "one at a time": {name: _alone(taken) for name, taken in alone.items()},
        f"{_AT_ONCE} at once, 75 tokens": _together(together),
    }
    save("hop-serve-defaults" if SERVE_DEFAULTS else "hop", figures)


if __name__ == "__main__":
    main()
