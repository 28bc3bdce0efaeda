"""Keys, caps and limits as clients and administrators meet them over HTTP."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.requests import Request

from deployments.accounting import accounts as accounts_module
from deployments.http.api_keys import Caller
from deployments.http.headers import hints
from deployments.privacy.policy import Subject
from deployments.store.balances import differences
from tests.accounts import World, key_of
from tests.api.conftest import Service, in_process, over_http

ADMIN = {"authorization": "Bearer the-admin"}
# 1 USD a thousand tokens at the large tier, a hundredth at the small one.
PRICED = {
    "small_tier": {"usd_per_million_prompt_tokens": 10, "usd_per_million_completion_tokens": 10},
    "large_tier": {
        "usd_per_million_prompt_tokens": 1000,
        "usd_per_million_completion_tokens": 1000,
    },
}
BODY = {"model": "auto", "max_tokens": 10, "messages": [{"role": "user", "content": "Hi"}]}


@pytest.fixture(autouse=True)
def _reports_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts_module, "REPORT_EVERY_S", 0.005)


class Desk:
    """An administrator and its clients, over one service."""

    def __init__(self, service: Service, world: World, http: httpx.AsyncClient) -> None:
        self.service, self.world, self.http = service, world, http

    async def make(self, name: str = "service", **body: Any) -> Any:
        made = await self.http.post("/admin/keys", json={"name": name, **body}, headers=ADMIN)
        await self.reported()
        return made.json()

    async def post(self, path: str, **body: Any) -> httpx.Response:
        answer = await self.http.post(f"/admin/keys/{path}", json=body, headers=ADMIN)
        await self.reported()
        return answer

    async def ask(self, text: str | None, **changes: Any) -> httpx.Response:
        headers = {} if text is None else {"authorization": f"Bearer {text}"}
        body = {name: v for name, v in {**BODY, **changes}.items() if v is not None}
        answer = await self.http.post("/v1/chat/completions", json=body, headers=headers)
        await self.reported()
        return answer

    async def reported(self) -> None:
        await self.world.gateways[0].report()


@asynccontextmanager
async def desk(tmp_path: Path, **settings: Any) -> AsyncIterator[Desk]:
    world = World(tmp_path, real_time=True)
    async with in_process(accounts=world, **{**PRICED, **settings}) as service:
        transport = httpx.ASGITransport(service.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            yield Desk(service, world, http)
        await world.close()


def code(answer: httpx.Response) -> tuple[int, Any]:
    body = answer.json()
    return answer.status_code, body.get("error", {}).get("code")


async def test_a_key_is_made_used_shown_and_revoked(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        assert (await at.ask(None)).status_code == 200, "open while there is no key at all"
        made = await at.make(limits={"tenant": "acme", "usd": {"month": 5}})
        assert made["api_key"].startswith(f"sf-{made['key_id']}-")
        assert code(await at.ask(None)) == (401, "invalid_api_key")
        assert (await at.ask(made["api_key"])).status_code == 200
        assert (at.service.records[-1].key_id, at.service.records[-1].tenant) == (
            made["key_id"],
            "acme",
        )
        shown = (await at.http.get(f"/admin/keys/{made['key_id']}", headers=ADMIN)).json()
        (cap,) = shown["standing"]
        assert (cap["period"], cap["cap_usd"]) == ("month", 5)
        assert cap["settled_usd"] > 0
        listed = (await at.http.get("/admin/keys", headers=ADMIN)).json()
        assert [key["status"] for key in listed["data"]] == ["active"]
        for document in (shown, listed):
            assert made["api_key"].split("-", 2)[2] not in str(document)
        assert (await at.post(f"{made['key_id']}/revoke")).json()["status"] == "revoked"
        assert code(await at.ask(made["api_key"])) == (401, "invalid_api_key")
        assert "revoked" in (await at.ask(made["api_key"])).text
        (stored,) = at.world.run("SELECT record FROM api_keys")[0]
        assert made["api_key"].split("-", 2)[2] not in stored


async def test_a_wrong_secret_of_a_known_key_opens_nothing(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        made = await at.make()
        wrong = made["api_key"][:-1] + ("A" if made["api_key"][-1] != "A" else "B")
        for text in (wrong, made["api_key"] + "A", made["key_id"], f"sf-{made['key_id']}-"):
            assert code(await at.ask(text)) == (401, "invalid_api_key")


async def test_both_secrets_open_while_a_rotation_overlaps(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        made = await at.make()
        fresh = (await at.post(f"{made['key_id']}/rotate", overlap_s=3600)).json()
        assert fresh["key_id"] == made["key_id"]
        for text in (made["api_key"], fresh["api_key"]):
            assert (await at.ask(text)).status_code == 200
        last = (await at.post(f"{made['key_id']}/rotate", overlap_s=0)).json()
        assert [
            (await at.ask(text)).status_code
            for text in (made["api_key"], fresh["api_key"], last["api_key"])
        ] == [401, 401, 200]


async def test_a_key_ends_with_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with desk(tmp_path) as at:
        made = await at.make(expires_in_s=3600)
        assert (await at.ask(made["api_key"])).status_code == 200
        later = time.time() + 3601
        monkeypatch.setattr("deployments.http.api_keys.time.time", lambda: later)
        assert "expired" in (await at.ask(made["api_key"])).text


async def test_a_key_has_what_it_may_have_and_nothing_else(tmp_path: Path) -> None:
    async with desk(tmp_path, score=0.99) as at:
        small = (await at.make("small", limits={"tiers": ["small"]}))["api_key"]
        answer = await at.ask(small)
        assert answer.headers["x-smallfirst-tier"] == "small"
        assert answer.headers["x-smallfirst-cause"] == "api_key"
        assert code(await at.ask(small, model="large")) == (403, "not_permitted")
        auto = (await at.make("auto", limits={"models": ["auto"]}))["api_key"]
        assert (await at.ask(auto)).headers["x-smallfirst-tier"] == "large"
        assert code(await at.ask(auto, model="small")) == (403, "not_permitted")


def test_the_privacy_policy_hears_whose_request_it_is() -> None:
    key = key_of("abc", tenant="acme", local_only=True)
    request = Request({"type": "http", "headers": [], "state": {"caller": Caller("abc", key)}})
    assert hints(request).subject == Subject("abc", "acme", local_only=True)
    nobody = Request({"type": "http", "headers": [], "state": {"caller": Caller()}})
    assert hints(nobody).subject == Subject()


async def test_over_its_cap_a_key_is_told_so_as_openai_does(tmp_path: Path) -> None:
    async with desk(tmp_path, score=0.99) as at:
        key = (await at.make(limits={"usd": {"day": 1}}))["api_key"]
        passed = await at.ask(key)
        assert passed.status_code == 200
        assert float(passed.headers["x-smallfirst-budget-remaining"]) < 1
        answers = [await at.ask(key, model="large", max_tokens=50) for _ in range(40)]
        over = [answer for answer in answers if answer.status_code != 200]
        assert over
        assert code(over[0]) == (429, "insufficient_quota")
        assert over[0].json()["error"]["type"] == "insufficient_quota"
        assert 0 < int(over[0].headers["retry-after"]) <= 86_400
        assert at.world.run("SELECT MAX(settled + held) FROM balances")[0][0] <= 10**9
        assert [answer.status_code for answer in answers[-len(over) :]] == [429] * len(over)


async def test_over_its_cap_a_key_may_stay_on_the_small_tier(tmp_path: Path) -> None:
    async with desk(tmp_path, score=0.99) as at:
        limits = {"usd": {"day": 0.3}, "on_exceed": "small_only"}
        key = (await at.make(limits=limits))["api_key"]
        answers = [await at.ask(key) for _ in range(8)]
        went = [(a.headers["x-smallfirst-tier"], a.headers["x-smallfirst-cause"]) for a in answers]
        assert ("small", "budget_exhausted") in went
        assert {answer.status_code for answer in answers} == {200}
        # Who names the large tier is not answered by another.
        assert code(await at.ask(key, model="large")) == (429, "insufficient_quota")
        assert at.world.run("SELECT MAX(settled + held) FROM balances")[0][0] <= 3 * 10**8


async def test_200_parallel_requests_never_spend_more_than_the_cap(tmp_path: Path) -> None:
    async with desk(tmp_path, score=0.99, large={"max_num_seqs": 256}) as at:
        key = (await at.make(limits={"usd": {"hour": 20}}))["api_key"]
        answers = await asyncio.gather(*(at.ask(key) for _ in range(200)))
        codes = [answer.status_code for answer in answers]
        assert set(codes) == {200, 429}
        await at.reported()
        ((spent,),) = at.world.run("SELECT SUM(cost_nano_usd) FROM ledger")
        assert 0 < spent <= 20 * 10**9


async def test_a_request_without_a_limit_is_given_one_only_where_a_cap_binds(
    tmp_path: Path,
) -> None:
    async with desk(tmp_path, small={"mean_completion_tokens": 5}) as at:
        free = (await at.make("free"))["api_key"]
        await at.ask(free, max_tokens=None)
        bound = (await at.make("bound", limits={"usd": {"day": 1000}}))["api_key"]
        await at.ask(bound, max_tokens=None)
        first, second = at.service.handles["small"].requests
        assert "max_completion_tokens" not in first.body
        assert second.body["max_completion_tokens"] == 2048


async def test_streams_cost_what_documents_cost_and_leavers_pay_what_was_made(
    tmp_path: Path,
) -> None:
    world = World(tmp_path, real_time=True)
    async with over_http(accounts=world, **PRICED) as service, service.http as http:
        made = await http.post("/admin/keys", json={"name": "a"}, headers=ADMIN)
        await world.gateways[0].report()
        headers = {"authorization": f"Bearer {made.json()['api_key']}"}
        for stream in (False, True):
            body = {**BODY, "stream": stream}
            await http.post("/v1/chat/completions", json=body, headers=headers)
        body = {**BODY, "stream": True, "max_tokens": 500}
        async with http.stream("POST", "/v1/chat/completions", json=body, headers=headers) as left:
            async for _ in left.aiter_bytes():
                break
        for _ in range(400):
            if len(service.records) == 3:
                break
            await asyncio.sleep(0.01)
        await world.gateways[0].report()
        rows = world.run("SELECT outcome, cost_nano_usd FROM ledger ORDER BY record_id")
        assert [outcome for outcome, _ in rows] == ["ok", "ok", "cancelled"]
        assert rows[0][1] == rows[1][1] > 0
        assert 0 < rows[2][1] < 500 * 10_000
        assert world.owner.books.work(lambda db: list(differences(db))) == []
        await world.close()


async def test_limits_are_said_and_kept(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        limits = {"requests_per_minute": 2, "tokens_per_minute": 100_000}
        key = (await at.make(limits=limits))["api_key"]
        first, _, third = [await at.ask(key) for _ in range(3)]
        assert first.headers["x-ratelimit-limit-requests"] == "2"
        assert first.headers["x-ratelimit-remaining-requests"] == "1"
        assert int(first.headers["x-ratelimit-remaining-tokens"]) < 100_000
        assert first.headers["x-ratelimit-reset-requests"].endswith("s")
        assert code(third) == (429, "rate_limit_exceeded")
        assert third.headers["x-ratelimit-remaining-requests"] == "0"
        assert 0 < int(third.headers["retry-after"]) <= 60


async def test_one_id_for_two_requests_is_two_records(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        for _ in range(2):
            await at.http.post("/v1/chat/completions", json=BODY, headers={"x-request-id": "mine"})
        await at.reported()
        assert at.world.run("SELECT request_id FROM ledger") == [("mine",), ("mine",)]


async def test_what_is_refused_is_booked_to_who_asked_and_strangers_to_nobody(
    tmp_path: Path,
) -> None:
    async with desk(tmp_path) as at:
        text = (await at.make(limits={"tenant": "acme"}))["api_key"]

        async def booked(text: str | None, **changes: Any) -> tuple[int, str, str]:
            answer = await at.ask(text, **changes)
            last = at.service.records[-1]
            return answer.status_code, last.key_id, last.tenant

        key_id = text.split("-")[1]
        assert await booked(text) == (200, key_id, "acme")
        assert await booked(text, messages="none") == (400, key_id, "acme")
        assert await booked(text, model="nobodys") == (404, key_id, "acme")
        assert await booked("sf-000000000000-" + "A" * 43) == (401, "", "")
        assert await booked(None) == (401, "", "")


async def test_savings_are_of_the_callers_key_alone(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        assert (await at.ask(None)).status_code == 200
        mine, other = [(await at.make(name))["api_key"] for name in ("mine", "other")]
        for _ in range(3):
            await at.ask(mine)

        async def requests(text: str, path: str = "/v1/savings") -> int:
            answer = await at.http.get(path, headers={"authorization": f"Bearer {text}"})
            return int(answer.json()["total"]["requests"])

        assert [await requests(mine), await requests(other)] == [3, 0]
        assert await requests("the-admin", "/admin/savings") == 4
        # Where nobody needs a key, a stranger sees what had none.
        settings: dict[str, Any] = {"accounts": at.world, "keys_due": False}
        async with in_process(**settings) as open_to_all:
            transport = httpx.ASGITransport(open_to_all.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
                assert (await http.get("/v1/savings")).json()["total"]["requests"] == 1


async def test_a_cap_below_one_request_says_so(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        text = (await at.make(limits={"usd": {"day": 0.001}}))["api_key"]
        answer = await at.ask(text)
        assert code(answer) == (429, "insufficient_quota")
        assert "more than the whole of the day's cap 0.001 USD" in answer.text
        assert int(answer.headers["retry-after"]) > 0


@pytest.mark.parametrize("usd", [{"day": 0}, {"hour": 0}, {"day": 0, "month": 5}])
async def test_a_cap_of_nothing_lets_only_through_what_is_free(
    tmp_path: Path, usd: dict[str, float]
) -> None:
    free = {"usd_per_million_prompt_tokens": 0, "usd_per_million_completion_tokens": 0}
    async with desk(tmp_path, small_tier=free) as at:
        text = (await at.make(limits={"usd": usd}))["api_key"]
        assert code(await at.ask(text, model="large")) == (429, "insufficient_quota")
        assert (await at.ask(text, model="small")).status_code == 200
        soft = (await at.make("soft", limits={"usd": usd, "on_exceed": "small_only"}))["api_key"]
        answer = await at.ask(soft)
        assert (answer.status_code, answer.headers["x-smallfirst-tier"]) == (200, "small")


# -- bad input --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "name"),
        ({"name": 5}, "name: must be a string"),
        ({"name": "a", "limits": 7}, "limits: must be an object"),
        ({"name": "a", "limits": []}, "limits: must be an object"),
        ({"name": "a", "limits": ""}, "limits: must be an object"),
        ({"name": "a", "limits": False}, "limits: must be an object"),
        ({"name": "a", "limits": {"models": [""]}}, "must be 1 to 200 printable"),
        ({"name": "a", "limits": {"models": ["a\nb"]}}, "must be 1 to 200 printable"),
        ({"name": "a/b"}, "name: must be 1 to 64"),
        ({"name": "a\nb"}, "name: must be 1 to 64"),
        ({"name": "a", "limits": {"tenant": "a/b"}}, "tenant: must be"),
        ({"name": "a", "limits": {"usd": {"day": -1}}}, "greater than or equal to 0"),
        ({"name": "a", "limits": {"usd": {"day": 1e-12}}}, "under a nano-USD"),
        ({"name": "a", "limits": {"usd": {"day": 5, "month": 1}}}, "could never bind"),
        ({"name": "a", "limits": {"usd": {"week": 5}}}, "unknown key"),
        ({"name": "a", "limits": {"requests_per_minute": 0}}, "greater than or equal to 1"),
        ({"name": "a", "limits": {"tiers": []}}, "at least one"),
        ({"name": "a", "limits": {"models": []}}, "name at least one"),
        ({"name": "a", "expires_in_s": -5}, "expires_in_s"),
        ({"name": "a", "expires_in_s": "soon"}, "expires_in_s"),
        ({"name": "a", "secret": "x"}, "'secret' is unknown"),
    ],
)
async def test_a_key_that_nobody_can_mean_is_refused(
    tmp_path: Path, body: dict[str, Any], said: str
) -> None:
    async with desk(tmp_path) as at:
        answer = await at.http.post("/admin/keys", json=body, headers=ADMIN)
        assert answer.status_code == 400
        assert said in answer.json()["error"]["message"]
        assert at.world.owner.books.keys == {}


async def test_a_cap_on_what_nobody_priced_is_refused(tmp_path: Path) -> None:
    async with desk(tmp_path, small_tier={}, large_tier={}) as at:
        made = await at.make(limits={"usd": {"day": 1}})
        assert "nobody knows what sim-small and sim-large cost" in made["error"]["message"]


@pytest.mark.parametrize("query", ["api_key=abc", "key=1", "Token=x", "x-api-key=q"])
async def test_a_key_in_a_url_is_refused_before_it_is_looked_at(tmp_path: Path, query: str) -> None:
    async with desk(tmp_path) as at:
        made = await at.make()
        for with_key in (query, f"a={made['api_key']}"):
            answer = await at.http.post(f"/v1/chat/completions?{with_key}", json=BODY)
            assert answer.status_code == 400
            assert "ends up in logs" in answer.text
            assert made["api_key"] not in answer.text


@pytest.mark.parametrize(
    "path",
    [
        "/v1/models/{}", "/admin/keys/{}", "/admin/keys/{}/rotate", "/{}", "/v1/chat/{}/x",
        "/v1/models/a%3F{}", "/v1/models/a%2F{}", "/nothing?{}", "/v1/models?{}=",
        "/nothing/{}?a=b",
    ],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_key_in_a_path_is_refused_and_not_said_back(
    tmp_path: Path, path: str, method: str
) -> None:
    async with desk(tmp_path) as at:
        made = await at.make()
        answer = await at.http.request(method, path.format(made["api_key"]), headers=ADMIN)
        assert made["api_key"].split("-", 2)[2] not in answer.text
        assert answer.status_code in (400, 405)
        assert answer.status_code == 405 or "ends up in logs" in answer.text
        shown = await at.http.get(f"/admin/keys/{made['key_id']}", headers=ADMIN)
        assert shown.json()["status"] == "active"


async def test_the_administration_has_keys_of_its_own(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        made = await at.make()
        key = {"authorization": f"Bearer {made['api_key']}"}
        assert code(await at.http.get("/admin/keys", headers=key)) == (401, "invalid_api_key")
        assert code(await at.http.get("/admin/keys")) == (401, "invalid_api_key")
        assert code(await at.ask("the-admin")) == (401, "invalid_api_key")
        assert code(await at.http.get("/admin/keys/nobody", headers=ADMIN))[0] == 404
        long = {"authorization": f"Bearer {'a' * 5000}"}
        assert code(await at.http.get("/admin/keys", headers=long)) == (401, "invalid_api_key")
        again = await at.http.post("/admin/keys", json={"name": "service"}, headers=ADMIN)
        assert again.status_code == 409


async def test_without_administration_its_paths_are_unknown() -> None:
    async with in_process() as service:
        transport = httpx.ASGITransport(service.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            assert code(await http.get("/admin/keys", headers=ADMIN)) == (404, "unknown_url")
