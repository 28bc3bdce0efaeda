"""vLLM's own OpenAI server with exactly the options that the small tier gives its engine."""

import runpy
import sys

from deployments.replicas.build_engine import vllm_environment
from deployments.settings.app import AppConfig
from deployments.settings.environment import set_defaults
from deployments.settings.vllm import VllmConfig


def main(port: str, *flags: str) -> None:
    """Serve the default small model as `bare` until interrupted."""
    engine = AppConfig().small.engine
    assert isinstance(engine, VllmConfig)
    if "--as-shipped" in flags:  # what vLLM's CPU build makes of its own `uni`
        engine = engine.model_copy(update={"extra_args": {"distributed-executor-backend": "mp"}})
    # Ray gives a replica of half a core one OpenMP thread; vLLM alone would take both cores here.
    set_defaults({"OMP_NUM_THREADS": "1", **vllm_environment(engine)})
    from deployments.vllm.engine import command_line, resolve_path

    options = command_line(engine, resolve_path(engine.path), "bare")
    sys.argv = ["api_server", "--port", port, *options]
    runpy.run_module("vllm.entrypoints.openai.api_server", run_name="__main__")


if __name__ == "__main__":
    main(*sys.argv[1:])
