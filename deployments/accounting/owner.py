"""The owner of the accounts: takes reports in turn, books, grants and refuses. Knows no Ray."""

import hashlib
import logging
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from deployments.accounting.books import Books
from deployments.accounting.rate_limits import RateLimits
from deployments.accounting.turns import Draw, Granted, Refused, Reply, Report
from deployments.settings.api_key import NANO_USD, ApiKey, Limits, UsdCaps
from deployments.store.balances import (
    ALL,
    HOUR_S,
    CapReachedError,
    Caps,
    Standing,
    hour_of,
    standing,
    windows,
)
from deployments.store.capacity import add_capacity
from deployments.store.database import Database, StoreError
from deployments.store.key_table import put_key
from deployments.store.leases import Lease, gateways, grant, note_open, reconcile, sweep
from deployments.store.records import PRUNED_AT_ONCE, book, prune

log = logging.getLogger("ray.serve")

# A gateway that has said nothing for so long is gone: what it held is free again, and its open
# requests are booked. A gateway that cannot be heard stops using what it holds before that.
SILENT_S = 10.0
PRUNE_EVERY_S = 600.0
LOOK_EVERY_S = 30.0
# A longer pause between two reports says nothing of how many replicas ran in it.
METERED_S = 5.0


class Clock(NamedTuple):
    """Two clocks: the wall's, for windows, and one that never jumps, for silence."""

    now_s: Callable[[], float] = time.time
    steady_s: Callable[[], float] = time.monotonic


SYSTEM = Clock()


@dataclass(frozen=True, slots=True)
class Rules:
    """What the config says of the accounts."""

    usd: UsdCaps = field(default_factory=UsdCaps)
    ledger_days: int = 90
    # What a replica of each tier costs, nano-USD per second, used or idle.
    replica_nano_usd_per_s: Mapping[str, int] = field(default_factory=dict)


