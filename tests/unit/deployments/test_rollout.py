"""A change is probed and taken back when it fails; a bad golden set names its line."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from deployments.commands.endpoint import Endpoint
from deployments.commands.rollout import (
    LIVE_CHANGE_S,
    PATIENCE,
    Probe,
    RolledBack,
    changed_model,
    changed_tiers,
    check_key,
    deadline_s,
    failed_probes,
    find_run,
    read_golden_set,
    roll_out,
)
from deployments.commands.run_folder import Run
from deployments.settings.app import AppConfig
from deployments.settings.config_mistake import ConfigError
from deployments.settings.release import release_of

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


def test_a_rollback_that_fails_too_is_said() -> None:
    def broken(_: AppConfig) -> None:
        raise ConfigError("no place")

    with pytest.raises(RolledBack, match="no place; and the old config is not back: no place"):
        roll_out(broken, OLD, NEW, list)


def test_every_tier_that_changed_is_probed() -> None:
    both = changed_model(NEW, "large", "larger", None)
    gateway = OLD.model_copy(update={"local_only": True})
    assert changed_tiers(OLD, NEW) == ["small"]
    assert changed_tiers(NEW, both) == ["large"]
    assert changed_tiers(OLD, both) == changed_tiers(OLD, gateway) == ["small", "large"]


def test_a_rollout_may_take_as_long_as_its_starts_and_drains() -> None:
    one_s = PATIENCE * 60 + 600
    assert deadline_s(OLD, NEW) == LIVE_CHANGE_S + one_s
    # Somebody may be leaving just then, whom Serve waits for.
    assert deadline_s(OLD, OLD.changed({"local_only": True})) == LIVE_CHANGE_S + 600
    longest = OLD.changed({"large": {"drain_timeout_s": 900}})
    assert deadline_s(longest, longest.changed({"local_only": True})) == LIVE_CHANGE_S + 900
    three = OLD.changed({"small": {"scaling": {"min_replicas": 3, "max_replicas": 3}}})
    assert deadline_s(OLD, three) == LIVE_CHANGE_S + 600 + 2 * PATIENCE * 60
    assert deadline_s(three, OLD) == LIVE_CHANGE_S + 600
    many = NEW.changed({"small": {"scaling": {"max_replicas": 5}}})
    assert deadline_s(OLD, many) == LIVE_CHANGE_S + 5 * one_s
    both = changed_model(NEW, "large", "larger", None)
    assert deadline_s(OLD, both) == LIVE_CHANGE_S + 2 * one_s


def run(mark: str, url: str = "http://127.0.0.1:8000") -> Run:
    return Run(mark=mark, url=url, address="a:1", session="s", config=OLD)


def served(monkeypatch: pytest.MonkeyPatch, answer: httpx.Response) -> Endpoint:
    """An endpoint that gives one answer to everything."""
    client = httpx.Client
    transport = httpx.MockTransport(lambda _: answer)
    monkeypatch.setattr(httpx, "Client", lambda **k: client(transport=transport, **k))
    return Endpoint("http://test", "key")


def test_the_cluster_is_the_endpoints_own(monkeypatch: pytest.MonkeyPatch) -> None:
    at = served(monkeypatch, httpx.Response(200, json={"cluster": "b"}))
    assert find_run([run("a"), run("b")], at).mark == "b"
    with pytest.raises(ConfigError, match="is not a cluster of yours"):
        find_run([run("a")], at)


@pytest.mark.parametrize("body", ["<html>", "[]", "{}"])
def test_another_server_at_the_address_is_no_endpoint(
    monkeypatch: pytest.MonkeyPatch, body: str
) -> None:
    at = served(monkeypatch, httpx.Response(200, text=body))
    with pytest.raises(ConfigError, match="not a smallfirst endpoint"):
        find_run([run("a")], at)


def test_without_an_address_there_must_be_one_cluster() -> None:
    assert find_run([run("a")], None).mark == "a"
    with pytest.raises(ConfigError, match="no cluster of yours runs here"):
        find_run([], None)
    with pytest.raises(ConfigError, match="choose http://x:1 and http://x:2 with --url"):
        find_run([run("a", "http://x:1"), run("b", "http://x:2")], None)


RELEASE = release_of("small", NEW.small)


def reply(
    content: Any,
    tier: str = "small",
    status: int = 200,
    model: str = "newer",
    release: str = RELEASE,
) -> httpx.Response:
    body = {"choices": [{"message": {"content": content}}]}
    served = {"tier": tier, "model": model, "release": release}
    headers = {f"x-smallfirst-{what}": said for what, said in served.items()}
    return httpx.Response(status, json=body, headers=headers)


def shapeless(body: str) -> httpx.Response:
    return httpx.Response(200, text=body, headers=reply("").headers)


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (reply("It is Paris."), None),
        (reply("It is Rome."), "the answer does not match"),
        (reply(""), "the answer does not match"),
        (reply(None), "the answer does not match"),
        (reply([{"type": "text"}]), "the answer does not match"),
        (reply("It is Paris.", tier="large"), "another tier answered"),
        (reply("It is Paris.", model="older"), "older answered, not newer"),
        (
            reply("It is Paris.", release=release_of("small", OLD.small)),
            "a replica of another release answered",
        ),
        (reply("x", status=503), "HTTP 503"),
        (reply("x", status=401), "HTTP 401"),
        (shapeless('{"choices": []}'), "the answer does not match"),
        (shapeless('{"choices": [null]}'), "the answer does not match"),
        (shapeless("[]"), "the answer does not match"),
        (shapeless("<html>"), "the answer does not match"),
    ],
)
def test_a_probe_complains_in_one_line(
    monkeypatch: pytest.MonkeyPatch, answer: httpx.Response, complaint: str | None
) -> None:
    at = served(monkeypatch, answer)
    found = failed_probes(at, NEW, ["small"], [Probe("Capital of France?", "Paris")])
    assert found == ([f"small, probe 1: {complaint}"] if complaint else [])


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_is_said_before_anything_changes(
    monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    with pytest.raises(ConfigError, match=rf"HTTP {status}\).* --key-file; nothing was changed"):
        check_key(served(monkeypatch, httpx.Response(status)))


@pytest.mark.parametrize("status", [200, 500, 503])
def test_an_endpoint_in_trouble_may_be_mended(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    check_key(served(monkeypatch, httpx.Response(status)))
    check_key(Endpoint("http://127.0.0.1:9", "key"))


def test_a_probe_carries_the_key_and_obeys_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    seen: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers["authorization"])
        return reply("x")

    client = httpx.Client
    asked: list[Any] = []

    def make(**options: Any) -> httpx.Client:
        asked.append(options["trust_env"])
        return client(transport=httpx.MockTransport(answer), **options)

    monkeypatch.setattr(httpx, "Client", make)
    at = Endpoint("http://test", "secret")
    assert failed_probes(at, NEW, ["small"], [Probe("x", "x")]) == []
    assert (seen, asked) == (["Bearer secret"], [False])


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
