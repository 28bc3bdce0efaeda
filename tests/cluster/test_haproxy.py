"""The fast path: HAProxy in front, the gateway replica speaking HTTP itself."""

import asyncio
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.cluster.conftest import ARGS
from tests.cluster.test_cluster import body, outcomes, send_many
from tests.endpoint import Endpoint, running_endpoint, wait_until

pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def fast() -> Iterator[Endpoint]:
    with running_endpoint(ARGS, "--haproxy") as endpoint:
        yield endpoint


def test_the_contract_holds_behind_haproxy(fast: Endpoint) -> None:
    chat = f"{fast.url}/v1/chat/completions"
    answer = httpx.post(chat, json=body(max_tokens=5), timeout=60)
    assert answer.status_code == 200
    assert answer.headers["x-smallfirst-tier"] == "small"
    assert httpx.post(chat, content=b"{", timeout=60).json()["error"]["code"] == "invalid_request"
    assert httpx.get(f"{fast.url}/nothing", timeout=60).json()["error"]["code"] == "unknown_url"
    with httpx.stream("POST", chat, json=body(max_tokens=30, stream=True), timeout=60) as stream:
        pieces = list(stream.iter_text())
    assert len(pieces) > 3
    assert pieces[-1].endswith("data: [DONE]\n\n")


@pytest.mark.parametrize("stream", [True, False])
def test_hanging_up_stops_the_generation(fast: Endpoint, stream: bool) -> None:
    before = len(fast.records())
    request = body(model="small", max_tokens=3000, stream=stream)
    client = httpx.Client(base_url=fast.url, timeout=2)
    started_s = time.monotonic()
    if stream:
        with client.stream("POST", "/v1/chat/completions", json=request) as answer:
            for _ in answer.iter_bytes():
                if time.monotonic() - started_s > 1:
                    break
    else:
        with pytest.raises(httpx.ReadTimeout):
            client.post("/v1/chat/completions", json=request)
    client.close()
    wait_until(lambda: len(fast.records()) > before, 30, "a ledger line")
    assert fast.records()[-1]["outcome"] == "cancelled"


def test_the_deadline_is_ours(fast: Endpoint) -> None:
    answer = httpx.post(
        f"{fast.url}/v1/chat/completions",
        json=body(model="small", max_tokens=3000),
        headers={"x-request-timeout-seconds": "1.5"},
        timeout=60,
    )
    assert answer.status_code == 504
    assert answer.json()["error"]["code"] == "deadline_exceeded"


def test_no_request_is_lost_when_a_replica_is_killed(fast: Endpoint) -> None:
    async def storm() -> list[httpx.Response | Exception]:
        many = asyncio.create_task(send_many(fast, 120, 30, max_tokens=20))
        await asyncio.sleep(1)
        fast.replicas("SmallTier")[0].kill()
        return await many

    counted = outcomes(asyncio.run(storm()))
    assert counted["200 small"] + counted["200 large"] == 120, counted
