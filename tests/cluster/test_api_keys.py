"""A key that is taken out of the file is refused by every gateway, without a restart."""

from pathlib import Path

import httpx
import pytest

from tests.cluster.conftest import ARGS
from tests.endpoint import running_endpoint, wait_until

pytestmark = pytest.mark.timeout(420)

GATEWAYS = {"num_cpus": 0.1, "scaling": {"min_replicas": 2, "max_replicas": 2}}
# Either gateway answers half of the requests: that one is never met has a chance of 1 in 10^9.
ENOUGH = 30


def statuses(url: str, key: str) -> set[int]:
    """What many requests with this key are answered with, each on a connection of its own."""
    headers = {"authorization": f"Bearer {key}"}
    return {
        httpx.get(f"{url}/v1/models", headers=headers, timeout=30).status_code
        for _ in range(ENOUGH)
    }


def test_every_gateway_follows_the_file_of_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "keys"
    file.write_bytes("key-a\r\nkey-b\r\n".encode("utf-16"))
    monkeypatch.setenv("SMALLFIRST_API_KEYS_FILE", str(file))
    with running_endpoint({**ARGS, "gateway": GATEWAYS}) as endpoint:
        wait_until(lambda: len(endpoint.replicas("Gateway")) == 2, 120, "two gateways")
        assert "2 API keys from SMALLFIRST_API_KEYS_FILE" in endpoint.output.read_text()
        assert [statuses(endpoint.url, f"key-{x}") for x in "abc"] == [{200}, {200}, {401}]
        file.write_text("key-b\nkey-c\n")
        wait_until(lambda: statuses(endpoint.url, "key-a") == {401}, 30, "key-a is refused")
        wait_until(lambda: statuses(endpoint.url, "key-c") == {200}, 30, "key-c is taken")
        assert statuses(endpoint.url, "key-b") == {200}
        file.write_text("")
        assert statuses(endpoint.url, "key-b") == {200}
        assert statuses(endpoint.url, "key-a") == {401}
