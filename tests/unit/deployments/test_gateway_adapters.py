"""Adapters: asked for by name, chosen by domain, gone when they are taken away."""

from typing import Any

import pytest

from deployments.protocol.errors import UnknownModel
from deployments.settings.app import AppConfig, parse_app_config
from deployments.settings.config_mistake import ConfigError
from deployments.settings.vllm import VllmConfig
from tests.fakes import FakeScorer, Setting, chat

ADAPTERS: dict[Any, dict[str, str | None]] = {
    "small": {"legal-7b": "legal", "health-7b": "health", "unrouted": None},
    "large": {},
}


async def asked(model: str, domain: str | None = None, complexity: float = 0.1) -> tuple[str, str]:
    """The tier and the model name that one request reached."""
    setting = Setting(FakeScorer(complexity, domain))
    setting.gateway.names.adapters = ADAPTERS
    exchange = await setting.answer(chat("Hello there", model=model))
    attempt = exchange.attempts[0]
    adapter = setting.tiers[attempt.tier].requests[0].adapter
    assert (adapter or setting.config.tiers[attempt.tier].model) == attempt.model
    return attempt.tier, attempt.model


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
    exchange = await Setting().answer(chat("Hello there", model="tax-7b"))
    assert (exchange.outcome, exchange.attempts) == (UnknownModel.code, [])


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
