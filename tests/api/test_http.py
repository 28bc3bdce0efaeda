"""Keys, headers, hints, paths and limits of the HTTP API."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import orjson
import pytest

from tests.api.conftest import Service, Serving

CHAT = "/v1/chat/completions"
JSON = {"content-type": "application/json"}
ALWAYS = {f"x-smallfirst-{name}" for name in ("tier", "model", "cause", "score", "request-id")}


def chat(**fields: Any) -> dict[str, Any]:
    return {
        "model": "auto",
        "messages": [{"role": "user", "content": "Hello"}],
        "max_tokens": 3,
        **fields,
    }


def is_envelope(answer: httpx.Response) -> bool:
    """Whether the body is OpenAI's error envelope and nothing else."""
    body = answer.json()
    keys = {"message", "type", "param", "code"}
    return set(body) == {"error"} and set(body["error"]) == keys and bool(body["error"]["message"])


KEYED = ["/v1/models", "/v1/models/auto", CHAT, "/v1/completions", "/v1/route"]


def post(http: httpx.AsyncClient, path: str, **more: Any) -> Any:
    """A request to a path by the method that the path takes."""
    if path.startswith("/v1/models"):
        return http.get(path, **more)
    return http.post(path, json={**chat(), "prompt": "Hello"}, **more)


@pytest.mark.parametrize("path", KEYED)
@pytest.mark.parametrize(
    ("given", "status"),
    [
        (None, 401),
        ("Bearer wrong", 401),
        ("Bearer", 401),
        ("Basic key-a", 401),
        ("key-a", 401),
        ("Bearer key-a-and-more", 401),
        ("Bearer key-a", 200),
        ("bearer key-b", 200),
    ],
)
async def test_a_key_opens_every_path(
    serving: Serving, path: str, given: str | None, status: int
) -> None:
    async with serving(keys=frozenset({"key-a", "key-b"})) as service, service.http as http:
        answer = await post(http, path, headers={"authorization": given} if given else {})
    assert answer.status_code == status
    if status == 401:
        assert is_envelope(answer)
        assert answer.json()["error"]["code"] == "invalid_api_key"
        assert "wrong" not in answer.text
        assert [record.outcome for record in service.records] == ["invalid_api_key"]


async def test_the_answer_to_a_wrong_key_tells_nothing_of_it(serving: Serving) -> None:
    async with serving(keys=frozenset({"key-a"})) as service, service.http as http:
        bodies = {
            (await http.get("/v1/models", headers={"authorization": f"Bearer {key}"})).content
            for key in ("x", "key-", "key-aa", "k" * 1000)
        }
    assert len(bodies) == 1


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "unknown_url"),
        ("HEAD", "/nothing", 404, "unknown_url"),
        ("OPTIONS", "/nothing", 404, "unknown_url"),
        ("POST", "/v1/embeddings", 404, "unknown_url"),
        ("GET", CHAT, 405, "method_not_allowed"),
        ("DELETE", "/v1/models", 405, "method_not_allowed"),
        ("POST", "/healthz", 405, "method_not_allowed"),
        ("POST", f"{CHAT}/", 404, "unknown_url"),
    ],
)
async def test_a_wrong_path_or_method_is_openais_envelope(
    service: Service, method: str, path: str, status: int, code: str
) -> None:
    async with service.http as http:
        answer = await http.request(method, path)
    assert answer.status_code == status
    assert answer.headers.keys() >= ALWAYS
    assert ("allow" in answer.headers) is (status == 405)
    if method == "HEAD":
        assert answer.content == b""
        return
    assert is_envelope(answer)
    assert answer.json()["error"]["code"] == code


def sized(size: int) -> bytes:
    """A chat of exactly this many bytes."""
    empty = orjson.dumps(chat(messages=[{"role": "user", "content": ""}]))
    text = "x" * (size - len(empty))
    return orjson.dumps(chat(messages=[{"role": "user", "content": text}]))


async def chunks(body: bytes) -> Any:
    for start in range(0, len(body), 1000):
        yield body[start : start + 1000]


