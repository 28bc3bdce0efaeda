"""What a user would put in front of an engine instead: each from PyPI in an environment of its own.

The environments are made on first use below the user's cache folder, and kept.
"""

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import yaml

from bench.overhead.servers import Server, started
from deployments.settings.environment import cache_dir

LITELLM = "litellm[proxy]==1.108.7"
VLLM_ROUTER = "vllm-router==0.1.17"
# How the rival is told what it stands in front of, and how the engine's model is named there.
Engine = Callable[[int], AbstractContextManager[Server]]


def environment(*requirements: str, before: Callable[[Path], None] | None = None) -> Path:
    """The folder of programs of an environment that holds just these requirements.

    `before` installs what must be there before them.
    """
    name = "+".join(requirements).replace("[", "-").replace("]", "").replace(",", "-")
    folder = cache_dir() / "bench" / name
    done = folder / ".complete"
    if not done.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        if before is not None:
            before(folder / "bin")
        install = [str(folder / "bin" / "pip"), "install", "-q", *requirements]
        subprocess.run(install, check=True)
        done.touch()
    return folder / "bin"


@contextmanager
def litellm(engine: Engine, model: str, port: int) -> Iterator[Server]:
    """LiteLLM's proxy, one worker, in front of an engine that serves `model`."""
    program = environment(LITELLM) / "litellm"
    with engine(port + 1) as behind, tempfile.TemporaryDirectory() as folder:
        target = {"model": f"openai/{model}", "api_base": behind.url, "api_key": "none"}
        config = Path(folder) / "litellm.yaml"
        config.write_text(
            yaml.safe_dump(
                {
                    "model_list": [{"model_name": model, "litellm_params": target}],
                    # Without keys, as the others here.
                    "general_settings": {"dangerously_permit_weak_or_unset_master_key": True},
                }
            )
        )
        command = [str(program), "--config", str(config), "--host", "127.0.0.1"]
        command += ["--port", str(port), "--telemetry", "False"]
        with started(command, port, "/health/liveliness", behind.mark) as server:
            yield server


@contextmanager
def vllm_router(engine: Engine, port: int) -> Iterator[Server]:
    """vLLM's own router, in Rust, in front of an engine."""
    program = environment(VLLM_ROUTER) / "vllm-router"
    with engine(port + 1) as behind:
        command = [str(program), "--host", "127.0.0.1", "--port", str(port)]
        command += ["--worker-urls", behind.url.removesuffix("/v1"), "--policy", "round_robin"]
        command += ["--prometheus-port", str(port + 2)]
        with started(command, port, "/health", behind.mark) as server:
            yield server
