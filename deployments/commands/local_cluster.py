"""Runs the application on this machine: one Ray cluster of our own, started and stopped whole.

`smallfirst serve` uses it; on Kubernetes, KubeRay does this work. Import it once the environment
says what `ray_environment` holds: Ray reads that when it is imported.
"""

import logging
import shutil
import socket
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import ray
from ray import serve
from ray.exceptions import RayError
from ray.serve.config import HTTPOptions
from ray.serve.schema import ApplicationStatus, ApplicationStatusOverview, LoggingConfig

from deployments.app import build
from deployments.commands.stop_signals import (
    ignore_stop_signals,
    interrupt_on_stop_signals,
    leave_at_once,
)
from deployments.settings.app import AppConfig
from deployments.settings.config_mistake import ConfigError
from deployments.settings.environment import environment_variable, user_id
from deployments.settings.serve_file import HttpOptions

APP_NAME = "smallfirst"
# Inherited by every process of the cluster, so that stopping it finds all of them and only them.
CLUSTER_MARK = "SMALLFIRST_CLUSTER"
# Where `smallfirst swap` finds the cluster: Ray's own note of it is gone once a client has left.
ADDRESS_FILE = "smallfirst-address"
# How long Serve may take to stop: its replicas drain meanwhile.
GRACEFUL_STOP_S = 40.0
STATE_POLL_S = 0.5
# How long the logs of a run are kept.
KEPT_S = 7 * 24 * 3600


@dataclass(frozen=True)
class LocalOptions:
    """Where and how the local cluster runs."""

    http: HttpOptions
    dashboard: bool = True
    temp_dir: Path | None = None


@contextmanager
def local_cluster(options: LocalOptions) -> Iterator[Path]:
    """A Ray cluster with Serve's proxy on `options.http`; yields its log folder.

    Stopped on the way out, however that comes. Never joins a cluster that is already there.
    Raises: `ConfigError` where the port is taken.
    """
    require_free_port(options.http.host, options.http.port)
    temp_dir = options.temp_dir or Path(tempfile.gettempdir()) / f"smallfirst-{user_id()}"
    _drop_old_sessions(temp_dir)
    mark = uuid.uuid4().hex
    complaints = ExitStack()
    try:
        with environment_variable(CLUSTER_MARK, mark):
            context = ray.init(
                address="local",
                include_dashboard=options.dashboard,
                _temp_dir=str(temp_dir),
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
        (temp_dir / ADDRESS_FILE).write_text(context.address_info["gcs_address"])
        # Ray has put its own handler on SIGTERM, which ends the process on the spot.
        interrupt_on_stop_signals()
        logging.getLogger("ray.serve").setLevel(logging.WARNING)
        logs = Path(context.address_info["session_dir"]) / "logs"
        # Ray prints what its processes complain of to standard output, whatever it is told.
        complaints.enter_context(redirect_stdout((logs / "driver.log").open("a")))
        serve.start(
            http_options=HTTPOptions(**options.http.model_dump()),
            logging_config=LoggingConfig(enable_access_log=False),
        )
        yield logs
    except RayError as error:
        raise ConfigError(f"Ray did not start: {str(error).strip().splitlines()[-1]}") from None
    finally:
        (temp_dir / ADDRESS_FILE).unlink(missing_ok=True)
        _stop(mark)
        complaints.close()


def _stop(mark: str) -> None:
    """End the cluster, then whatever of it is left: an engine that was still starting outlives
    the replica that started it. Stop signals wait meanwhile, so that a second Ctrl-C leaves
    nothing behind."""
    ignore_stop_signals()
    # In a thread: where the signal went to Ray's processes too, Ray waits for them for a minute and
    # then ends this process.
    graceful = threading.Thread(target=_shut_down, daemon=True)
    graceful.start()
    graceful.join(GRACEFUL_STOP_S)
    left = marked_processes(mark)
    _, alive = psutil.wait_procs(left, timeout=5)
    for process in alive:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, timeout=5)
    if graceful.is_alive():
        leave_at_once("Stopped; Ray was gone before.")


def _shut_down() -> None:
    try:
        if ray.is_initialized():
            serve.shutdown()
    finally:
        ray.shutdown()


def marked_processes(mark: str) -> list[psutil.Process]:
    """Every process that was started, directly or not, by the cluster with this mark."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get(CLUSTER_MARK) == mark:
                found.append(process)
    return found


def run_app(config: AppConfig, on_state: Callable[[dict[str, str]], None]) -> None:
    """Deploy and wait until every deployment is healthy; reports each one's state meanwhile.

    All from one thread: Ray's `RequestRouterConfig`, which both deploying and asking for the state
    make, breaks when two threads make one at a time.
    Raises: `ConfigError` with the first line of what a deployment said when it failed.
    """
    target = serve.RunTarget(build(config), name=APP_NAME, route_prefix="/")
    serve.run_many([target], wait_for_applications_running=False)
    while True:
        app = serve.status().applications[APP_NAME]
        on_state({name: status.status.value for name, status in app.deployments.items()})
        if app.status == ApplicationStatus.RUNNING:
            return
        if app.status == ApplicationStatus.DEPLOY_FAILED:
            raise ConfigError(_failure(app))
        time.sleep(STATE_POLL_S)


def _failure(app: ApplicationStatusOverview) -> str:
    """The last words of the deployment that failed, in one line."""
    for name, status in app.deployments.items():
        if status.status.value in ("DEPLOY_FAILED", "UNHEALTHY"):
            lines = [line.strip() for line in status.message.splitlines() if line.strip()]
            telling = [line for line in lines if "Error" in line] or lines
            return f"{name} did not start: {telling[-1] if telling else 'see its log'}"
    return "the application did not start: see the logs"


def require_free_port(host: str, port: int) -> None:
    """Raise `ConfigError` where another process listens on the port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ConfigError(
                f"port {port} on {host}: {error.strerror}; choose another with --port"
            ) from None


def _drop_old_sessions(temp_dir: Path) -> None:
    """Drop the logs of runs that ended long ago; a running cluster touches its folder."""
    for session in temp_dir.glob("session_*"):
        if not session.is_symlink() and time.time() - session.stat().st_mtime > KEPT_S:
            shutil.rmtree(session, ignore_errors=True)
