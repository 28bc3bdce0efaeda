"""Presidio's entities are kinds like ours; what is missing of it is said, never fetched."""

import sys
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import pytest

from deployments.privacy.policy import NOBODY, Policy
from deployments.settings.config_mistake import ConfigError
from deployments.settings.privacy import PrivacyConfig

CONFIG = PrivacyConfig(presidio=("PERSON",), default_action="ignore", actions={"PERSON": "local"})


class Analyzer:
    """Presidio as far as we know it: it finds Ada, and nobody else."""

    asked: ClassVar[list[str]] = []

    def get_supported_entities(self, language: str) -> list[str]:
        return ["PERSON", "LOCATION"]

    def analyze(self, text: str, entities: list[str], language: str) -> list[Any]:
        self.asked.append(text)
        at = text.find("Ada")
        found = SimpleNamespace(entity_type=entities[0], start=at, end=at + 3)
        return [found] if at >= 0 else []


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Presidio and spaCy as stand-ins; the spaCy models that are installed."""
    models = {"en_core_web_lg"}
    presidio, spacy, util = (ModuleType(n) for n in ("presidio_analyzer", "spacy", "spacy.util"))
    vars(presidio)["AnalyzerEngine"] = Analyzer
    vars(util)["is_package"] = models.__contains__
    vars(spacy)["util"] = util
    for module in (presidio, spacy, util):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return models


def test_its_entities_are_kinds(installed: set[str]) -> None:
    policy = Policy(CONFIG)
    body = {"messages": [{"role": "user", "content": "ask Ada"}]}
    assert policy.judge(body, "auto", NOBODY).local_by == ("PERSON",)
    assert policy.judge({"prompt": "ask me"}, "auto", NOBODY).local_by == ()


def test_it_is_asked_about_one_text_at_a_time(installed: set[str]) -> None:
    policy = Policy(CONFIG)
    assert policy.judge({"prompt": ["A\u0301", "da"]}, "auto", NOBODY).local_by == ()
    assert policy.judge({"prompt": ["f\u00fcr", "Ada"]}, "auto", NOBODY).local_by == ("PERSON",)
    assert [len(text) for text in Analyzer.asked[-5:] if "\x1e" in text] == []


def test_an_entity_that_it_does_not_know_is_named(installed: set[str]) -> None:
    with pytest.raises(ConfigError, match="NOBODY"):
        Policy(PrivacyConfig(presidio=("NOBODY",)))


def test_a_model_that_is_missing_is_named_and_not_fetched(installed: set[str]) -> None:
    installed.clear()
    with pytest.raises(ConfigError, match="en_core_web_lg"):
        Policy(CONFIG)


def test_without_it_the_mistake_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "presidio_analyzer", None)
    with pytest.raises(ConfigError, match=r"smallfirst\[presidio\]"):
        Policy(CONFIG)
