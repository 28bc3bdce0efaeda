"""The real engine: vLLM's `AsyncLLM` with vLLM's own OpenAI serving classes in front.

The only module that imports `vllm`. Chat templates, tool calls, JSON schema and logprobs are
vLLM's; here requests go in as OpenAI bodies and come out as OpenAI bytes. Written against vLLM
0.32.0; `tests/unit/deployments/test_vllm_version.py` holds the pair.
"""

import asyncio
import math
from collections.abc import AsyncGenerator
from contextlib import aclosing
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
from vllm.v1.metrics.loggers import StatLoggerBase

from deployments.protocol.chunk import PROGRESS_S, Chunk
from deployments.protocol.engine import EngineLoad, EngineRequest
from deployments.protocol.errors import (
    DeadlineExceeded,
    EngineDead,
    ReplicaUnavailable,
    ServingError,
)
from deployments.protocol.vllm_body import for_vllm
from deployments.settings.config_mistake import ConfigError
from deployments.settings.environment import cache_dir
from deployments.settings.vllm import VllmConfig
from deployments.vllm import in_core_executor, stopping
from deployments.vllm.events import DONE, STREAMED_ERROR, document, finish_reason, has_content
from deployments.vllm.refusal import refusal
from deployments.vllm.tally import TALLY, Tally, TallyingLLM
from deployments.vllm.tokens import tokens
from deployments.vllm.window import within_window
from models import default_model

NO_HOST = "none.invalid"


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
        self._llm: TallyingLLM | None = None
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
            self._llm = TallyingLLM.from_vllm_config(
                vllm_config, stat_loggers=[lambda _config, _index: gauge], enable_log_requests=False
            )
        tasks = await self._llm.get_supported_tasks()
        await init_app_state(self._llm, self._serving, args, tasks)

    async def generate(self, request: EngineRequest) -> AsyncGenerator[Chunk, None]:
        """See `Engine.generate`; vLLM's errors become ours."""
        # Several choices come mixed: nobody could tell whose tokens they are.
        tally = Tally(wants_logprobs=request.logprobs and request.body.get("n") in (None, 1))
        TALLY.set(tally)
        left_s = math.inf if request.timeout_s is None else request.timeout_s
        deadline_s = asyncio.get_running_loop().time() + left_s
        asked = asyncio.create_task(self._answer(request))
        try:
            while not await _done(asked, deadline_s):
                yield Chunk(b"", tally.usage)
            answer = asked.result()
            if isinstance(answer, ErrorResponse):
                raise self._translated(answer, tally)
            if not request.stream:
                yield document(answer)._replace(logprobs=tally.taken_logprobs())
                return
            async with aclosing(self._events(answer, tally, deadline_s)) as chunks:
                async for chunk in chunks:
                    yield chunk
        except (ServingError, asyncio.CancelledError, GeneratorExit):
            raise
        except TimeoutError:
            raise DeadlineExceeded("The answer took longer than the request allows.") from None
        except Exception as error:
            raise self._translated(create_error_response(error), tally) from None
        finally:
            asked.cancel()
            # vLLM tells the engine to stop on the way out.
            await asyncio.wait({asked})

    async def _answer(self, request: EngineRequest) -> Any:
        assert self._llm is not None
        body = within_window(for_vllm(request.body), self._llm.model_config.max_model_len)
        body = {**body, "request_id": request.request_id}
        if request.endpoint == "chat":
            chat = ChatCompletionRequest.model_validate(body)
            return await self._serving.openai_serving_chat.create_chat_completion(chat)
        completion = CompletionRequest.model_validate(body)
        return await self._serving.openai_serving_completion.create_completion(completion)

    async def _events(
        self, events: AsyncGenerator[str, None], tally: Tally, deadline_s: float
    ) -> AsyncGenerator[Chunk, None]:
        """vLLM's SSE events, its error event as an error.

        Closing the innermost generator is what aborts the request in the engine.
        """
        async with aclosing(events):
            while True:
                async with asyncio.timeout_at(deadline_s):
                    event = await anext(events, DONE)
                if event.startswith(DONE):
                    break
                if event.startswith(STREAMED_ERROR):
                    detail = orjson.loads(event.removeprefix("data: "))
                    raise self._translated(ErrorResponse.model_validate(detail), tally)
                finish = finish_reason(event)
                logprobs = tally.taken_logprobs()
                yield Chunk(event.encode(), tally.usage, has_content(event), finish, logprobs)
        yield Chunk(b"", tally.usage, done=True)

    async def tokens(self, request: EngineRequest) -> bytes:
        """vLLM's own count, by the template that an answer would use."""
        answer = await tokens(self._serving.serving_tokenization, request)
        if isinstance(answer, ErrorResponse):
            raise self._translated(answer, Tally())
        return bytes(answer.model_dump_json().encode())

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
        """The scheduler's counts of sequences; what the engine has finished is not running, even
        where nobody reads it."""
        if self._gauge is None or self._llm is None:
            return EngineLoad()
        unfinished = self._llm.output_processor.get_num_unfinished_requests()
        waiting = min(self._gauge.waiting, unfinished)
        return EngineLoad(
            waiting=waiting,
            running=unfinished - waiting,
            kv_cache_usage=self._gauge.kv_cache_usage if unfinished else 0.0,
            progress=self._gauge.steps,
        )

    def dead(self) -> bool:
        """Whether the engine core process is gone or failed."""
        return self._llm is not None and bool(self._llm.errored)

    async def stop(self) -> None:
        """End the engine's processes."""
        llm, self._llm, self._serving = self._llm, None, State()
        if llm is not None:
            await stopping.stop(llm)

    def _translated(self, answer: ErrorResponse, tally: Tally) -> ServingError:
        """Our error for vLLM's error response."""
        detail = answer.error
        if self.dead() and tally.completion_tokens:
            # What an engine has begun to answer does not kill it.
            return ReplicaUnavailable("The model's engine stopped while it was answering.")
        if self.dead():
            return EngineDead("The model's engine stopped while it was answering.")
        return refusal(detail.code, detail.message, detail.param)


async def _done(task: asyncio.Task[Any], deadline_s: float) -> bool:
    """Wait a moment; whether the task is done. Raises: `TimeoutError` where it is late."""
    left_s = deadline_s - asyncio.get_running_loop().time()
    if left_s <= 0:
        raise TimeoutError
    await asyncio.wait({task}, timeout=min(PROGRESS_S, left_s))
    return task.done()


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
        # An empty list would allow every host; no host has this name (RFC 2606).
        "allowed-media-domains": config.allowed_media_domains or [NO_HOST],
        **config.extra_args,
    }
    options.setdefault("distributed-executor-backend", in_core_executor.backend(options))
    line: list[str] = []
    for name, value in options.items():
        if value is None or value is False:
            continue
        line.append(f"--{name}")
        if value is not True:
            items = value if isinstance(value, list) else [value]
            line += [i if isinstance(i, str) else orjson.dumps(i).decode() for i in items]
    return line
