"""The real engine: vLLM's `AsyncLLM` with vLLM's own OpenAI serving classes in front.

The only module that imports `vllm`. Chat templates, tool calls, JSON schema and logprobs are
vLLM's; here requests go in as OpenAI bodies and come out as OpenAI bytes. Written against vLLM
0.32.0; `tests/unit/deployments/test_vllm_version.py` holds the pair.
"""

import asyncio
import gc
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

import orjson
from starlette.datastructures import State
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.entrypoints.launchers.api_server.app_state import init_app_state
from vllm.entrypoints.launchers.cli_args import make_arg_parser
from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
from vllm.entrypoints.openai.completion.protocol import CompletionRequest
from vllm.entrypoints.serve.engine.protocol import ErrorResponse
from vllm.entrypoints.serve.exception_handling.error_response import create_error_response
from vllm.entrypoints.serve.lora.protocol import (
    LoadLoRAAdapterRequest,
    UnloadLoRAAdapterRequest,
)
from vllm.utils.argparse_utils import FlexibleArgumentParser
from vllm.v1.engine.async_llm import AsyncLLM
from vllm.v1.metrics.loggers import StatLoggerBase

from deployments.protocol.chunk import Usage
from deployments.protocol.engine import EngineLoad, EngineRequest
from deployments.protocol.errors import (
    ContextLengthExceeded,
    EngineDead,
    EngineFailure,
    ServingError,
    by_status,
)
from deployments.settings.config_mistake import ConfigError
from deployments.settings.environment import cache_dir
from deployments.settings.vllm import VllmConfig
from deployments.vllm import in_core_executor
from models import default_model

# The first bytes of a streamed error, and a mark that only the final usage event carries: inside
# the text of an answer the quotes would be escaped.
STREAMED_ERROR = 'data: {"error"'
USAGE_MARK = '"choices":[]'
DONE = "data: [DONE]"


class _LoadGauge(StatLoggerBase):
    """Keeps the scheduler's last counts; vLLM calls it after every step."""

    def __init__(self, vllm_config: Any, engine_index: int = 0) -> None:
        self.waiting = 0
        self.kv_cache_usage = 0.0
        self.steps = 0

    def record(self, scheduler_stats: Any, iteration_stats: Any, *_: Any, **__: Any) -> None:
        self.steps += 1
        if scheduler_stats is not None:
            self.waiting = scheduler_stats.num_waiting_reqs
            self.kv_cache_usage = scheduler_stats.kv_cache_usage

    def log_engine_initialized(self) -> None:
        """Nothing to say: the tier logs its own start."""


