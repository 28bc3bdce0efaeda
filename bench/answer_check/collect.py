"""The default small model's answers to the tasks, with their log-probabilities.

    python -m bench.answer_check.collect [--seconds 240]

One vLLM engine in this process, greedy, 16 at once. Writes `answers.jsonl` as it goes and takes up
where it stopped.
"""

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import typer

from bench.answer_check.tasks import Task, is_right, tasks
from deployments.protocol.engine import EngineRequest
from deployments.settings.environment import set_defaults
from deployments.settings.vllm import VllmConfig

ANSWERS = Path(__file__).with_name("answers.jsonl")
AT_ONCE = 16
MAX_TOKENS = 64


def main(seconds: float = 240.0) -> None:
    """Answer what is not answered yet, for at most so long."""
    config = VllmConfig()
    from deployments.replicas.build_engine import vllm_environment

    set_defaults(vllm_environment(config))
    asyncio.run(_collect(config, time.monotonic() + seconds))


async def _collect(config: VllmConfig, until_s: float) -> None:
    from deployments.vllm.engine import VllmEngine

    have = {row["question"] for row in answered()}
    left = iter([task for task in dict.fromkeys(tasks()) if task.question not in have])
    engine = VllmEngine(config, "small")
    await engine.start()
    try:
        with ANSWERS.open("a") as file:
            await asyncio.gather(*(_work(engine, left, file, until_s) for _ in range(AT_ONCE)))
    finally:
        await engine.stop()
    print(f"{len(list(answered()))} answers", file=sys.stderr)


async def _work(engine: Any, left: Iterator[Task], file: Any, until_s: float) -> None:
    for task in left:
        messages = [{"role": "user", "content": task.question}]
        body = {"model": "small", "messages": messages, "temperature": 0, "max_tokens": MAX_TOKENS}
        request = EngineRequest("chat", body, f"task-{id(task)}", logprobs=True)
        chunks = [chunk async for chunk in engine.generate(request)]
        choice = orjson.loads(chunks[-1].data)["choices"][0]
        answer = choice["message"]["content"] or ""
        row = {
            "family": task.family,
            "question": task.question,
            "expected": task.expected,
            "answer": answer,
            "finish_reason": choice["finish_reason"],
            "logprobs": [round(value, 4) for value in chunks[-1].logprobs],
            "small": int(is_right(task, answer)),
        }
        file.write(json.dumps(row, ensure_ascii=False) + "\n")
        file.flush()
        if time.monotonic() > until_s:
            return


def answered() -> Iterator[dict[str, Any]]:
    """The rows that are there."""
    if ANSWERS.is_file():
        with ANSWERS.open() as lines:
            yield from map(json.loads, lines)


if __name__ == "__main__":
    typer.run(main)
