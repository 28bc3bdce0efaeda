"""The fast path: HAProxy in front, the gateway replica speaking HTTP itself."""

import json
import socket
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.cluster.conftest import ARGS
from tests.cluster.test_cluster import body, killed_under
from tests.endpoint import Endpoint, running_endpoint, wait_until

pytestmark = pytest.mark.timeout(400)


TWO_GATEWAYS = {"num_cpus": 0.1, "scaling": {"min_replicas": 2, "max_replicas": 2}}


@pytest.fixture(scope="module")
def fast() -> Iterator[Endpoint]:
    with running_endpoint({**ARGS, "gateway": TWO_GATEWAYS}, "--haproxy") as endpoint:
        wait_until(lambda: len(endpoint.replicas("Gateway")) == 2, 60, "two gateways")
        yield endpoint


def test_the_contract_holds_behind_haproxy(fast: Endpoint) -> None:
    chat = f"{fast.url}/v1/chat/completions"
    answer = httpx.post(chat, json=body(max_tokens=5), timeout=60)
    assert answer.status_code == 200
    assert answer.headers["x-smallfirst-tier"] == "small"
    malformed = httpx.post(
        chat, content=b"{", headers={"content-type": "application/json"}, timeout=60
    )
    assert malformed.json()["error"]["code"] == "invalid_request"
    foreign = httpx.post(chat, json=body(), headers={"host": "evil.example"}, timeout=60)
    assert (foreign.status_code, foreign.json()["error"]["code"]) == (403, "host_not_allowed")
    assert httpx.get(f"{fast.url}/nothing", timeout=60).json()["error"]["code"] == "unknown_url"
    with httpx.stream("POST", chat, json=body(max_tokens=30, stream=True), timeout=60) as stream:
        pieces = list(stream.iter_text())
    assert len(pieces) > 3
    assert pieces[-1].endswith("data: [DONE]\n\n")


def outcome(endpoint: Endpoint, request_id: str) -> str:
    """What the ledger says of a request, of whichever gateway, once it says anything."""

    def found() -> list[str]:
        return [r["outcome"] for r in endpoint.records() if r["request_id"] == request_id]

    wait_until(lambda: len(found()) == 1, 30, "a ledger line")
    return str(found()[0])


def test_hanging_up_on_a_stream_stops_the_generation(fast: Endpoint) -> None:
    headers = {"x-request-id": "left-a-stream"}
    request = body(model="small", max_tokens=3000, stream=True)
    started_s = time.monotonic()
    with (
        httpx.Client(base_url=fast.url, timeout=10) as client,
        client.stream("POST", "/v1/chat/completions", json=request, headers=headers) as answer,
    ):
        for _ in answer.iter_bytes():
            if time.monotonic() - started_s > 1:
                break
    assert outcome(fast, "left-a-stream") == "cancelled"


def test_hanging_up_on_a_document_stops_the_generation(fast: Endpoint) -> None:
    content = json.dumps(body(model="small", max_tokens=3000)).encode()
    head = "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n"
    head += "content-type: application/json\r\nx-request-id: left-a-document\r\n"
    port = int(fast.url.rsplit(":", 1)[1])
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(f"{head}content-length: {len(content)}\r\n\r\n".encode())
        time.sleep(0.2)
        client.sendall(content)
        time.sleep(2)
    assert outcome(fast, "left-a-document") == "cancelled"


def test_the_deadline_is_ours(fast: Endpoint) -> None:
    answer = httpx.post(
        f"{fast.url}/v1/chat/completions",
        json=body(model="small", max_tokens=3000),
        headers={"x-request-timeout-seconds": "1.5"},
        timeout=60,
    )
    assert answer.status_code == 504
    assert answer.json()["error"]["code"] == "deadline_exceeded"


@pytest.mark.parametrize(
    ("deployment", "n", "per_s", "max_tokens"),
    [("SmallTier", 120, 30, 20), ("Gateway", 60, 10, 60)],
)
def test_no_request_without_a_first_byte_is_lost_when_one_is_killed(
    fast: Endpoint, deployment: str, n: int, per_s: float, max_tokens: int
) -> None:
    counted = killed_under(fast, deployment, n, per_s, max_tokens=max_tokens)
    assert counted["200 small"] + counted["200 large"] == n, counted
