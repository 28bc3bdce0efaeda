"""The local cluster takes its own port and folders, and nobody else's."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from deployments.commands import local_cluster
from deployments.commands.local_cluster import state_line
from deployments.commands.ray_environment import RAY_ENVIRONMENT, haproxy_environment
from deployments.settings.app import AppConfig
from deployments.settings.config_mistake import ConfigError


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


def status(state: str, message: str = "") -> Any:
    named = SimpleNamespace(status=SimpleNamespace(value=state), message=message)
    return SimpleNamespace(deployments={"SmallTier": named})


def test_what_a_replica_waits_for_is_said() -> None:
    # Ray 2.60's own words, deployment_state.py.
    waits = (
        "Deployment 'SmallTier' in application 'smallfirst' has 1 replicas that have taken more "
        "than 30s to be scheduled. This may be due to waiting for the cluster to auto-scale or for "
        "a runtime environment to be installed. Resources required for each replica: "
        "{'CPU': 0.5, 'GPU': 0.25}, total resources available: {'CPU': 1.0}. "
        "Use `ray status` for more details."
    )
    assert state_line(status("UPDATING", waits)) == (
        "SmallTier updating (1 without a place: needs {'CPU': 0.5, 'GPU': 0.25}, free {'CPU': 1.0})"
    )
    assert state_line(status("HEALTHY", "something else")) == "SmallTier healthy"


class Deployed:
    """Stands in for Serve where nothing ever becomes ready."""

    RunTarget = staticmethod(lambda *_, **__: None)
    run_many = staticmethod(lambda *_, **__: None)

    @staticmethod
    def status() -> Any:
        app = status("UPDATING")
        app.status = "DEPLOYING"
        return SimpleNamespace(applications={"smallfirst": app})


def test_a_deployment_that_never_becomes_ready_is_given_up(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(local_cluster, "serve", Deployed)
    monkeypatch.setattr(local_cluster, "build", lambda _: None)
    monkeypatch.setattr(local_cluster, "STATE_POLL_S", 0.0)
    with pytest.raises(ConfigError, match="not ready after 0 s: SmallTier updating"):
        local_cluster.run_app(AppConfig(), lambda _: None, tmp_path, within_s=0.01)
