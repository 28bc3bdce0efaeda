"""What only a real cluster shows: routing through Ray, deaths, drains, scaling, Ctrl-C."""

import asyncio
import time
from collections import Counter
from typing import Any

import httpx
import openai
import psutil
import pytest

from tests.endpoint import Endpoint, running_endpoint, wait_until

pytestmark = pytest.mark.timeout(420)


def body(text: str = "Hello there", **more: Any) -> dict[str, Any]:
    return {"model": "auto", "messages": [{"role": "user", "content": text}], **more}


async def send_many(
    endpoint: Endpoint, n: int, per_s: float, **more: Any
) -> list[httpx.Response | Exception]:
    """`n` requests at a steady rate, whatever becomes of them."""
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=endpoint.url, timeout=60, limits=limits) as client:
        pending = []
        for _ in range(n):
            request = client.post("/v1/chat/completions", json=body(**more))
            pending.append(asyncio.create_task(request))
            await asyncio.sleep(1 / per_s)
        answers = await asyncio.gather(*pending, return_exceptions=True)
    return [a for a in answers if isinstance(a, httpx.Response | Exception)]


def outcomes(answers: list[httpx.Response | Exception]) -> Counter[str]:
    return Counter(
        f"{a.status_code} {a.headers.get('x-smallfirst-tier')}"
        + (f" {a.text}" if a.status_code != 200 else "")
        if isinstance(a, httpx.Response)
        else type(a).__name__
        for a in answers
    )


def test_auto_and_named_models_reach_their_tiers(endpoint: Endpoint) -> None:
    client = openai.OpenAI(base_url=f"{endpoint.url}/v1", api_key="none")
    for asked, tier in (("auto", "small"), ("small", "small"), ("sim-large", "large")):
        raw = client.chat.completions.with_raw_response.create(
            model=asked, messages=[{"role": "user", "content": "Hi"}], max_tokens=5
        )
        assert raw.headers["x-smallfirst-tier"] == tier
        assert raw.parse().choices[0].message.content


def test_a_gateway_behind_rays_proxy_knows_that_it_is_on_loopback(endpoint: Endpoint) -> None:
    for headers, code in (
        ({"host": "evil.example"}, "host_not_allowed"),
        ({"origin": "http://evil.example"}, "origin_not_allowed"),
    ):
        answer = httpx.post(
            f"{endpoint.url}/v1/chat/completions", json=body(), headers=headers, timeout=60
        )
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, code)


def test_a_stream_arrives_in_pieces_and_ends_with_done(endpoint: Endpoint) -> None:
    request = body(max_tokens=30, stream=True)
    with httpx.stream("POST", f"{endpoint.url}/v1/chat/completions", json=request) as answer:
        pieces = [piece for piece in answer.iter_text() if piece]
    assert len(pieces) > 3
    assert pieces[-1].endswith("data: [DONE]\n\n")


@pytest.mark.parametrize("stream", [True, False])
def test_hanging_up_stops_the_generation(endpoint: Endpoint, stream: bool) -> None:
    before = len(endpoint.records())
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(
            f"{endpoint.url}/v1/chat/completions",
            json=body(model="small", max_tokens=3000, stream=False),
            timeout=1.0,
        ) if not stream else _read_for_one_second(endpoint)
    wait_until(lambda: len(endpoint.records()) > before, 20, "a ledger line")
    record = endpoint.records()[-1]
    assert record["outcome"] == "cancelled"
    # 3,000 tokens take a minute; the engine was told to stop long before.
    assert record["total_ms"] < 20_000


def _read_for_one_second(endpoint: Endpoint) -> None:
    request = body(model="small", max_tokens=3000, stream=True)
    started_s = time.monotonic()
    with httpx.stream("POST", f"{endpoint.url}/v1/chat/completions", json=request) as answer:
        for _ in answer.iter_bytes():
            if time.monotonic() - started_s > 1:
                raise httpx.ReadTimeout("enough")


def killed_under(
    endpoint: Endpoint, deployment: str, n: int, per_s: float, **more: Any
) -> Counter[str]:
    """What becomes of requests when a replica is killed a second after the first of them."""

    async def storm() -> list[httpx.Response | Exception]:
        many = asyncio.create_task(send_many(endpoint, n, per_s, **more))
        await asyncio.sleep(1)
        endpoint.replicas(deployment)[0].kill()
        return await many

    return outcomes(asyncio.run(storm()))


def test_no_request_is_lost_when_an_engine_dies(endpoint: Endpoint) -> None:
    async def storm() -> list[httpx.Response | Exception]:
        many = asyncio.create_task(send_many(endpoint, 120, 30, max_tokens=20))
        await asyncio.sleep(1)
        async with httpx.AsyncClient(timeout=60) as client:
            await client.post(
                f"{endpoint.url}/v1/chat/completions",
                json=body(model="small", max_tokens=50, user="drill:die"),
            )
        return await many

    counted = outcomes(asyncio.run(storm()))
    assert counted["200 small"] + counted["200 large"] == 120, counted
    wait_until(lambda: endpoint.running("small") >= 2, 60, "two small replicas again")


def test_no_request_is_lost_when_a_replica_is_killed(endpoint: Endpoint) -> None:
    counted = killed_under(endpoint, "SmallTier", 120, 30, max_tokens=20)
    assert counted["200 small"] + counted["200 large"] == 120, counted
    wait_until(lambda: endpoint.running("small") >= 2, 60, "two small replicas again")


