"""A change is probed and taken back when it fails; a bad golden set names its line."""

import json
from pathlib import Path

import httpx
import pytest

from deployments.commands.rollout import (
    Probe,
    RolledBack,
    changed_model,
    failed_probes,
    read_golden_set,
    roll_out,
)
from deployments.settings.app import AppConfig
from deployments.settings.config_mistake import ConfigError

OLD = AppConfig()
NEW = changed_model(OLD, "small", "newer", "/models/newer")


class Runs:
    """Stands in for Serve: remembers what ran; fails on a given config."""

    def __init__(self, broken: AppConfig | None = None) -> None:
        self.broken = broken
        self.ran: list[AppConfig] = []

    def __call__(self, config: AppConfig) -> None:
        self.ran.append(config)
        if config is self.broken:
            raise ConfigError("SmallTier did not start")


def test_a_good_model_stays() -> None:
    runs = Runs()
    roll_out(runs, OLD, NEW, list)
    assert runs.ran == [NEW]


def test_a_failed_probe_brings_the_old_one_back() -> None:
    runs = Runs()
    with pytest.raises(RolledBack, match="probe 1"):
        roll_out(runs, OLD, NEW, lambda: ["probe 1: the answer does not match"])
    assert runs.ran == [NEW, OLD]


def test_a_model_that_does_not_start_brings_the_old_one_back() -> None:
    runs = Runs(broken=NEW)
    with pytest.raises(RolledBack, match="SmallTier did not start"):
        roll_out(runs, OLD, NEW, list)
    assert runs.ran == [NEW, OLD]


def test_ctrl_c_in_the_middle_brings_the_old_one_back() -> None:
    runs = Runs()

    def interrupted() -> list[str]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        roll_out(runs, OLD, NEW, interrupted)
    assert runs.ran == [NEW, OLD]


def test_only_the_named_tier_changes() -> None:
    assert (NEW.small.model, NEW.small.engine.path) == ("newer", "/models/newer")  # type: ignore[union-attr]  # the default engine is vllm
    assert NEW.large == OLD.large
    assert NEW.small.scaling == OLD.small.scaling


def test_a_name_that_is_taken_is_refused() -> None:
    with pytest.raises(ConfigError, match="give each tier its own name"):
        changed_model(OLD, "small", OLD.large.model, None)


def reply(content: str, tier: str = "small", status: int = 200) -> httpx.Response:
    body = {"choices": [{"message": {"content": content}}]}
    return httpx.Response(status, json=body, headers={"x-smallfirst-tier": tier})


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (reply("It is Paris."), None),
        (reply("It is Rome."), "probe 1: the answer does not match"),
        (reply(""), "probe 1: the answer does not match"),
        (reply("It is Paris.", tier="large"), "probe 1: another tier answered"),
        (reply("x", status=503), "probe 1: HTTP 503"),
    ],
)
def test_a_probe_complains_in_one_line(
    monkeypatch: pytest.MonkeyPatch, answer: httpx.Response, complaint: str | None
) -> None:
    client = httpx.Client
    transport = httpx.MockTransport(lambda _: answer)
    monkeypatch.setattr(httpx, "Client", lambda **k: client(transport=transport, **k))
    found = failed_probes("http://test", "small", [Probe("Capital of France?", "Paris")])
    assert found == ([complaint] if complaint else [])


@pytest.mark.parametrize(
    "line", ["{", "[]", '{"prompt": "x"}', '{"prompt": "x", "matches": "("}', "3"]
)
def test_a_bad_golden_line_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "golden.jsonl"
    path.write_text(json.dumps({"prompt": "a", "matches": "b"}) + "\n" + line + "\n")
    with pytest.raises(ConfigError, match=r"golden\.jsonl line 2"):
        read_golden_set(path)


def test_without_a_golden_set_the_model_must_answer_at_all() -> None:
    assert read_golden_set(None)[0].matches == r"\S"
