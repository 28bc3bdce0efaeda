"""Looks at the store of the accounts before anything starts."""

from deployments.settings.app import AppConfig
from deployments.settings.config_mistake import ConfigError
from deployments.store.database import OwnedError, StoreError
from deployments.store.opening import store_of
from deployments.store.schema import migrate


def ready_accounts(named: AppConfig, effective: AppConfig) -> tuple[AppConfig, list[str]]:
    """What to deploy, and what is wrong with the store in one line each.

    A store that fails stops no request: it is said, and what comes is kept when it is mended. Nor
    does one that another run on this machine has, unless the config names it.
    Raises: `ConfigError` where another process owns the store that the config names.
    """
    try:
        db = store_of(effective.accounts)(True)
    except OwnedError as error:
        if named.accounts.kept:
            raise ConfigError(f"accounts: {error}") from None
        unkept = effective.accounts.model_copy(update={"store": None})
        return effective.model_copy(update={"accounts": unkept}), [
            f"accounts: not kept in this run: {error}"
        ]
    except StoreError as error:
        return effective, [_trouble(error)]
    try:
        migrate(db)
    except StoreError as error:
        return effective, [_trouble(error)]
    finally:
        db.close()
    return effective, []


def _trouble(error: StoreError) -> str:
    return (
        f"[red]accounts: {error}[/]; requests are answered, and nothing of them is kept "
        "until that is mended"
    )
