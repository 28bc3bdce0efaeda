"""Settings of the accounts: where they are kept, what may be spent in all, who may administer."""

from pathlib import Path

from pydantic import Field, model_validator

from deployments.settings.api_key import UsdCaps
from deployments.settings.environment import VariableName
from deployments.settings.group import Settings


class AccountsConfig(Settings):
    """Keys, budgets and the ledger, kept by one process."""

    store: str | None = Field(None, min_length=1)
    """SQLite file on the node of the owner, on a disk of its own (never a network's); null: none,
    unless `postgres_env` names one. `smallfirst serve` puts it into its cache."""
    postgres_env: VariableName | None = None
    """Environment variable with the `postgresql://` address of a database instead. An address holds
    a password: it never stands here."""
    waiting_dir: str | None = Field(None, min_length=1)
    """Folder on the disk of each gateway's node: records that wait for the owner outlive their
    gateway there. null: beside the file of `store`; with a database, in memory alone."""
    usd: UsdCaps = UsdCaps()
    """Hard caps on all keys together."""
    ledger_days: int = Field(90, ge=1)
    """How long records and minutes are kept, days; days' sums and with them reports stay. A
    million records are about 1 GB."""
    admin: bool = True
    """False: nobody makes or revokes keys over HTTP, whatever key they have."""
    usd_per_cpu_hour: float = Field(0.0, ge=0, allow_inf_nan=False)
    """Price of a core for an hour, USD: what scoring costs in the report. 0: it is left out, and
    the report says so."""
    num_cpus: float = Field(0.0, ge=0)
    """Cores that Ray reserves for the owner, which sleeps most of the time. 0 lets it run on a head
    node that reserves none for anybody."""
    on_head: bool = True
    """True: the owner runs on the head node, where its file is. False: wherever Ray puts it, which
    only a database on the network can follow."""

    @property
    def kept(self) -> bool:
        """Whether there are accounts at all."""
        return self.store is not None or self.postgres_env is not None

    @property
    def waiting(self) -> Path | None:
        """The folder of the records that wait."""
        if self.waiting_dir is not None:
            return Path(self.waiting_dir)
        return None if self.store is None else Path(f"{self.store}.waiting")

    @model_validator(mode="after")
    def _one_store(self) -> "AccountsConfig":
        if self.store is not None and self.postgres_env is not None:
            raise ValueError("store and postgres_env are both set: accounts are kept in one place")
        if self.store is not None and "://" in self.store:
            raise ValueError(
                "store is a file; put a database's address into a variable, its name into "
                "postgres_env"
            )
        return self
