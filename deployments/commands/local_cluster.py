"""Runs the application on this machine: one Ray cluster of our own, started and stopped whole.

`smallfirst serve` uses it; on Kubernetes, KubeRay does this work. Import it once the environment
says what `ray_environment` holds: Ray reads that when it is imported.
"""

import logging
import math
import re
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray
from pydantic import ValidationError
from ray import serve
from ray.exceptions import RayError
from ray.serve.config import HTTPOptions
from ray.serve.schema import ApplicationStatus, ApplicationStatusOverview, LoggingConfig

from deployments.app import build
from deployments.commands.root_cause import root_cause
from deployments.commands.run_folder import RAY_FOLDER, Run, drop_old_sessions, run_folder
from deployments.commands.stop_signals import interrupt_on_stop_signals
from deployments.commands.stopping import APP_NAME, stop
from deployments.settings.app import AppConfig
from deployments.settings.config_mistake import ConfigError, first_mistake
from deployments.settings.environment import CLUSTER_MARK, environment_variable
from deployments.settings.serve_file import HttpOptions

STATE_POLL_S = 0.5
# Ray's words for a replica that finds no place, and what of them an operator can act on.
PENDING = re.compile(
    r"(?P<n>\d+) replicas that have taken more than .* to be scheduled.*"
    r"each replica: (?P<needs>.*?), total resources available: (?P<free>.*?)\. Use"
)


@dataclass(frozen=True)
class LocalOptions:
    """Where and how the local cluster runs."""

    http: HttpOptions
    dashboard: bool = True
    temp_dir: Path | None = None
    logging_config: dict[str, Any] = field(default_factory=lambda: {"enable_access_log": False})


@dataclass(frozen=True)
class Cluster:
    """A local cluster that runs, without an application yet."""

    folder: Path
    mark: str
    address: str
    session: Path
    url: str

    @property
    def logs(self) -> Path:
        """Where its processes write."""
        return self.session / "logs"

    def run(self, config: AppConfig, read_at_start: dict[str, Any]) -> Run:
        """The note of this cluster with what runs there."""
        return Run(
            mark=self.mark,
            url=self.url,
            address=self.address,
            session=self.session.name,
            config=config,
            read_at_start=read_at_start,
        )


@contextmanager
def local_cluster(options: LocalOptions) -> Iterator[Cluster]:
    """A Ray cluster with Serve's proxy on `options.http`.

    Stopped on the way out, however that comes. Never joins a cluster that is already there.
    Raises: `ConfigError` where its folder cannot be had, or Ray does not start.
    """
    folder = run_folder(options.temp_dir)
    drop_old_sessions(folder)
    mark = uuid.uuid4().hex
    complaints = ExitStack()
    try:
        with environment_variable(CLUSTER_MARK, mark):
            context = _started(
                address="local",
                include_dashboard=options.dashboard,
                _temp_dir=str(folder / RAY_FOLDER),
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
        # Ray has put its own handler on SIGTERM, which ends the process on the spot.
        interrupt_on_stop_signals()
        logging.getLogger("ray.serve").setLevel(logging.WARNING)
        about = context.address_info
        session = Path(about["session_dir"])
        cluster = Cluster(folder, mark, about["gcs_address"], session, options.http.url)
        # Ray prints what its processes complain of to standard output, whatever it is told.
        complaints.enter_context(redirect_stdout((cluster.logs / "driver.log").open("a")))
        serve.start(
            # On one machine they are the same, but for nodes that join it: they have no other port.
            proxy_location="HeadOnly",
            http_options=HTTPOptions(**options.http.model_dump(exclude_none=True)),
            logging_config=_logging(options.logging_config),
        )
        yield cluster
    except RayError as error:
        raise ConfigError(f"Ray did not start: {str(error).strip().splitlines()[-1]}") from None
    finally:
        stop(mark)
        complaints.close()


def _started(**options: Any) -> Any:
    """Ray, started. Raises: `ConfigError` where it does not start."""
    try:
        return ray.init(**options)
    except Exception as error:  # Ray 2.60 raises this very class where a node is too slow
        raise ConfigError(f"Ray did not start: {str(error).strip().splitlines()[-1]}") from None


def _logging(settings: dict[str, Any]) -> LoggingConfig:
    """Raises: `ConfigError` where they are not Ray's."""
    try:
        return LoggingConfig.model_validate(settings)
    except ValidationError as error:
        raise ConfigError(f"logging_config.{first_mistake(error)}") from None


def run_app(
    config: AppConfig,
    on_state: Callable[[str], None],
    logs: Path,
    within_s: float = math.inf,
) -> None:
    """Deploy and wait until every deployment is healthy; says meanwhile how far each one is.

    All from one thread: Ray's `RequestRouterConfig`, which both deploying and asking for the state
    make, breaks when two threads make one at a time.
    Raises: `ConfigError` with what a deployment said when it failed, or what it waits for at the
    end of `within_s` seconds.
    """
    give_up_s = time.monotonic() + within_s
    target = serve.RunTarget(build(config), name=APP_NAME, route_prefix="/")
    serve.run_many([target], wait_for_applications_running=False)
    while True:
        app = serve.status().applications[APP_NAME]
        on_state(state_line(app))
        if app.status == ApplicationStatus.RUNNING:
            return
        if app.status == ApplicationStatus.DEPLOY_FAILED:
            raise ConfigError(_failure(app, logs))
        if time.monotonic() > give_up_s:
            raise ConfigError(f"not ready after {within_s:.0f} s: {state_line(app)}")
        time.sleep(STATE_POLL_S)


def state_line(app: ApplicationStatusOverview) -> str:
    """How far each deployment is, and what it waits for."""
    return " · ".join(
        f"{name} {status.status.value.lower()}{pending_reason(status.message)}"
        for name, status in app.deployments.items()
    )


def pending_reason(message: str) -> str:
    """Ray's message on a replica without a place, as ` (what it needs, what there is)`; else ''."""
    found = PENDING.search(" ".join(message.split()))
    if not found:
        return ""
    return f" ({found['n']} without a place: needs {found['needs']}, free {found['free']})"


def _failure(app: ApplicationStatusOverview, logs: Path) -> str:
    """The last words of the deployment that failed and the cause behind them, in one line."""
    for name, status in app.deployments.items():
        if status.status.value in ("DEPLOY_FAILED", "UNHEALTHY"):
            lines = [line.strip() for line in status.message.splitlines() if line.strip()]
            telling = [line for line in lines if "Error" in line] or lines
            said = telling[-1] if telling else "see its log"
            return f"{name} did not start: {root_cause(status.message, logs) or said}"
    return f"the application did not start: see the logs in {logs}"