class Owner:
    """Answers one report at a time; everything of it in one transaction."""

    def __init__(
        self,
        open_store: Callable[[bool], Database],
        rules: Rules,
        lost: Callable[[int], None],
        clock: Clock = SYSTEM,
    ) -> None:
        self.rules = rules
        self._clock = clock
        self._limits = RateLimits()
        self.books = Books(open_store, self.caps_of, lost, clock.steady_s)
        self._version = _version(self.books.keys)
        self._life = uuid.uuid4().hex
        self._heard = dict[str, float]()
        self._looked_s = float("-inf")
        self._metered_s = self._pruned_s = clock.steady_s()

    def turn(self, report: Report) -> Reply:
        """Book what the report says, sweep who is silent, and answer each draw."""
        now_s = self._clock.steady_s()
        self._heard[report.gateway] = now_s
        self._limits.said(report.gateway, report.parallel)
        held = self._held_since(report.running)
        silent = [name for name, at_s in self._heard.items() if now_s - at_s > SILENT_S]
        reply = self.books.work(
            lambda db: self._turn(db, report, held, silent), list(report.records)
        )
        for gateway in silent:
            self._limits.said(gateway, {})
            del self._heard[gateway]
        trouble = self.books.trouble
        # The store may have come back with other keys than those known so far.
        self._version = _version(self.books.keys)
        same = report.keys_version == self._version
        return Reply(
            reply.leases,
            reply.answers,
            self._version,
            None if same else self.books.keys,
            trouble,
            self._life,
        )

    def put_key(self, key: ApiKey, *, at_once: bool = False) -> None:
        """Keep a key, new or changed; every gateway knows it with its next report.

        `at_once`: also while the store fails, which keeps it when it is back: a key that is revoked
        shall not open meanwhile. Raises: `StoreError` where the store fails.
        """
        if self.books.trouble and not at_once:
            raise StoreError(self.books.trouble)
        self.books.work(lambda db: put_key(db, key))
        self.books.keys = {**self.books.keys, key.key_id: key}

    def caps_of(self, key_id: str) -> dict[str, Caps]:
        """The caps of a key and those of all."""
        key = self.books.keys.get(key_id)
        own = key.limits.usd if key else UsdCaps()
        return {f"key:{key_id}": Caps(*own.nano_usd()), ALL: Caps(*self.rules.usd.nano_usd())}

    def standing(self, key_id: str) -> list[dict[str, Any]]:
        """What is settled and held in each window of now that has a cap, USD."""
        caps = self.caps_of(key_id)
        now = windows(key_id, hour_of(self._clock.now_s()))
        found = self.books.work(
            lambda db: [standing(db, w, getattr(caps[w.scope], w.period)) for w in now]
        )
        return [
            {
                "scope": one.window.scope,
                "period": one.window.period,
                "ends_s": one.window.end,
                "cap_usd": one.cap / NANO_USD,
                "settled_usd": one.settled / NANO_USD,
                "held_usd": one.held / NANO_USD,
            }
            for one in found
            if one.cap is not None
        ]

    def _turn(
        self,
        db: Database,
        report: Report,
        held: dict[str, tuple[int, int]],
        silent: list[str],
    ) -> Reply:
        now_s = self._clock.now_s()
        if report.records:
            book(db, report.records)
        caps = {lease.key_id: self.caps_of(lease.key_id) for lease in report.leases}
        kept = reconcile(db, report.gateway, report.leases, caps)
        if report.open is not None:
            note_open(db, report.gateway, report.open)
        if held:
            add_capacity(db, now_s, held)
        self._sweep(db, silent)
        self._prune(db, now_s)
        answers = [self._answer(db, report.gateway, draw, now_s) for draw in report.draws]
        return Reply(kept, answers)

    def _answer(self, db: Database, gateway: str, draw: Draw, now_s: float) -> Granted | Refused:
        hour = hour_of(now_s)
        limits = self._limits_of(draw.key_id) if draw.requests else Limits()
        if short := self._limits.short(draw.key_id, limits, draw.tokens, now_s):
            return Refused(
                short.lacks,
                f"key:{draw.key_id}",
                "minute",
                short.limit,
                short.left,
                short.retry_after_s,
            )
        caps, nano_usd, left = self.caps_of(draw.key_id), 0, -1
        try:
            if any(caps.values()):
                nano_usd, left = grant(db, gateway, Lease(draw.key_id, hour, draw.nano_usd), caps)
        except CapReachedError as full:
            return _over(full.standing, now_s)
        allowed = self._limits.take(gateway, draw.key_id, limits, draw.tokens, now_s)
        return Granted(
            draw.key_id,
            hour,
            hour + HOUR_S - now_s,
            nano_usd,
            left,
            allowed.minute_s,
            allowed.requests,
            allowed.requests_left,
            allowed.tokens,
            allowed.tokens_left,
        )

    def _limits_of(self, key_id: str) -> Limits:
        key = self.books.keys.get(key_id)
        return key.limits if key else Limits()

    def _sweep(self, db: Database, silent: list[str]) -> None:
        now_s = self._clock.steady_s()
        if now_s - self._looked_s > LOOK_EVERY_S:
            self._looked_s = now_s
            # One that was heard before a restart may still run: it gets its time to be heard.
            for gateway in gateways(db):
                self._heard.setdefault(gateway, now_s)
        for gateway in silent:
            lost = sweep(db, gateway)
            if lost:
                log.warning("accounts: gateway %s is gone with %d requests", gateway, lost)

    def _prune(self, db: Database, now_s: float) -> None:
        if self._clock.steady_s() - self._pruned_s > PRUNE_EVERY_S:
            dropped = prune(db, now_s, self.rules.ledger_days)
            # What is left goes with the next reports.
            if dropped < PRUNED_AT_ONCE:
                self._pruned_s = self._clock.steady_s()

    def _held_since(self, running: Mapping[str, int]) -> dict[str, tuple[int, int]]:
        """What replicas held since the last report of any gateway: milliseconds and nano-USD."""
        if not running:
            return {}
        now_s = self._clock.steady_s()
        passed_s = min(METERED_S, now_s - self._metered_s)
        self._metered_s = now_s
        return {
            tier: (round(n * passed_s * 1e3), round(n * passed_s * self._price(tier)))
            for tier, n in running.items()
            if n
        }

    def _price(self, tier: str) -> int:
        return self.rules.replica_nano_usd_per_s.get(tier, 0)


def _over(full: Standing, now_s: float) -> Refused:
    window = full.window
    left = max(0, full.left)
    return Refused(
        "usd", window.scope, window.period, full.cap or 0, left, max(1.0, window.end - now_s)
    )


def _version(keys: Mapping[str, ApiKey]) -> str:
    """A digest of the keys: it outlives the owner, and tells a gateway whether it knows them."""
    text = "\n".join(key.model_dump_json() for key in keys.values())
    return hashlib.sha256(text.encode()).hexdigest()
