"""What a gateway and the owner of the accounts say to each other: one report, one reply.

A gateway has one report under way at a time. It says everything anew that may have been lost with
an answer: what it holds, and the records that no reply has confirmed. During a rolling update the
two are of two releases: fields are named, those that a reader does not know are passed over, and a
new one has a default.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

import orjson

from deployments.settings.api_key import ApiKey
from deployments.store.leases import Lease
from deployments.store.records import Record

Row = TypeVar("Row", bound=tuple[Any, ...])


class Draw(NamedTuple):
    """What a request needs and its gateway does not hold."""

    key_id: str
    nano_usd: int
    tokens: int
    # 0: it was let through before and only needs more money.
    requests: int = 1


class Granted(NamedTuple):
    """What a gateway may use now, and what is left for others; -1: without a limit."""

    key_id: str
    hour: int
    # How long the hour, and with it every window, still lasts.
    valid_s: float
    # Leased with this grant.
    nano_usd: int
    nano_usd_left: int
    # In this minute, of which so much is left.
    minute_s: float
    requests: int
    requests_left: int
    tokens: int
    tokens_left: int


class Refused(NamedTuple):
    """Why a draw is not granted, and when it may be."""

    # `usd`, `requests`, `tokens` or `parallel`.
    lacks: str
    # The window of a cap: its scope, period and what it may spend, nano-USD.
    scope: str
    period: str
    cap: int
    left: int
    retry_after_s: float


@dataclass(frozen=True, slots=True)
class Report:
    """A gateway's turn to speak."""

    gateway: str
    records: Sequence[Record] = ()
    # What is under way; None: as last said.
    open: Sequence[Record] | None = None
    leases: Sequence[Lease] = ()
    # Requests under way, by key; of keys whose number is limited.
    parallel: dict[str, int] = field(default_factory=dict)
    draws: Sequence[Draw] = ()
    # Replicas by tier.
    running: dict[str, int] = field(default_factory=dict)
    # Of the keys that it knows.
    keys_version: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """The owner's answer."""

    # What the gateway may keep of what it said it holds; grants come on top.
    leases: Sequence[Lease] = ()
    # One for each draw.
    answers: Sequence[Granted | Refused] = ()
    keys_version: str = ""
    # None: those that the gateway knows.
    keys: dict[str, ApiKey] | None = None
    # What is wrong with the store; empty: nothing, and all that was ever reported is in it.
    trouble: str = ""
    # Which life of the owner this is: another one knows only what is in the store.
    owner: str = ""


def encode_report(report: Report) -> bytes:
    """A report as bytes."""
    return orjson.dumps(
        {
            "gateway": report.gateway,
            "records": _table(Record, report.records),
            "open": None if report.open is None else _table(Record, report.open),
            "leases": _table(Lease, report.leases),
            "parallel": report.parallel,
            "draws": _table(Draw, report.draws),
            "running": report.running,
            "keys_version": report.keys_version,
        }
    )


def decode_report(data: bytes) -> Report:
    """The report in the bytes."""
    said = orjson.loads(data)
    return Report(
        gateway=said["gateway"],
        records=_rows(Record, said["records"]),
        open=None if said["open"] is None else _rows(Record, said["open"]),
        leases=_rows(Lease, said["leases"]),
        parallel=said["parallel"],
        draws=_rows(Draw, said["draws"]),
        running=said["running"],
        keys_version=said["keys_version"],
    )


def encode_reply(reply: Reply) -> bytes:
    """A reply as bytes."""
    keys = reply.keys
    return orjson.dumps(
        {
            "leases": _table(Lease, reply.leases),
            "answers": [
                [isinstance(answer, Granted), _table(type(answer), [answer])]
                for answer in reply.answers
            ],
            "keys_version": reply.keys_version,
            "keys": None
            if keys is None
            else [key.model_dump(mode="json") for key in keys.values()],
            "trouble": reply.trouble,
            "owner": reply.owner,
        }
    )


def decode_reply(data: bytes) -> Reply:
    """The reply in the bytes."""
    said = orjson.loads(data)
    keys = None
    if said["keys"] is not None:
        keys = {key["key_id"]: ApiKey.model_validate(key) for key in said["keys"]}
    return Reply(
        leases=_rows(Lease, said["leases"]),
        answers=[
            _rows(Granted, table)[0] if granted else _rows(Refused, table)[0]
            for granted, table in said["answers"]
        ],
        keys_version=said["keys_version"],
        keys=keys,
        trouble=said["trouble"],
        owner=said.get("owner", ""),
    )


def _table(kind: type[Row], rows: Iterable[Row]) -> dict[str, Any]:
    return {"columns": _fields(kind), "rows": [list(row) for row in rows]}


def _rows(kind: type[Row], table: dict[str, Any]) -> list[Row]:
    columns: list[str] = table["columns"]
    known = _fields(kind)
    if columns == known:
        return [kind(*row) for row in table["rows"]]
    return [
        kind(**{k: v for k, v in zip(columns, row, strict=True) if k in known})
        for row in table["rows"]
    ]


def _fields(kind: type[Row]) -> list[str]:
    return list(kind._fields)  # type: ignore[attr-defined]  # every row is a NamedTuple
