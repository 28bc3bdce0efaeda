"""Which store a command reads, and how it is opened."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from deployments.accounting.reporting import since_of
from deployments.commands.effective import effective_config, this_machine
from deployments.commands.endpoint import fail
from deployments.settings.accounts import AccountsConfig
from deployments.settings.app import AppConfig
from deployments.settings.config_mistake import ConfigError
from deployments.settings.serve_file import load_serve_file
from deployments.store.database import Database, StoreError
from deployments.store.opening import store_of
from deployments.store.schema import check_readable

Store = Annotated[
    Path | None, typer.Option(help="The SQLite file, instead of the config's.", dir_okay=False)
]
Config = Annotated[Path, typer.Option(help="Serve config file that names the store.")]
Since = Annotated[str | None, typer.Option(help="A day, 2026-11-01, or days ago, 7d.")]
DEFAULT_CONFIG = Path("serve_config.yaml")


@contextmanager
def reading(store: Path | None, config: Path) -> Iterator[tuple[Database, AppConfig]]:
    """The store, for reading only, and the settings; ends the command with one line where that
    fails."""
    try:
        settings = _settings(store, config)
        accounts = settings.accounts
        if accounts.store is not None and not Path(accounts.store).is_file():
            fail(f"{accounts.store}: no accounts there yet; name the file with --store")
        db = store_of(accounts)(False)
        try:
            check_readable(db)
            yield db, settings
        finally:
            db.close()
    except (ConfigError, StoreError) as error:
        fail(str(error))


def _settings(store: Path | None, config: Path) -> AppConfig:
    if store is not None and not config.exists():
        return AppConfig(accounts=AccountsConfig(store=str(store)))
    settings = effective_config(load_serve_file(config).app, this_machine()).config
    if store is None:
        return settings
    accounts = settings.accounts.model_copy(update={"store": str(store), "postgres_env": None})
    return settings.model_copy(update={"accounts": accounts})


def day(option: str, text: str | None) -> float | None:
    """The time that an option names; ends the command where it names none."""
    try:
        return since_of(text)
    except ValueError as error:
        fail(f"{option}: {error}")
