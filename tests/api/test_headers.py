"""Headers that come twice, contradict each other, or are as long as somebody likes."""

import asyncio
from collections.abc import AsyncIterator

import orjson
import pytest

from tests.api.conftest import Service, Serving
from tests.api.test_http import CHAT, JSON, chat, is_envelope

LOCAL = "x-smallfirst-local-only"
MIN = "x-smallfirst-min-tier"


@pytest.mark.parametrize(
    ("name", "values", "local", "large"),
    [
        (LOCAL, ["false", "true"], True, False),
        (LOCAL, ["true", "false"], True, False),
        (LOCAL, ["false, TRUE"], True, False),
        (LOCAL, ["false", "false"], False, False),
        (MIN, ["small", "large"], False, True),
        (MIN, ["large", "small"], False, True),
        (MIN, ["small,large"], False, True),
        (MIN, ["small", "small"], False, False),
    ],
)
async def test_of_two_hints_the_stricter_wins_whoever_came_first(
    service: Service, name: str, values: list[str], local: bool, large: bool
) -> None:
    async with service.http as http:
        answer = await http.post(CHAT, json=chat(), headers=[(name, value) for value in values])
    assert answer.status_code == 200
    assert answer.headers["x-smallfirst-tier"] == ("large" if large else "small")
    (asked,) = service.handles["large" if large else "small"].requests
    assert asked.local_only is local


@pytest.mark.parametrize(
    ("name", "values"),
    [
        (LOCAL, ["true", "yes"]),
        (LOCAL, ["yes", "true"]),
        (LOCAL, ["true", ""]),
        (LOCAL, ["true,"]),
        (LOCAL, ["true; false"]),
        (MIN, ["large", "medium"]),
        ("x-request-timeout-seconds", ["5", "soon"]),
        ("x-request-timeout-seconds", ["5", "-1"]),
        ("x-smallfirst-session", ["a", "b"]),
        ("x-smallfirst-session", ["x" * 257]),
    ],
)
@pytest.mark.parametrize("path", [CHAT, "/v1/route"])
async def test_a_hint_that_cannot_be_told_is_refused(
    service: Service, path: str, name: str, values: list[str]
) -> None:
    async with service.http as http:
        answer = await http.post(path, json=chat(), headers=[(name, value) for value in values])
    assert answer.status_code == 400
    assert is_envelope(answer)
    assert name in answer.json()["error"]["message"]
    assert "xxx" not in answer.text and "medium" not in answer.text
    assert service.asked() == []


async def test_of_two_deadlines_the_nearer_holds(service: Service) -> None:
    both = [("x-request-timeout-seconds", "500"), ("x-request-timeout-seconds", "20")]
    async with service.http as http:
        await http.post(CHAT, json=chat(), headers=both)
    (asked,) = service.handles["small"].requests
    assert asked.timeout_s is not None and 10 < asked.timeout_s < 20


async def test_a_session_has_up_to_256_characters_and_may_be_sent_twice(service: Service) -> None:
    session = [("x-smallfirst-session", "x" * 256)] * 2
    async with service.http as http:
        service.scorer.complexity = 0.9
        await http.post(CHAT, json=chat(), headers=session)
        service.scorer.complexity = 0.6
        same = await http.post(CHAT, json=chat(), headers=session)
    assert same.headers["x-smallfirst-cause"] == "session"


async def test_an_empty_session_is_none(service: Service) -> None:
    async with service.http as http:
        service.scorer.complexity = 0.9
        await http.post(CHAT, json=chat(), headers={"x-smallfirst-session": ""})
        service.scorer.complexity = 0.6
        other = await http.post(CHAT, json=chat(), headers={"x-smallfirst-session": ""})
    assert other.headers["x-smallfirst-tier"] == "small"


@pytest.mark.parametrize("given", [["key-a", "wrong"], ["wrong", "key-a"]])
async def test_two_keys_that_differ_are_none(serving: Serving, given: list[str]) -> None:
    async with serving(keys=frozenset({"key-a"})) as service, service.http as http:
        headers = [("authorization", f"Bearer {key}") for key in given]
        answer = await http.get("/v1/models", headers=headers)
        twice = await http.get("/v1/models", headers=[("authorization", "Bearer key-a")] * 2)
    assert (answer.status_code, twice.status_code) == (401, 200)


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ([("authorization", "Bearer key-a"), ("authorization", "bearer key-a")], 200),
        ([("authorization", "BEARER  key-a"), ("x-api-key", "key-a")], 200),
        ([("authorization", ""), ("x-api-key", "key-a")], 200),
        ([("authorization", "Bearer"), ("x-api-key", "key-a")], 200),
        ([("authorization", "Bearer key-a"), ("x-api-key", "")], 200),
        ([("authorization", ""), ("authorization", "Bearer key-a")], 200),
        ([("authorization", "Basic key-a"), ("x-api-key", "key-a")], 401),
        ([("authorization", "Bearer key-b"), ("x-api-key", "key-a")], 401),
        ([("authorization", "Bearer KEY-A"), ("x-api-key", "key-a")], 401),
        ([("authorization", "key-a")], 401),
        ([("authorization", ""), ("x-api-key", "")], 401),
    ],
    ids=str,
)
async def test_one_key_in_two_headers_is_one(
    serving: Serving, lines: list[tuple[str, str]], status: int
) -> None:
    async with serving(keys=frozenset({"key-a"})) as service, service.http as http:
        assert (await http.get("/v1/models", headers=lines)).status_code == status


async def test_what_was_ignored_is_told_in_bounds(service: Service) -> None:
    body = chat(**{f"{'x' * 100}-{i}": 0 for i in range(50_000)})
    async with service.http as http:
        headers = {**JSON, "x-smallfirst-debug": "true"}
        answer = await http.post(CHAT, content=orjson.dumps(body), headers=headers)
    assert answer.status_code == 200
    assert len(answer.headers["x-smallfirst-ignored-fields"].split(",")) == 20
    assert answer.headers["x-smallfirst-ignored-count"] == "50000"
    assert sum(len(name) + len(value) for name, value in answer.headers.items()) < 4096


@pytest.mark.parametrize("wrong", [False, True])
async def test_the_time_that_a_client_waits_begins_with_its_head(
    service: Service, wrong: bool
) -> None:
    uploading_s = 0.3

    async def body() -> AsyncIterator[bytes]:
        content = orjson.dumps(chat(stream=True))
        yield content[:10]
        await asyncio.sleep(uploading_s)
        yield b"}" if wrong else content[10:]

    async with service.http as http:
        answer = await http.post(CHAT, content=body(), headers=JSON)
    assert answer.status_code == (400 if wrong else 200)
    (record,) = service.records
    assert record.total_s is not None and record.total_s >= uploading_s
    assert wrong or (record.ttft_s is not None and record.ttft_s >= uploading_s)


async def test_a_stream_is_not_held_back_by_proxies(service: Service) -> None:
    async with service.http as http:
        answer = await http.post(CHAT, json=chat(stream=True))
        document = await http.post(CHAT, json=chat())
    assert answer.headers["x-accel-buffering"] == "no"
    assert answer.headers["cache-control"] == "no-cache"
    assert "x-accel-buffering" not in document.headers