@pytest.mark.parametrize("declared", [True, False], ids=["declared", "chunked"])
@pytest.mark.parametrize(("size", "status"), [(2047, 200), (2048, 200), (2049, 413)])
async def test_a_body_over_the_limit_is_413(
    serving: Serving, size: int, status: int, declared: bool
) -> None:
    body = sized(size)
    async with serving(gateway={"max_body_bytes": 2048}) as service, service.http as http:
        sent = body if declared else chunks(body)
        answer = await http.post(CHAT, content=sent, headers=JSON)
        assert answer.status_code == status
        assert status == 200 or is_envelope(answer)
        assert (await http.post(CHAT, json=chat())).status_code == 200


async def test_every_answer_names_tier_model_cause_score_and_request(service: Service) -> None:
    async with service.http as http:
        for stream in (False, True):
            answer = await http.post(CHAT, json=chat(stream=stream))
            ours = {name for name in answer.headers if name.startswith("x-smallfirst")}
            assert ours == ALWAYS
            assert answer.headers["x-smallfirst-score"] == "0.1000"
            assert answer.headers["x-smallfirst-model"] == "sim-small"


async def test_debug_adds_what_was_ignored_tried_and_scored(service: Service) -> None:
    async with service.http as http:
        answer = await http.post(
            CHAT,
            json=chat(wibble=1, **{"wob\nble": 2, "a,b": 3}),
            headers={"x-smallfirst-debug": "true"},
        )
    assert answer.headers["x-smallfirst-ignored-fields"] == "wibble,wob?ble,a?b"
    assert answer.headers["x-smallfirst-ignored-count"] == "3"
    assert answer.headers["x-smallfirst-attempts"] == "1"
    assert float(answer.headers["x-smallfirst-score-ms"]) >= 0
    assert answer.headers["x-smallfirst-artifact"] == "test-artifact"
    assert set(answer.headers) > ALWAYS


@pytest.mark.parametrize(
    ("given", "kept"),
    [("abc-123_X.y", True), ("a" * 128, True), ("a" * 129, False), ("a b", False), ("a;b", False)],
)
async def test_a_plain_request_id_is_the_clients_own(
    service: Service, given: str, kept: bool
) -> None:
    async with service.http as http:
        answer = await http.post(CHAT, json=chat(), headers={"x-request-id": given})
    assert (answer.headers["x-smallfirst-request-id"] == given) is kept
    assert (service.records[0].request_id == given) is kept


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x-smallfirst-min-tier", "medium"),
        ("x-smallfirst-local-only", "yes"),
        ("x-smallfirst-local-only", ""),
        ("x-request-timeout-seconds", "soon"),
        ("x-request-timeout-seconds", "0"),
        ("x-request-timeout-seconds", "-1"),
        ("x-request-timeout-seconds", "nan"),
        ("x-request-timeout-seconds", "inf"),
    ],
)
async def test_a_hint_that_makes_no_sense_is_refused(
    service: Service, name: str, value: str
) -> None:
    async with service.http as http:
        for path in (CHAT, "/v1/route"):
            answer = await http.post(path, json=chat(), headers={name: value})
            assert answer.status_code == 400
            assert name in answer.json()["error"]["message"]
    assert service.asked() == []


async def test_a_replica_is_told_how_long_the_client_waits(service: Service) -> None:
    async with service.http as http:
        await http.post(CHAT, json=chat(), headers={"x-request-timeout-seconds": "20"})
    timeout_s = service.handles["small"].requests[0].timeout_s
    assert timeout_s is not None and 10 < timeout_s < 20


@pytest.mark.parametrize("value", ["large", "LARGE"])
async def test_a_client_may_ask_for_the_large_tier(service: Service, value: str) -> None:
    async with service.http as http:
        answer = await http.post(CHAT, json=chat(), headers={"x-smallfirst-min-tier": value})
    assert answer.headers["x-smallfirst-tier"] == "large"
    assert answer.headers["x-smallfirst-cause"] == "client_hint"


async def test_a_moment_without_a_small_model_does_not_keep_a_session_large(
    serving: Serving,
) -> None:
    session = {"x-smallfirst-session": "s1"}
    busy = {"faults": [{"fault": "refuse_429", "rate": 1.0}]}
    async with serving(small=busy) as service, service.http as http:
        first = await http.post(CHAT, json=chat(), headers=session)
        second = await http.post(CHAT, json=chat(), headers=session)
    causes = [answer.headers["x-smallfirst-cause"] for answer in (first, second)]
    assert causes == ["small_saturated"] * 2