class VllmEngine:
    """One `AsyncLLM` and the OpenAI serving objects around it."""

    def __init__(self, config: VllmConfig, served_name: str) -> None:
        self._config = config
        self._served_name = served_name
        self._open = 0
        self._llm: AsyncLLM | None = None
        self._gauge: _LoadGauge | None = None
        self._serving = State()

    async def start(self) -> None:
        """Load the weights. Raises: `ConfigError` naming the folder that is missing."""
        path = await asyncio.to_thread(resolve_path, self._config.path)
        args = make_arg_parser(FlexibleArgumentParser()).parse_args(
            command_line(self._config, path, self._served_name)
        )
        vllm_config = await asyncio.to_thread(
            AsyncEngineArgs.from_cli_args(args).create_engine_config
        )
        self._gauge = _LoadGauge(vllm_config)
        gauge = self._gauge
        with in_core_executor.openmp_environment(vllm_config):
            self._llm = AsyncLLM.from_vllm_config(
                vllm_config, stat_loggers=[lambda _config, _index: gauge], enable_log_requests=False
            )
        tasks = await self._llm.get_supported_tasks()
        await init_app_state(self._llm, self._serving, args, tasks)

    async def generate(self, request: EngineRequest) -> AsyncGenerator[bytes | Usage, None]:
        """The answer as bytes, then `Usage`; vLLM's errors become ours."""
        self._open += 1
        try:
            answer = await self._answer(request)
            if isinstance(answer, ErrorResponse):
                raise self._translated(answer)
            if not request.stream:
                yield answer.model_dump_json().encode()
                yield Usage(answer.usage.prompt_tokens, answer.usage.completion_tokens or 0)
                return
            async for item in self._events(answer, request.include_usage):
                yield item
        except (ServingError, asyncio.CancelledError, GeneratorExit):
            raise
        except Exception as error:
            raise self._translated(create_error_response(error)) from None
        finally:
            self._open -= 1

    async def _answer(self, request: EngineRequest) -> Any:
        body = dict(request.body)
        if request.stream:
            body["stream_options"] = {"include_usage": True}
        body["request_id"] = request.request_id
        if request.endpoint == "chat":
            chat = ChatCompletionRequest.model_validate(body)
            return await self._serving.openai_serving_chat.create_chat_completion(chat)
        completion = CompletionRequest.model_validate(body)
        return await self._serving.openai_serving_completion.create_completion(completion)

    async def _events(
        self, events: AsyncGenerator[str, None], include_usage: bool
    ) -> AsyncIterator[bytes | Usage]:
        """vLLM's SSE events as bytes, its usage event as `Usage`, its error event as an error."""
        usage = Usage(0, 0)
        try:
            async for event in events:
                if event.startswith(STREAMED_ERROR):
                    detail = orjson.loads(event.removeprefix("data: "))
                    raise self._translated(ErrorResponse.model_validate(detail))
                if USAGE_MARK in event:
                    counted = orjson.loads(event.removeprefix("data: "))["usage"]
                    usage = Usage(counted["prompt_tokens"], counted.get("completion_tokens") or 0)
                    if not include_usage:
                        continue
                if not event.startswith(DONE):
                    yield event.encode()
        finally:
            # Closing the innermost generator is what aborts the request in the engine.
            await events.aclose()
        yield usage

    async def set_adapters(self, paths: dict[str, str]) -> None:
        """Load and unload until exactly these adapters are served."""
        models = self._serving.openai_serving_models
        held = {name: request.lora_path for name, request in models.lora_requests.items()}
        for name in held.keys() - paths.keys():
            await models.unload_lora_adapter(UnloadLoRAAdapterRequest(lora_name=name))
        for name, path in paths.items():
            if held.get(name) == path:
                continue
            wanted = LoadLoRAAdapterRequest(
                lora_name=name, lora_path=path, load_inplace=name in held
            )
            answer = await models.load_lora_adapter(wanted)
            if isinstance(answer, ErrorResponse):
                raise ConfigError(f"adapter {name}: cannot be loaded from {path}")

    def load(self) -> EngineLoad:
        """The scheduler's counts; nothing is waiting or running where nothing is open."""
        if self._gauge is None:
            return EngineLoad()
        waiting = min(self._gauge.waiting, self._open)
        return EngineLoad(
            waiting=waiting,
            running=self._open - waiting,
            kv_cache_usage=self._gauge.kv_cache_usage if self._open else 0.0,
            progress=self._gauge.steps,
        )

    def dead(self) -> bool:
        """Whether the engine core process is gone or failed."""
        return self._llm is not None and bool(self._llm.errored)

    async def stop(self) -> None:
        """End the engine's processes."""
        if self._llm is None:
            return
        if self._llm.output_handler is not None:
            self._llm.output_handler.cancel()  # it takes the end of the processes for their death
        await asyncio.to_thread(self._llm.shutdown)
        # Its `__del__` fails where the interpreter's own end is what collects it.
        self._llm, self._serving = None, State()
        gc.collect()

    def _translated(self, answer: ErrorResponse) -> ServingError:
        """Our error for vLLM's error response; vLLM has cleaned the message of paths."""
        detail = answer.error
        if self.dead():
            return EngineDead("The model's engine stopped while it was answering.")
        if detail.code < 500 and is_context_error(detail.message):
            return ContextLengthExceeded(detail.message, detail.param)
        if detail.code >= 500 and detail.code != 503:
            return EngineFailure("The model's engine failed on this request.")
        return by_status(detail.code)(detail.message, detail.param)


def is_context_error(message: str) -> bool:
    """Whether vLLM's message says that prompt and answer exceed the context window.

    vLLM 0.32 has no error class for it (renderers/params.py, serve/utils/api_utils.py).
    """
    signs = ("maximum context length", "context length (", "greater than max_model_len")
    return any(sign in message for sign in signs)


def resolve_path(path: str) -> Path:
    """The checkpoint folder that `path` names, made first where it is one of the bundled models."""
    if path.startswith("builtin:"):
        bundled = default_model.ensure(cache_dir(), lambda _step, _fraction: None)
        return bundled.small if path == "builtin:small" else bundled.large
    folder = Path(path)
    if not (folder / "config.json").is_file():
        raise ConfigError(f"engine.path: {folder} has no config.json; put a checkpoint there")
    return folder


def command_line(config: VllmConfig, path: Path, served_name: str) -> list[str]:
    """The `vllm serve` options that this config stands for."""
    options: dict[str, Any] = {
        "model": str(path),
        "served-model-name": served_name,
        "max-model-len": config.max_model_len,
        "max-num-seqs": config.max_num_seqs,
        "kv-cache-memory-bytes": config.kv_cache_memory_bytes,
        "tensor-parallel-size": config.tensor_parallel_size,
        "dtype": config.dtype,
        "enforce-eager": config.enforce_eager,
        "enable-lora": config.max_loras > 0,
        "max-loras": config.max_loras or None,
        "max-lora-rank": config.max_lora_rank if config.max_loras else None,
        "enable-auto-tool-choice": config.tool_call_parser is not None,
        "tool-call-parser": config.tool_call_parser,
        # Arguments of a tool call always satisfy the tool's schema, as with OpenAI's `strict`.
        "tool-strict-level": "parameter",
        "disable-uvicorn-access-log": True,
        **config.extra_args,
    }
    options.setdefault("distributed-executor-backend", in_core_executor.backend(options))
    line: list[str] = []
    for name, value in options.items():
        if value is None or value is False:
            continue
        line.append(f"--{name}")
        if value is not True:
            line.append(value if isinstance(value, str) else orjson.dumps(value).decode())
    return line
