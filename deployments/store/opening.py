"""Opens the store that a config names."""

from collections.abc import Callable

from deployments.settings.accounts import AccountsConfig
from deployments.settings.config_mistake import ConfigError
from deployments.settings.environment import secret
from deployments.store.database import Database
from deployments.store.postgres import Postgres
from deployments.store.sqlite import Sqlite


def store_of(config: AccountsConfig) -> Callable[[bool], Database]:
    """What opens the configured store, to own it or to read it.

    Raises: `ConfigError` where the variable that should hold its address is empty.
    """
    if config.postgres_env is None:
        path = config.store or ":memory:"
        return lambda owns: Sqlite(path, owns=owns)
    address = secret(config.postgres_env)
    if address is None:
        raise ConfigError(f"accounts.postgres_env: {config.postgres_env} is not set")
    return lambda owns: Postgres(address, owns=owns)
