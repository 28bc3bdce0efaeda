"""Every kind of client that an endpoint meets in a day, at a constant rate."""

import asyncio
import random
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

TIMEOUT_S = 120.0
SESSIONS = 40
TURNS = 30
Body = dict[str, Any]


@dataclass(frozen=True)
class Ask:
    """One request, what its client does with the answer, and the statuses that are right."""

    kind: str
    body: Body | bytes
    path: str = "/v1/chat/completions"
    headers: dict[str, str] = field(default_factory=dict)
    right: tuple[int, ...] = (200,)
    leaves_after_chunks: int | None = None
    leaves_after_s: float | None = None


@dataclass
class Seen:
    """What came of the requests: by kind and outcome, and which ids got a status."""

    outcomes: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    answered: set[str] = field(default_factory=set)
    left: set[str] = field(default_factory=set)


class Clients:
    """Draws requests; sessions grow a turn at a time and are replaced when they are long."""

    def __init__(self, seed: int) -> None:
        self._draw = random.Random(seed)
        self._sessions: list[tuple[str, list[Body]]] = [new_session() for _ in range(SESSIONS)]
        kinds: dict[Callable[[], Ask], int] = {
            self._document: 20,
            self._stream: 20,
            self._turn: 25,
            self._passer_by: 10,
            self._hang_up: 7,
            self._impatient: 3,
            self._responses: 4,
            self._messages: 4,
            self._unknown_model: 2,
            self._broken: 2,
            self._wrong_field: 2,
            self._failing: 1,
        }
        self._kinds, self._weights = list(kinds), list(kinds.values())

    def next(self) -> Ask:
        """A request of some kind."""
        (kind,) = self._draw.choices(self._kinds, self._weights)
        return kind()

    def _document(self) -> Ask:
        return Ask("document", self._chat())

    def _stream(self) -> Ask:
        return Ask("stream", self._chat(stream=True))

    def _turn(self) -> Ask:
        """The next turn of a long conversation."""
        place = self._draw.randrange(SESSIONS)
        session, said = self._sessions[place]
        if len(said) >= 2 * TURNS:
            session, said = self._sessions[place] = new_session()
        said.append({"role": "user", "content": self._words(20)})
        body = self._chat(messages=list(said), stream=bool(self._draw.getrandbits(1)))
        said.append({"role": "assistant", "content": self._words(40)})
        return Ask("turn of a session", body, headers={"x-smallfirst-session": session})

    def _passer_by(self) -> Ask:
        """A session that is never seen again."""
        headers = {"x-smallfirst-session": uuid.uuid4().hex}
        return Ask("session seen once", self._chat(), headers=headers)

    def _hang_up(self) -> Ask:
        body = self._chat(stream=True, max_tokens=200)
        return Ask("hangs up in a stream", body, leaves_after_chunks=self._draw.randint(1, 8))

    def _impatient(self) -> Ask:
        body = self._chat(max_tokens=200)
        return Ask("leaves before its document", body, leaves_after_s=self._draw.uniform(0, 0.5))

    def _responses(self) -> Ask:
        body = {"model": "auto", "input": self._words(12), "max_output_tokens": 20}
        return Ask("responses", body | self._maybe_stream(), "/v1/responses")

    def _messages(self) -> Ask:
        body = {**self._chat(), "max_tokens": 20} | self._maybe_stream()
        return Ask("messages", body, "/v1/messages")

    def _unknown_model(self) -> Ask:
        body = self._chat(model=f"gpt-{uuid.uuid4().hex}")
        return Ask("model that does not exist", body, right=(404,))

    def _broken(self) -> Ask:
        return Ask("broken JSON", b'{"model": "auto", "messages": [', right=(400,))

    def _wrong_field(self) -> Ask:
        return Ask("wrong field", self._chat(temperature="warm"), right=(400,))

    def _failing(self) -> Ask:
        """The engine cuts its answer; a document is answered by the other tier."""
        body = self._chat(model="small", user="drill:cut", stream=True)
        return Ask("engine cuts the answer", body, right=(200, 500, 502, 503))

    def _chat(self, **fields: Any) -> Body:
        messages = [{"role": "user", "content": self._words(12)}]
        body = {"model": "auto", "messages": messages, "max_tokens": self._draw.randint(1, 40)}
        return body | fields

    def _maybe_stream(self) -> Body:
        return {"stream": bool(self._draw.getrandbits(1))}

    def _words(self, most: int) -> str:
        count = self._draw.randint(1, most)
        return " ".join(self._draw.choice(WORDS) for _ in range(count))


WORDS = (
    *("please", "sort", "these", "numbers", "why", "does", "the", "pump", "stop", "when", "rain"),
    *(
        "comes",
        "compare",
        "two",
        "plans",
        "for",
        "a",
        "small",
        "town",
        "translate",
        "bread",
        "list",
    ),
    *("three", "rivers", "explain", "how", "contracts", "end", "write", "short", "note"),
)


def new_session() -> tuple[str, list[Body]]:
    """An id and nothing said yet."""
    return uuid.uuid4().hex, []


async def send(client: httpx.AsyncClient, ask: Ask, seen: Seen) -> None:
    """Send one request as its client would, and note what came of it."""
    request_id = uuid.uuid4().hex
    seen.left.add(request_id)  # until it has a status
    content: dict[str, Any] = (
        {"content": ask.body} if isinstance(ask.body, bytes) else {"json": ask.body}
    )
    headers = {"content-type": "application/json", "x-request-id": request_id, **ask.headers}
    try:
        async with asyncio.timeout(ask.leaves_after_s):
            async with client.stream("POST", ask.path, headers=headers, **content) as answer:
                seen.left.discard(request_id)
                seen.answered.add(answer.headers["x-smallfirst-request-id"])
                await read(answer, ask.leaves_after_chunks)
        right = answer.status_code in ask.right
        seen.outcomes[f"{ask.kind}: {answer.status_code}"] += 1
        if not right:
            seen.wrong[f"{ask.kind}: {answer.status_code}"] += 1
    except TimeoutError:
        seen.outcomes[f"{ask.kind}: left"] += 1
    except httpx.HTTPError as error:
        seen.outcomes[f"{ask.kind}: {type(error).__name__}"] += 1
        seen.wrong[f"{ask.kind}: {type(error).__name__}"] += 1


async def read(answer: httpx.Response, most_chunks: int | None) -> None:
    """Read an answer, or its first chunks."""
    chunks = 0
    async for _ in answer.aiter_raw():
        chunks += 1
        if chunks == most_chunks:
            return


async def load(url: str, per_s: float, seconds: float, seen: Seen, seed: int = 0) -> None:
    """`per_s` requests a second for so long; returns when the last one has ended."""
    clients, loop = Clients(seed), asyncio.get_running_loop()
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=50)
    async with (
        httpx.AsyncClient(
            base_url=url, timeout=TIMEOUT_S, limits=limits, trust_env=False
        ) as client,
        asyncio.TaskGroup() as sent,
    ):
        due_s = loop.time()
        ends_s = due_s + seconds
        while due_s < ends_s:
            sent.create_task(send(client, clients.next(), seen))
            due_s += 1 / per_s
            await asyncio.sleep(max(0.0, due_s - loop.time()))
