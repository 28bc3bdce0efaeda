"""`swap` and `apply` deploy what `serve` would, in time, and refuse what they cannot change."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from deployments.commands import serve as serve_command
from deployments.commands import swap
from deployments.commands.effective import Machine, effective_config
from deployments.commands.endpoint import Endpoint
from deployments.commands.rollout import Joined, deadline_s
from deployments.commands.run_folder import Run, keep
from deployments.settings.app import AppConfig
from deployments.settings.release import release_of
from deployments.settings.serve_file import HttpOptions, load_serve_file

SMALL = {"model": "new", "engine": {"kind": "vllm", "path": "builtin:small"}}
GPU = Machine(8, True, Path("/kept"))
OLD = effective_config(AppConfig(), GPU).config


class World:
    """A running endpoint, a cluster that deploys anything, and this machine with a GPU."""

    def __init__(self, folder: Path, **run: Any) -> None:
        self.folder = folder
        self.run = Run(mark="m", url="http://x", address="a:1", session="s", config=OLD, **run)
        self.deployed: list[tuple[AppConfig, float]] = []
        self.complaints: list[str] = []

    @contextmanager
    def joined(self, run: Run, logs: Path) -> Iterator[Joined]:
        assert (run, logs) == (self.run, self.folder / "r" / "s" / "logs")
        yield Joined(lambda config, _, within: self.deployed.append((config, within)), {"GPU": 4.0})

    def kept(self) -> Run:
        return Run.model_validate_json((self.folder / "run-m.json").read_text())


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    world = World(tmp_path, read_at_start=load_serve_file(written(tmp_path, {})).read_at_start)
    monkeypatch.setattr(swap, "joined_cluster", world.joined)
    monkeypatch.setattr(swap, "check_paths", lambda _: None)
    monkeypatch.setattr(swap, "this_machine", lambda: GPU)
    monkeypatch.setattr(swap, "failed_probes", lambda *_: world.complaints)
    monkeypatch.setattr(
        swap, "_find", lambda *_: (world.folder, world.run, Endpoint("http://x", None))
    )
    return world


def written(folder: Path, args: dict[str, Any], **more: Any) -> Path:
    path = folder / "edited.yaml"
    path.write_text(yaml.safe_dump({"applications": [{"args": args}], **more}))
    return path


CHANGES: dict[str, Any] = {
    "apply": lambda path, **more: swap.apply(written(path, {"small": SMALL}), **more),
    "swap": lambda _, **more: swap.swap("small", "new", **more),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("within", [None, 7.0])
def test_a_change_deploys_what_serve_would_within_its_time(
    world: World, tmp_path: Path, change: Any, within: float | None
) -> None:
    change(tmp_path, within=within)
    ((config, within_s),) = world.deployed
    assert config.small.model == "new"
    # A vLLM replica without a share would start without the GPU.
    assert [tier.gpu_share for tier in config.tiers.values()] == [0.25, 0.25]
    assert within_s == (within or deadline_s(OLD, config))
    assert release_of("small", world.kept().config.small) == release_of("small", config.small)


def test_a_change_whose_probes_fail_is_taken_back_in_the_same_time(
    world: World, tmp_path: Path
) -> None:
    world.complaints = ["small, probe 1: no"]
    with pytest.raises(typer.Exit):
        CHANGES["apply"](tmp_path, within=7.0)
    (tried, tried_s), (back, back_s) = world.deployed
    assert (tried.small.model, back.small.model) == ("new", OLD.small.model)
    assert tried_s == back_s == 7.0
    assert back.small.gpu_share == 0.25
    assert not (tmp_path / "run-m.json").exists()


# what an edited file says besides its settings -> the keys that a running endpoint cannot take over
CERTIFICATE = {"ssl_certfile": "cert.pem", "ssl_keyfile": "cert.pem"}
EDITS: dict[str, tuple[dict[str, Any], str]] = {
    "TLS": ({"http_options": CERTIFICATE}, "http_options.ssl_keyfile, http_options.ssl_certfile"),
    "another port": ({"http_options": {"port": 9000}}, "http_options.port"),
    "another host": ({"http_options": {"host": "0.0.0.0"}}, "http_options.host"),
    "a time-out": ({"http_options": {"request_timeout_s": 5.0}}, "http_options.request_timeout_s"),
    "logs": ({"logging_config": {"log_level": "DEBUG"}}, "logging_config"),
    "the same, written out": (
        {
            "http_options": {"host": "127.0.0.1", "port": 8000},
            "logging_config": {"enable_access_log": False},
        },
        "",
    ),
    "nothing": ({}, ""),
}


@pytest.mark.parametrize(("edit", "named"), EDITS.values(), ids=EDITS)
def test_what_only_a_new_serve_takes_over_is_refused_by_name(
    world: World,
    tmp_path: Path,
    edit: dict[str, Any],
    named: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cert.pem").touch()
    path = written(tmp_path, {"small": SMALL}, **edit)
    if not named:
        swap.apply(path)
        assert len(world.deployed) == 1
        return
    with pytest.raises(typer.Exit):
        swap.apply(path)
    said = " ".join(capsys.readouterr().err.split())
    assert f"{named}: needs a new `smallfirst serve`" in said
    assert world.deployed == []


def test_what_the_command_line_said_no_file_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[dict[str, Any]] = []

    class Started(Exception):
        pass

    class Cluster:
        folder, logs, url = tmp_path, tmp_path, "http://x"

        def run(self, _: AppConfig, read_at_start: dict[str, Any]) -> Run:
            kept.append(read_at_start)
            raise Started

    @contextmanager
    def local_cluster(_: Any) -> Iterator[Cluster]:
        yield Cluster()

    monkeypatch.setattr("deployments.commands.local_cluster.local_cluster", local_cluster)
    said = load_serve_file(written(tmp_path, {}))
    file = serve_command._listening(said, None, 9000)
    with pytest.raises(Started):
        serve_command._serve(OLD, said, file, {})
    assert kept == [{k: v for k, v in said.read_at_start.items() if k != "http_options.port"}]


def test_no_password_is_written_into_the_note_of_a_run(tmp_path: Path) -> None:
    (tmp_path / "c").touch()
    files = {name: str(tmp_path / "c") for name in ("ssl_certfile", "ssl_keyfile")}
    http = HttpOptions(**files, ssl_keyfile_password="secret")
    file = load_serve_file(written(tmp_path, {})).model_copy(update={"http": http})
    run = Run(
        mark="m", url="u", address="a", session="s", config=OLD, read_at_start=file.read_at_start
    )
    keep(tmp_path, run)
    assert "secret" not in (tmp_path / "run-m.json").read_text()
    assert json.loads((tmp_path / "run-m.json").read_text())["read_at_start"]
