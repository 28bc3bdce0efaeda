"""The local cluster takes its own port and folders, and nobody else's."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from deployments.commands.local_cluster import KEPT_S, _drop_old_sessions, require_free_port
from deployments.commands.ray_environment import RAY_ENVIRONMENT, haproxy_environment
from deployments.settings.config_mistake import ConfigError


def test_a_port_in_use_is_refused_with_the_mend() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"port {port} .*choose another with --port"):
            require_free_port("127.0.0.1", port)
    require_free_port("127.0.0.1", port)


def test_ray_is_not_imported_before_its_environment_is_set() -> None:
    # A handle made by a process that imported Ray first sends every streamed item as an actor call.
    probe = "import sys, deployments.cli; sys.exit('ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", probe], timeout=60, check=False).returncode == 0


def test_handles_use_grpc_where_the_environment_comes_first() -> None:
    probe = "from ray.serve._private.handle_options import DynamicHandleOptions as D; print(D())"
    done = subprocess.run(
        [sys.executable, "-c", probe],
        env={**os.environ, **RAY_ENVIRONMENT},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "_by_reference=False" in done.stdout


def test_haproxys_sockets_stay_within_a_unix_sockets_length() -> None:
    # 97 bytes for HAProxy, of which Ray's node id and file name take 68.
    told = haproxy_environment(65535)
    folder = told["RAY_SERVE_HAPROXY_SERVER_STATE_BASE"].removeprefix(str(Path.cwd().anchor))
    assert len(f"/tmp/{Path(folder).name}") <= 97 - 68


def test_two_clusters_of_a_user_do_not_share_haproxys_files() -> None:
    told = [haproxy_environment(port) for port in (8000, 8001)]
    names = ["RAY_SERVE_HAPROXY_CONFIG_FILE_LOC", "RAY_SERVE_HAPROXY_SERVER_STATE_FILE"]
    assert all(told[0][name] != told[1][name] for name in names)


@pytest.mark.parametrize(("age_s", "kept"), [(0, True), (KEPT_S - 60, True), (KEPT_S + 60, False)])
def test_old_logs_are_dropped_and_new_ones_kept(tmp_path: Path, age_s: float, kept: bool) -> None:
    session = tmp_path / "session_1"
    session.mkdir()
    (tmp_path / "session_latest").symlink_to(session)
    (tmp_path / "other").mkdir()
    then_s = time.time() - age_s
    for folder in (session, tmp_path / "other"):
        os.utime(folder, (then_s, then_s))
    _drop_old_sessions(tmp_path)
    assert session.exists() is kept
    assert (tmp_path / "other").exists()
