"""Adapters: asked for by name, chosen by domain, gone when they are taken away."""

import json
import time
from typing import Any

import pytest

from classifier import Score
from deployments.accounting.record import Record
from deployments.gateway.answering import Gateway, Hints
from deployments.protocol.chunk import Chunk, Usage
from deployments.protocol.engine import EngineRequest
from deployments.protocol.errors import UnknownModel
from deployments.protocol.openai_request import parse
from deployments.settings.app import AppConfig, parse_app_config
from deployments.settings.config_mistake import ConfigError
from deployments.settings.vllm import VllmConfig


class Answer:
    """One finished answer."""

    model = ""
    read = False

    def __aiter__(self) -> "Answer":
        return self

    async def __anext__(self) -> Chunk:
        if self.read:
            raise StopAsyncIteration
        self.read = True
        data = json.dumps({"choices": [{"message": {"content": "yes"}}]}).encode()
        return Chunk(data, Usage(1, 1), content=True, done=True)

    async def close(self) -> None: ...


class Tier:
    """Remembers for which model it was asked."""

    def __init__(self) -> None:
        self.models: list[str | None] = []

    async def open(self, request: EngineRequest, deadline_s: float) -> Answer:
        self.models.append(request.adapter)
        return Answer()


class Scorer:
    """Puts every conversation into one domain."""

    def __init__(self, complexity: float, domain: str | None) -> None:
        self._score = Score(complexity, 0.9, 0.9, 0.0, 1.0, domain)

    async def score(self, conversation: Any) -> Score:
        return self._score


class Up:
    """Every tier is up."""

    def up(self, tier: str) -> bool:
        return True


ADAPTERS: dict[Any, dict[str, str | None]] = {
    "small": {"legal-7b": "legal", "health-7b": "health", "unrouted": None},
    "large": {},
}


async def asked(model: str, domain: str | None = None, complexity: float = 0.1) -> tuple[str, str]:
    """The tier and the model name that one request reached."""
    tiers = {"small": Tier(), "large": Tier()}
    gateway = Gateway(AppConfig(), Scorer(complexity, domain), tiers, Up(), lambda _: None)  # type: ignore[arg-type]  # a str key where a tier name is typed
    gateway.names.adapters = ADAPTERS
    body = {"model": model, "messages": [{"role": "user", "content": "Hello there"}]}
    record = Record("r", "chat", model, False, time.perf_counter())
    answer = await gateway.answer(parse("chat", json.dumps(body).encode()), Hints("r"), record)
    assert [item async for item in answer]
    own = {name: tier.model for name, tier in AppConfig().tiers.items()}
    reached = [(n, tier.models[0] or own[n]) for n, tier in tiers.items() if tier.models]  # type: ignore[index]  # the same
    assert record.model == reached[0][1]
    return reached[0]


BASE = AppConfig().small.model


@pytest.mark.parametrize(
    ("model", "domain", "reached"),
    [
        ("legal-7b", None, ("small", "legal-7b")),
        ("unrouted", "legal", ("small", "unrouted")),
        ("auto", "health", ("small", "health-7b")),
        ("auto", "sport", ("small", BASE)),
        ("auto", None, ("small", BASE)),
        ("small", "health", ("small", BASE)),
        (BASE, "health", ("small", BASE)),
    ],
)
async def test_an_adapter_answers_what_names_it_or_is_in_its_domain(
    model: str, domain: str | None, reached: tuple[str, str]
) -> None:
    assert await asked(model, domain) == reached


async def test_an_escalated_request_gets_the_large_model_and_no_adapter_of_the_small_one() -> None:
    assert await asked("auto", "legal", complexity=0.99) == ("large", AppConfig().large.model)


async def test_an_adapter_that_was_taken_away_is_unknown() -> None:
    with pytest.raises(UnknownModel, match="tax-7b"):
        await asked("tax-7b")


def small(**changes: Any) -> dict[str, Any]:
    engine = VllmConfig(max_loras=2).model_dump()
    return {"small": {"model": "m", "engine": engine} | changes}


ONE = {"legal-7b": {"path": "/a"}}


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (small(adapters={"m": {"path": "/a"}}), "adapter name 'm' is taken"),
        (small(adapters={"large": {"path": "/a"}}), "adapter name 'large' is taken"),
        (small(adapters=ONE, engine={"kind": "vllm"}), "max_loras above 0"),
        (small(adapters={"a": {"path": ""}}), "path"),
    ],
)
def test_bad_adapters_are_refused_at_start(args: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_app_config(args, "test")


def test_good_adapters_are_accepted() -> None:
    assert parse_app_config(small(adapters=ONE), "test").small.adapters["legal-7b"].path == "/a"