async def test_a_body_that_does_not_come_is_given_up_at_the_deadline(service: Service) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b'{"model":'
        await asyncio.sleep(1)

    async with service.http as http:
        headers = {**JSON, "x-request-timeout-seconds": "0.2"}
        answer = await http.post(CHAT, content=body(), headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "deadline_exceeded")


@pytest.mark.parametrize("content", [b"{", b'{"messages": []}'])
async def test_a_wrong_request_is_counted(service: Service, content: bytes) -> None:
    async with service.http as http:
        answer = await http.post(CHAT, content=content, headers=JSON)
    assert answer.status_code == 400
    (record,) = service.records
    assert (record.endpoint, record.outcome) == ("chat", "invalid_request")


async def test_a_session_that_went_large_stays_while_its_turns_are_near_it(
    service: Service,
) -> None:
    session = {"x-smallfirst-session": "s1"}
    went = []
    async with service.http as http:
        for score in (0.6, 0.9, 0.6, 0.1, 0.6):
            service.scorer.complexity = score
            answer = await http.post(CHAT, json=chat(), headers=session)
            went.append(
                f"{answer.headers['x-smallfirst-tier']} {answer.headers['x-smallfirst-cause']}"
            )
    assert went == [
        "small classifier",
        "large classifier",
        "large session",
        "small classifier",
        "small classifier",
    ]


async def test_a_session_is_its_callers_own(serving: Serving) -> None:
    keys = frozenset({"key-a", "key-b"})
    session = {"x-smallfirst-session": "default"}
    async with serving(keys=keys, score=0.9) as service, service.http as http:
        a, b = ({**session, "authorization": f"Bearer {key}"} for key in sorted(keys))
        await http.post(CHAT, json=chat(), headers=a)
        service.scorer.complexity = 0.6
        causes = [
            (await http.post(CHAT, json=chat(), headers=headers)).headers["x-smallfirst-cause"]
            for headers in (b, a)
        ]
    assert causes == ["classifier", "session"]


# An address where nobody listens: whatever is sent there fails.
OUTSIDE = {"engine": {"kind": "upstream", "base_url": "http://127.0.0.1:9/v1", "model": "m"}}
LOCAL_ONLY = {"x-smallfirst-local-only": "true"}


async def test_a_local_only_request_stays_inside_however_hard_it_is(serving: Serving) -> None:
    async with serving(score=0.99, large_tier=OUTSIDE) as service, service.http as http:
        answer = await http.post(CHAT, json=chat(), headers=LOCAL_ONLY)
    assert answer.headers["x-smallfirst-tier"] == "small"
    assert answer.headers["x-smallfirst-cause"] == "local_only"
    assert service.handles["small"].requests[0].local_only
    assert service.handles["large"].requests == []


@pytest.mark.parametrize("fault", ["refuse_429", "refuse_503", "cut", "die"])
async def test_no_failure_makes_a_local_only_request_leave(serving: Serving, fault: str) -> None:
    small = {"faults": [{"fault": fault}]}
    async with serving(small=small, large_tier=OUTSIDE) as service, service.http as http:
        answer = await http.post(CHAT, json=chat(), headers=LOCAL_ONLY)
    assert answer.status_code in (429, 500, 503)
    assert service.handles["large"].requests == []


@pytest.mark.parametrize(
    ("fields", "headers"),
    [({"model": "large"}, {}), ({}, {"x-smallfirst-min-tier": "large"})],
)
async def test_asking_for_the_outside_and_for_local_only_is_a_conflict(
    serving: Serving, fields: Any, headers: Any
) -> None:
    async with serving(large_tier=OUTSIDE) as service, service.http as http:
        answer = await http.post(CHAT, json=chat(**fields), headers={**LOCAL_ONLY, **headers})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "local_only")
    assert service.handles["large"].requests == []


