"""vLLM's own OpenAI server with exactly the options that a tier of ours gives its engine.

`python -m bench.overhead.bare_server PORT [--as-shipped] [--name NAME] [--engine JSON]`: by default
the default small tier's engine, served as `bare`.
"""

import argparse
import runpy
import sys

from deployments.replicas.build_engine import vllm_environment
from deployments.settings.environment import set_defaults
from deployments.settings.vllm import VllmConfig


def main(port: str, name: str, engine: VllmConfig) -> None:
    """Serve until interrupted."""
    # Ray gives a replica of half a core one OpenMP thread; vLLM alone would take both cores here.
    set_defaults({"OMP_NUM_THREADS": "1", **vllm_environment(engine)})
    from deployments.vllm.engine import command_line, resolve_path

    options = command_line(engine, resolve_path(engine.path), name)
    sys.argv = ["api_server", "--port", port, *options]
    runpy.run_module("vllm.entrypoints.openai.api_server", run_name="__main__")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("port")
    parser.add_argument("--as-shipped", action="store_true")
    parser.add_argument("--name", default="bare")
    parser.add_argument("--engine", default="{}", type=VllmConfig.model_validate_json)
    given = parser.parse_args()
    if given.as_shipped:  # what vLLM's CPU build makes of its own `uni`
        extra = {"distributed-executor-backend": "mp"}
        given.engine = given.engine.model_copy(update={"extra_args": extra})
    main(given.port, given.name, given.engine)