def test_requests_on_an_engine_that_is_killed_are_answered_by_another(endpoint: Endpoint) -> None:
    async def storm() -> list[httpx.Response | Exception]:
        many = asyncio.create_task(send_many(endpoint, 30, 200, model="small", max_tokens=20))
        await asyncio.sleep(0.2)
        endpoint.replicas("SmallTier")[0].kill()
        return await many

    assert outcomes(asyncio.run(storm())) == {"200 small": 30}
    wait_until(lambda: endpoint.running("small") >= 2, 60, "two small replicas again")


@pytest.mark.parametrize("model", ["auto", "small"])
def test_a_request_that_kills_its_engine_kills_two_at_most(endpoint: Endpoint, model: str) -> None:
    wait_until(lambda: endpoint.whole(2), 60, "two small replicas")
    large, before = {p.pid for p in endpoint.replicas("Escalation")}, endpoint.deaths()
    # A text of its own: what killed once is known again.
    drill = body(f"Die, {model}", model=model, max_tokens=5, user="drill:die")
    for _ in range(2):
        answer = httpx.post(f"{endpoint.url}/v1/chat/completions", json=drill, timeout=60)
        assert (answer.status_code, answer.json()["error"]["code"]) == (500, "engine_killed")
        assert answer.headers["x-should-retry"] == "false"
        # Deaths, not processes: the autoscaler takes replicas of earlier tests back at any time.
        wait_until(lambda: endpoint.deaths() >= before + 2, 60, "two dead engines")
        wait_until(lambda: endpoint.whole(2), 60, "two small replicas again")
    # The second time nobody was asked.
    wait_until(lambda: endpoint.records()[-1]["attempts"] == [], 20, "its ledger line")
    assert endpoint.deaths() == before + 2
    assert large <= {p.pid for p in endpoint.replicas("Escalation")}


def test_with_every_small_replica_gone_the_large_tier_answers(endpoint: Endpoint) -> None:
    for replica in endpoint.replicas("SmallTier"):
        replica.kill()
    answer = httpx.post(f"{endpoint.url}/v1/chat/completions", json=body(max_tokens=5), timeout=60)
    assert answer.status_code == 200
    if answer.headers["x-smallfirst-tier"] == "large":
        assert answer.headers["x-smallfirst-cause"] == "small_unavailable"
    wait_until(lambda: endpoint.whole(2), 60, "two small replicas again")


def test_a_stream_cut_after_its_first_byte_ends_in_one_error_event(endpoint: Endpoint) -> None:
    request = body(model="small", max_tokens=200, stream=True, user="drill:cut")
    with httpx.stream(
        "POST", f"{endpoint.url}/v1/chat/completions", json=request, timeout=60
    ) as answer:
        assert answer.status_code == 200
        text = answer.read().decode()
    assert text.count('data: {"error"') == 1
    assert "[DONE]" not in text
    assert "Traceback" not in text


def test_a_stalled_engine_is_replaced_and_its_requests_go_elsewhere(endpoint: Endpoint) -> None:
    old = {p.pid for p in endpoint.replicas("SmallTier")}
    with pytest.raises(httpx.ReadTimeout):
        drill = body(model="small", user="drill:stall")
        httpx.post(f"{endpoint.url}/v1/chat/completions", json=drill, timeout=1)
    # The stall shows only while requests wait on the engine: some of these do.
    counted = outcomes(asyncio.run(send_many(endpoint, 16, 100, max_tokens=2)))
    assert counted["200 small"] + counted["200 large"] == 16, counted
    wait_until(
        lambda: (
            {p.pid for p in endpoint.replicas("SmallTier")} - old and endpoint.running("small") >= 2
        ),
        60,
        "the stalled replica replaced",
    )


def test_small_replicas_follow_the_queue_up_and_down(endpoint: Endpoint) -> None:
    wait_until(lambda: endpoint.running("small") == 2, 120, "two small replicas")
    started_s = time.monotonic()
    seen: list[tuple[float, int]] = []

    async def storm() -> None:
        many = asyncio.create_task(send_many(endpoint, 400, 25, model="small", max_tokens=60))
        while not many.done():
            replicas = await asyncio.to_thread(lambda: len(endpoint.replicas("SmallTier")))
            seen.append((time.monotonic() - started_s, replicas))
            await asyncio.sleep(0.25)
        await many

    asyncio.run(storm())
    assert max(replicas for _, replicas in seen) > 2, seen
    wait_until(lambda: endpoint.running("small") == 2, 240, "two small replicas after the storm")


def test_ctrl_c_leaves_no_process_behind() -> None:
    args = {
        "gateway": {"num_cpus": 0.1},
        "small": {"model": "a", "engine": {"kind": "simulated"}, "num_cpus": 0.1},
        "large": {"model": "b", "engine": {"kind": "simulated"}, "num_cpus": 0.1},
    }
    bystanders = {p.pid for p in psutil.process_iter()}
    with running_endpoint(args) as endpoint:
        started = endpoint.descendants()
        assert len(started) > 5
    _, alive = psutil.wait_procs(started, timeout=10)
    assert not alive
    assert endpoint.process.returncode == 130
    assert psutil.pid_exists(min(bystanders))


def test_a_taken_port_is_refused_in_one_line(endpoint: Endpoint) -> None:
    import subprocess
    import sys

    command = [sys.executable, "-c", "from deployments.cli import main; main()", "serve"]
    port = endpoint.url.rsplit(":", 1)[1]
    done = subprocess.run([*command, "--port", port], capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert f"port {port}" in done.stderr
    assert "--port" in done.stderr
    assert "Traceback" not in done.stderr
