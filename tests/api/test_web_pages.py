"""What a web page in somebody's browser may do: an endpoint on the same machine asks for no key."""

from typing import Any

import httpx
import pytest
from starlette.datastructures import Headers

from deployments.http.web_pages import WebPages
from deployments.protocol.errors import HostNotAllowed
from deployments.settings.app import GatewayConfig
from tests.api.conftest import Service, Serving
from tests.api.test_http import ALWAYS, CHAT, KEYED, chat, is_envelope, post

PAGE = "https://app.example.com"


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST:8000", 200),
        ("localhost.:8000", 200),
        ("127.0.0.1:8000", 200),
        ("127.8.9.1", 200),
        ("[::1]:8000", 200),
        ("[::ffff:127.0.0.1]", 200),
        ("evil.example", 403),
        ("evil.example:8000", 403),
        ("localhost.evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("evil.example:80@localhost", 403),
        ("localhost,evil.example", 403),
        ("0.0.0.0:8000", 403),
        ("128.0.0.1", 403),
        ("[::2]:8000", 403),
        ("[localhost]", 403),
        ("", 403),
    ],
)
async def test_on_loopback_only_loopbacks_names_are_answered(
    serving: Serving, host: str, status: int
) -> None:
    async with serving(on_loopback=True) as service, service.http as http:
        answers = [await post(http, path, headers={"host": host}) for path in KEYED]
        assert (await http.get("/healthz", headers={"host": host})).status_code == 200
    assert [answer.status_code for answer in answers] == [status] * len(KEYED)
    if status == 403:
        assert all(map(is_envelope, answers))
        assert {answer.json()["error"]["code"] for answer in answers} == {"host_not_allowed"}
        assert not [answer for answer in answers if "evil" in answer.text]
        assert service.asked() == []


@pytest.mark.parametrize("hosts", [[], ["localhost", "evil.example"], ["evil.example", "[::1]"]])
def test_of_two_hosts_both_must_be_ours_and_none_is_not(hosts: list[str]) -> None:
    pages = WebPages(GatewayConfig(), on_loopback=True, is_open=False)
    with pytest.raises(HostNotAllowed):
        pages.check(Headers(raw=[(b"host", host.encode()) for host in hosts]))
    pages.check(Headers(raw=[(b"host", b"localhost")] * 2))


@pytest.mark.parametrize(
    ("allowed", "host", "status"),
    [
        ([], "anything.example", 200),
        (["llm.example.com"], "llm.example.com", 200),
        (["LLM.example.com"], "llm.Example.com:8443", 200),
        (["llm.example.com"], "localhost:8000", 200),
        (["llm.example.com"], "a.llm.example.com", 403),
        (["llm.example.com"], "example.com", 403),
        (["*.example.com"], "a.b.example.com", 200),
        (["*.example.com"], "example.com", 403),
        (["*.example.com"], "example.com.evil.org", 403),
        (["10.0.0.5", "[fd00::2]"], "10.0.0.5:8000", 200),
        (["10.0.0.5", "[fd00::2]"], "[fd00::2]:8000", 200),
        (["10.0.0.5"], "10.0.0.6", 403),
        (["*"], "anything.example", 200),
    ],
)
async def test_beyond_loopback_the_configured_hosts_are_answered(
    serving: Serving, allowed: list[str], host: str, status: int
) -> None:
    async with serving(gateway={"allowed_hosts": allowed}) as service, service.http as http:
        answer = await http.get("/v1/models", headers={"host": host})
    assert answer.status_code == status


async def test_a_configured_host_is_answered_on_loopback_too(serving: Serving) -> None:
    settings: Any = {"on_loopback": True, "gateway": {"allowed_hosts": ["llm.example.com"]}}
    async with serving(**settings) as service, service.http as http:
        for host, status in (("llm.example.com", 200), ("127.0.0.1", 200), ("evil.example", 403)):
            assert (await http.get("/v1/models", headers={"host": host})).status_code == status


@pytest.mark.parametrize("path", KEYED)
async def test_a_foreign_page_may_not_use_an_open_endpoint(service: Service, path: str) -> None:
    async with service.http as http:
        for origin in ("http://evil.example", "null", "file://", "http://localhost:3000", "", "x"):
            answer = await post(http, path, headers={"origin": origin})
            assert answer.status_code == 403
            assert is_envelope(answer)
            assert answer.json()["error"]["code"] == "origin_not_allowed"
            assert not [name for name in answer.headers if name.startswith("access-control")]
    assert service.asked() == []


