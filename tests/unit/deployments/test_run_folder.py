"""A user's clusters run in a folder of his own, and are found there while they live."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from deployments.commands.run_folder import (
    KEPT_S,
    RAY_FOLDER,
    Run,
    announced,
    drop_old_sessions,
    keep,
    live_runs,
    own_folder,
    run_folder,
)
from deployments.settings.app import AppConfig
from deployments.settings.config_mistake import ConfigError


def run(mark: str, session: str = "session_1") -> Run:
    return Run(mark=mark, url="http://x", address="a:1", session=session, config=AppConfig())


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


@pytest.mark.parametrize("before", [None, 0o777, 0o755, 0o700])
def test_nobody_else_may_enter(tmp_path: Path, before: int | None) -> None:
    folder = tmp_path / f"smallfirst-{os.getuid()}"
    if before is not None:
        folder.mkdir()
        folder.chmod(before)
    tmp_path.chmod(0o755)
    assert run_folder(tmp_path) == folder
    assert mode(folder) == 0o700
    # What the user named is his to share.
    assert mode(tmp_path) == 0o755


def test_a_note_is_for_its_owner_only(tmp_path: Path) -> None:
    with announced(tmp_path, run("m")):
        assert mode(tmp_path / "run-m.json") == 0o600


def test_a_planted_link_is_no_folder_of_ours(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "file").touch()
    for name in ("link", "file"):
        with pytest.raises(ConfigError, match="not a folder of yours"):
            own_folder(tmp_path / name)


def test_another_users_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "taken").mkdir()
    me = os.getuid()
    monkeypatch.setattr("deployments.commands.run_folder.user_id", lambda: me + 1)
    with pytest.raises(ConfigError, match="--temp-dir"):
        own_folder(tmp_path / "taken")


def test_rays_socket_paths_stay_within_their_length() -> None:
    # tests/endpoint.py gives `/tmp/sft` and eight letters, then `r`.
    given = Path("/tmp/sftabcdefgh/r/smallfirst-65534") / RAY_FOLDER
    socket = given / "session_2026-11-25_22-24-34_480809_4194304/sockets/plasma_store"
    assert len(str(socket)) <= 107


def test_a_run_is_found_while_it_lives(tmp_path: Path) -> None:
    with announced(tmp_path, run("a")):
        assert live_runs(tmp_path) == [run("a")]
        with announced(tmp_path, run("b")):
            assert [one.mark for one in live_runs(tmp_path)] == ["a", "b"]
        keep(tmp_path, run("a", "session_2"))
        assert live_runs(tmp_path) == [run("a", "session_2")]
    assert live_runs(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_a_run_whose_process_was_killed_is_gone(tmp_path: Path) -> None:
    program = (
        "import os, sys; from pathlib import Path\n"
        "from deployments.commands.run_folder import *\n"
        "from deployments.settings.app import AppConfig\n"
        "run = Run(mark='m', url='u', address='a', session='s', config=AppConfig())\n"
        "with announced(Path(sys.argv[1]), run): os._exit(1)"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], timeout=60, check=False)
    assert (tmp_path / "run-m.json").exists()
    assert live_runs(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_a_note_that_no_version_of_ours_wrote_is_passed_over(tmp_path: Path) -> None:
    with announced(tmp_path, run("a")):
        (tmp_path / "run-a.json").write_text("{}")
        assert live_runs(tmp_path) == []


@pytest.mark.parametrize(("age_s", "kept"), [(0, True), (KEPT_S - 60, True), (KEPT_S + 60, False)])
def test_old_logs_are_dropped_and_new_ones_kept(tmp_path: Path, age_s: float, kept: bool) -> None:
    session, other = old_session(tmp_path, age_s, "session_1"), old_session(tmp_path, age_s, "x")
    (tmp_path / RAY_FOLDER / "session_latest").symlink_to(session)
    drop_old_sessions(tmp_path)
    assert session.exists() is kept
    assert other.exists()


def test_the_logs_of_a_run_that_lives_are_kept_however_old(tmp_path: Path) -> None:
    session = old_session(tmp_path, 2 * KEPT_S, "session_1")
    with announced(tmp_path, run("m", "session_1")):
        drop_old_sessions(tmp_path)
        assert session.exists()
    drop_old_sessions(tmp_path)
    assert not session.exists()


def old_session(folder: Path, age_s: float, name: str) -> Path:
    session = folder / RAY_FOLDER / name
    session.mkdir(parents=True)
    then_s = time.time() - age_s
    os.utime(session, (then_s, then_s))
    return session