async def test_a_cluster_that_is_local_only_needs_no_header(serving: Serving) -> None:
    settings: Any = {"large_tier": OUTSIDE, "local_only": True}
    async with serving(score=0.99, **settings) as service, service.http as http:
        answer = await http.post(CHAT, json=chat(), headers={"x-smallfirst-local-only": "false"})
    assert answer.headers["x-smallfirst-cause"] == "local_only"


async def test_a_dry_run_says_what_would_happen_and_sends_nothing(service: Service) -> None:
    async with service.http as http:
        answer = (await http.post("/v1/route", json=chat())).json()
        real = await http.post(CHAT, json=chat())
        asked = len(service.asked())
    assert answer["object"] == "smallfirst.route"
    assert (answer["tier"], answer["model"], answer["cause"]) == (
        "small",
        "sim-small",
        "classifier",
    )
    assert real.headers["x-smallfirst-tier"] == answer["tier"]
    assert (answer["score"], answer["threshold"]) == (0.1, 0.7)
    assert answer["classifier"]["artifact"] == "test-artifact"
    assert answer["would_change"]
    assert asked == 1
    assert len(service.records) == 1


async def test_dry_runs_spend_no_budget(serving: Serving) -> None:
    budget = {"max_rate": 0.1, "burst": 1}
    async with serving(score=0.9, escalation=budget) as service, service.http as http:
        for _ in range(5):
            assert (await http.post("/v1/route", json=chat())).json()["tier"] == "large"
        assert (await http.post(CHAT, json=chat())).headers["x-smallfirst-tier"] == "large"
        assert (await http.post("/v1/route", json=chat())).json()["cause"] == "budget_exhausted"


async def test_a_dry_run_takes_a_completion_too(service: Service) -> None:
    async with service.http as http:
        body = {"model": "auto", "prompt": "Hello", "metadata": {"messages": "none"}}
        answer = await http.post("/v1/route", json=body)
    assert answer.json()["tier"] == "small"
    assert service.scorer.asked == ["Hello"]


@pytest.mark.parametrize(
    ("fields", "headers"),
    [
        ({"system": "Be kind."}, {}),
        ({"tools": [{"name": "f", "input_schema": {"type": "object"}}]}, {}),
        ({"stop_sequences": ["x"]}, {}),
        ({"metadata": {"user_id": "u"}}, {"anthropic-version": "2023-06-01"}),
    ],
)
async def test_a_dry_run_scores_a_message_as_it_would_be_asked(
    service: Service, fields: dict[str, Any], headers: dict[str, str]
) -> None:
    said = [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}]
    body = {"model": "auto", "max_tokens": 5, "messages": said, **fields}
    async with service.http as http:
        dry = await http.post("/v1/route", json=body, headers=headers)
        asked = await http.post("/v1/messages", json=body, headers=headers)
    assert (dry.status_code, asked.status_code) == (200, 200)
    assert service.scorer.asked[0] == service.scorer.asked[1]


async def test_a_bug_of_ours_tells_the_client_only_the_request_id(local: Serving) -> None:
    async with local() as service:

        async def breaks(_: Any) -> Any:
            raise RuntimeError("secret")

        service.scorer.score = breaks  # type: ignore[assignment]  # the bug
        transport = httpx.ASGITransport(service.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as http:
            answer = await http.post(CHAT, json=chat(), headers={"x-request-id": "r7"})
    assert answer.status_code == 500
    assert is_envelope(answer)
    assert "secret" not in answer.text
    assert answer.headers["x-smallfirst-request-id"] == "r7"
    assert service.records[0].outcome == "internal_error"


async def test_a_hundred_clients_get_their_own_answers(service: Service) -> None:
    async with service.http as http:
        asked = [chat(seed=i, stream=bool(i % 2)) for i in range(100)]
        headers = [{"x-request-id": f"r{i}"} for i in range(100)]
        answers = await asyncio.gather(
            *(http.post(CHAT, json=a, headers=h) for a, h in zip(asked, headers, strict=True))
        )
    assert [a.headers["x-smallfirst-request-id"] for a in answers] == [f"r{i}" for i in range(100)]
    assert {a.status_code for a in answers} == {200}
    assert len({record.request_id for record in service.records}) == 100