async def test_a_page_may_ask_where_it_came_from_where_it_may_and_with_a_key(
    serving: Serving,
) -> None:
    async with serving() as service, service.http as http:
        own = await http.post(CHAT, json=chat(), headers={"origin": service.url})
    async with serving(gateway={"cors_origins": [f"{PAGE}/"]}) as service, service.http as http:
        known = await http.post(CHAT, json=chat(), headers={"origin": PAGE})
    async with serving(keys=frozenset({"key-a"})) as service, service.http as http:
        headers = {"origin": "https://else.example", "authorization": "Bearer key-a"}
        keyed = await http.post(CHAT, json=chat(), headers=headers)
    assert [own.status_code, known.status_code, keyed.status_code] == [200, 200, 200]
    assert "access-control-allow-origin" not in keyed.headers


def preflight(origin: str, method: str = "POST") -> dict[str, str]:
    return {
        "origin": origin,
        "access-control-request-method": method,
        "access-control-request-headers": "authorization,content-type,x-stainless-os",
    }


@pytest.mark.parametrize("path", [*KEYED, "/healthz"])
async def test_a_configured_page_learns_without_a_key_that_it_may_ask(
    serving: Serving, path: str
) -> None:
    settings: Any = {"keys": frozenset({"key-a"}), "gateway": {"cors_origins": [PAGE]}}
    async with serving(**settings) as service, service.http as http:
        answer = await http.options(path, headers=preflight(PAGE))
        key = {"origin": PAGE, "authorization": "Bearer key-a"}
        real = await post(http, path, headers=key) if path in KEYED else answer
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert "authorization" in answer.headers["access-control-allow-headers"]
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert real.status_code == 200
    assert real.headers["access-control-allow-origin"] == PAGE
    if path in KEYED:
        exposed = set(real.headers["access-control-expose-headers"].split(", "))
        assert exposed >= ALWAYS | {"retry-after", "x-smallfirst-attempts"}


async def test_a_page_can_read_why_it_was_refused(serving: Serving) -> None:
    settings: Any = {"keys": frozenset({"key-a"}), "gateway": {"cors_origins": [PAGE]}}
    async with serving(**settings) as service, service.http as http:
        answer = await http.post(CHAT, json=chat(), headers={"origin": PAGE})
    assert answer.status_code == 401
    assert answer.headers["access-control-allow-origin"] == PAGE


async def refused_preflight(http: httpx.AsyncClient, headers: dict[str, str]) -> httpx.Response:
    answer = await http.options(CHAT, headers=headers)
    assert "access-control-allow-origin" not in answer.headers
    assert answer.headers.keys() >= ALWAYS
    return answer


async def test_nothing_is_allowed_to_other_pages(serving: Serving) -> None:
    async with serving(gateway={"cors_origins": [PAGE]}) as service, service.http as http:
        for origin in ("https://evil.example", "http://app.example.com", f"{PAGE}.evil.example"):
            answer = await refused_preflight(http, preflight(origin))
            assert answer.status_code == 403 and is_envelope(answer)
        answer = await refused_preflight(http, preflight(PAGE, "DELETE"))
        assert answer.status_code == 403
    async with serving() as service, service.http as http:
        answer = await refused_preflight(http, preflight(PAGE))
        assert answer.status_code == 204
        assert answer.headers["allow"] == "OPTIONS, POST"


async def test_every_page_may_ask_where_that_is_configured(serving: Serving) -> None:
    async with serving(gateway={"cors_origins": ["*"]}) as service, service.http as http:
        answer = await http.post(CHAT, json=chat(), headers={"origin": "null"})
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", CHAT, 405, "OPTIONS, POST"),
        ("HEAD", CHAT, 405, "OPTIONS, POST"),
        ("PUT", "/v1/completions", 405, "OPTIONS, POST"),
        ("OPTIONS", CHAT, 204, "OPTIONS, POST"),
        ("OPTIONS", "/v1/models", 204, "GET, HEAD, OPTIONS"),
        ("OPTIONS", "/v1/models/auto", 204, "GET, HEAD, OPTIONS"),
        ("OPTIONS", "/readyz", 204, "GET, HEAD, OPTIONS"),
        ("POST", "/health", 405, "GET, HEAD, OPTIONS"),
        ("HEAD", "/v1/models", 200, None),
    ],
)
async def test_a_path_says_which_methods_it_takes(
    serving: Serving, method: str, path: str, status: int, allow: str | None
) -> None:
    async with serving() as service, service.http as http:
        answer = await http.request(method, path)
    assert (answer.status_code, answer.headers.get("allow")) == (status, allow)
    assert answer.headers.keys() >= ALWAYS
