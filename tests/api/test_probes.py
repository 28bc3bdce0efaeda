"""The names that load balancers and benchmarks ask for, and what every answer carries."""

import pytest

from tests.api.conftest import Service, Serving
from tests.api.test_http import ALWAYS, CHAT, chat

PROBES = ["/", "/health", "/ping", "/healthz", "/readyz", "/version"]


@pytest.mark.parametrize("path", PROBES)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_probe_needs_no_key_and_no_right_host(
    serving: Serving, path: str, method: str
) -> None:
    settings = {"keys": frozenset({"key-a"}), "gateway": {"allowed_hosts": ["llm.example.com"]}}
    async with serving(**settings) as service, service.http as http:
        answer = await http.request(method, path, headers={"host": "10.1.2.3:8000"})
    assert answer.status_code == 200
    assert answer.headers.keys() >= ALWAYS
    assert (answer.content == b"") is (method == "HEAD")
    assert service.records == []


async def test_what_this_is_and_its_version(service: Service) -> None:
    async with service.http as http:
        root = (await http.get("/")).json()
        version = (await http.get("/version")).json()["version"]
    assert (root["name"], root["api"]) == ("smallfirst", "/v1")
    assert root["version"] == version != ""


@pytest.mark.parametrize(
    ("replicas", "ready", "health"),
    [((1, 1), 200, 200), ((0, 1), 503, 200), ((1, 0), 503, 200), ((0, 0), 503, 503)],
)
async def test_ready_means_that_every_tier_is_up_and_healthy_that_one_is(
    service: Service, replicas: tuple[int, int], ready: int, health: int
) -> None:
    small, large = replicas
    service.health.update({"small": small, "large": large})
    async with service.http as http:
        answer = await http.get("/readyz")
        assert [(await http.get(path)).status_code for path in ("/health", "/ping")] == [health] * 2
        assert (await http.get("/healthz")).json() == {"status": "ok"}
    assert answer.status_code == ready
    assert answer.json()["tiers"]["small"] == {"up": small > 0, "replicas": small}


async def test_a_tier_that_sleeps_at_zero_replicas_is_ready(serving: Serving) -> None:
    async with serving(large_tier={"scaling": {"min_replicas": 0}}) as service:
        service.health.update({"small": 1, "large": 0})
        async with service.http as http:
            assert (await http.get("/readyz")).status_code == 200


async def test_an_answer_for_which_nothing_was_decided_says_so(service: Service) -> None:
    async with service.http as http:
        for path in ("/v1/models", "/v1/models/auto", "/v1/models/absent", *PROBES):
            headers = (await http.get(path, headers={"x-request-id": "r7"})).headers
            told = {name: headers[name] for name in ALWAYS}
            assert told == {**dict.fromkeys(ALWAYS, ""), "x-smallfirst-request-id": "r7"}, path


@pytest.mark.parametrize(("score", "shown"), [(0.9, "0.9000"), (None, "")])
async def test_a_dry_run_carries_the_headers_that_the_answer_would(
    serving: Serving, score: float | None, shown: str
) -> None:
    async with serving(score=score) as service, service.http as http:
        dry = await http.post("/v1/route", json=chat())
        real = await http.post(CHAT, json=chat())
    same = ALWAYS - {"x-smallfirst-request-id"}
    assert {n: dry.headers[n] for n in same} == {n: real.headers[n] for n in same}
    assert dry.headers["x-smallfirst-score"] == shown
    assert dry.headers["x-smallfirst-request-id"]
