"""Keys, a cap and the ledger over two real gateways, through deaths of a gateway and the owner."""

import json
import signal
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.cluster.conftest import ARGS, LARGE, SMALL
from tests.endpoint import running_endpoint, wait_until

pytestmark = pytest.mark.timeout(420)

GATEWAYS = {"num_cpus": 0.1, "scaling": {"min_replicas": 2, "max_replicas": 2}}
# A request of 100 tokens costs about 0.01 USD at most tiers' price here.
PRICE = {"usd_per_million_prompt_tokens": 0, "usd_per_million_completion_tokens": 100}
CAP_USD = 0.5
BODY = {"model": "small", "max_tokens": 100, "messages": [{"role": "user", "content": "Hi"}]}


def rows(store: Path, sql: str) -> list[Any]:
    """What the file says, read as any program may."""
    with sqlite3.connect(f"file:{store}?mode=ro", uri=True) as db:
        return db.execute(sql).fetchall()


def smallfirst(url: str, *command: str) -> Any:
    """The answer of one of our commands."""
    code = "from deployments.cli import main; main()"
    run = [sys.executable, "-c", code, *command, "--url", url, "--json"]
    return json.loads(subprocess.run(run, check=True, capture_output=True, text=True).stdout)


def test_a_cap_holds_over_two_gateways_and_through_deaths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, admin = tmp_path / "accounts.sqlite", tmp_path / "admin"
    admin.write_text("the-admin\n")
    monkeypatch.setenv("SMALLFIRST_ADMIN_KEYS_FILE", str(admin))
    args = {
        **ARGS,
        "small": {**SMALL, **PRICE},
        "large": {**LARGE, **PRICE},
        "gateway": GATEWAYS,
        "accounts": {"store": str(store)},
    }
    with running_endpoint(args) as endpoint:
        wait_until(lambda: len(endpoint.replicas("Gateway")) == 2, 120, "two gateways")
        assert httpx.get(f"{endpoint.url}/v1/models").status_code == 401
        key = smallfirst(endpoint.url, "keys", "create", "burst", "--usd-day", str(CAP_USD))
        headers = {"authorization": f"Bearer {key['api_key']}"}

        def ask(_: int) -> int:
            url = f"{endpoint.url}/v1/chat/completions"
            return httpx.post(url, json=BODY, headers=headers, timeout=120).status_code

        wait_until(lambda: ask(0) == 200, 30, "the key is known")
        with ThreadPoolExecutor(40) as pool:
            codes = list(pool.map(ask, range(200)))
        assert set(codes) == {200, 429}
        paid = codes.count(200) + 1
        assert paid <= 50
        wait_until(
            lambda: (
                rows(store, "SELECT COUNT(*) FROM ledger WHERE cost_nano_usd > 0")[0][0] >= paid
            ),
            30,
            "the ledger",
        )
        most = "SELECT MAX(settled + held) FROM balances"
        assert rows(store, most)[0][0] <= CAP_USD * 1e9

        # The owner dies: what was spent is not forgotten, and requests go on.
        (owner,) = endpoint.replicas("Accounts")
        owner.send_signal(signal.SIGKILL)
        free = smallfirst_when_back(endpoint.url)
        assert ask(0) == 429
        assert rows(store, most)[0][0] <= CAP_USD * 1e9
        spent = rows(store, "SELECT SUM(cost_nano_usd) FROM ledger")[0][0]
        settled = "SELECT settled FROM balances WHERE scope = 'all' AND period = 'month'"
        assert spent == rows(store, settled)[0][0]

        # A gateway dies: what it held comes back.
        endpoint.replicas("Gateway")[0].send_signal(signal.SIGKILL)
        held = "SELECT MAX(held) FROM balances"
        wait_until(lambda: rows(store, held)[0][0] == 0, 60, "nothing is held")

        # Revoked: refused by every gateway.
        smallfirst(endpoint.url, "keys", "revoke", free["key_id"])
        refused = {"authorization": f"Bearer {free['api_key']}"}
        models = f"{endpoint.url}/v1/models"
        wait_until(
            lambda: {httpx.get(models, headers=refused).status_code for _ in range(30)} == {401},
            30,
            "every gateway refuses it",
        )


def smallfirst_when_back(url: str) -> Any:
    """A new key, as soon as an owner is there to make it."""
    made: list[Any] = []

    def try_it() -> bool:
        try:
            made.append(smallfirst(url, "keys", "create", "free"))
        except subprocess.CalledProcessError:
            return False
        return True

    wait_until(try_it, 120, "a new owner")
    return made[0]
