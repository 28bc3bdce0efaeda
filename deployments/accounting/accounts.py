"""A gateway's side of the accounts: admits, settles, and reports to the owner beside the requests.

Most requests are admitted from what the gateway holds; others wait for one report. A request never
waits for the disk: its record goes with the next report, and again until it is confirmed. While the
owner is away, a request that a cap binds waits for it.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from deployments.accounting.owner import SILENT_S
from deployments.accounting.pending_draw import PendingDraw
from deployments.accounting.purse import Hold, Need, Purse
from deployments.accounting.turns import (
    Draw,
    Granted,
    Refused,
    Reply,
    Report,
    decode_reply,
    encode_report,
)
from deployments.accounting.waiting_records import PER_REPORT, WaitingRecords
from deployments.protocol.errors import AccountsUnavailable
from deployments.settings.api_key import ApiKey, Limits
from deployments.store.balances import hour_of
from deployments.store.leases import Lease
from deployments.store.records import Record

log = logging.getLogger("ray.serve")

REPORT_EVERY_S = 0.25
# What is open is said less often: it is only read when this gateway dies.
OPEN_EVERY_S = 1.0
# A gateway that is overloaded hears late; its leases last longer than this.
REPLY_S = 5.0
# How long a request that a cap binds waits for an owner that is away: as one takes to start.
OWNER_BACK_S = 20.0
# Before the owner takes back what a silent gateway holds, the gateway has stopped using it.
LEASED_S = SILENT_S * 0.7
OPEN = Limits()


class Sources(NamedTuple):
    """What the accounts read of their gateway for each report."""

    open: Callable[[], list[Record]]
    running: Callable[[], dict[str, int]]


class Accounts:
    """Holds a purse for each key that asks here."""

    def __init__(
        self,
        gateway: str,
        say: Callable[[bytes], Awaitable[bytes]],
        sources: Sources,
        records: WaitingRecords,
        capped: bool,
    ) -> None:
        """`say` hands a report to the owner; `capped`: there are caps on all keys together."""
        self._gateway = gateway
        self._say = say
        self._sources = sources
        self._capped = capped
        self._purses: dict[str, Purse] = {}
        self._records = records
        self._waiting: list[PendingDraw] = []
        self._wake = asyncio.Event()
        # A reply confirms what its report said: there is one of them at a time.
        self._turn = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []
        self._leased_until_s = self._open_said_s = float("-inf")
        self._down = False
        self._version = ""
        self.keys: Mapping[str, ApiKey] = {}
        """All keys of the store, by public id, as of the last report."""
        self.known = asyncio.Event()
        """Set once the owner has answered."""

    def start(self) -> None:
        """Begin to report, on the running event loop."""
        if not self._tasks:
            loops = (self._report_on(), self._records.keep_on())
            self._tasks = [asyncio.create_task(loop) for loop in loops]

    async def close(self) -> None:
        """Say the last word: nothing is held any more."""
        for task in self._tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        for _ in range(1 + len(self._records) // PER_REPORT):
            await self.report(last=True)
        await self._records.close()

    def purse(self, key_id: str) -> Purse:
        """What is held of a key here."""
        purse = self._purses.get(key_id)
        if purse is None:
            purse = self._purses[key_id] = Purse(key_id)
        return purse

    def free_of_caps(self, key: ApiKey | None) -> bool:
        """Whether no cap binds requests of this key."""
        return not self._capped and not (key and key.limits.usd.any)

    async def admit(self, key_id: str, key: ApiKey | None, need: Need) -> Hold | Refused:
        """What is held for a request, or why it may not run now.

        Raises: `AccountsUnavailable` where nobody can be asked who must be.
        """
        limits, purse = key.limits if key else OPEN, self.purse(key_id)
        if self.free_of_caps(key):
            need = need._replace(nano_usd=0)
        if purse.covers(need, limits, _steady_s(), self._leased_until_s):
            return purse.take(need, limits, hour_of(time.time()))
        answer = await self._answer_of(Draw(key_id, *need), limits, self._must_be_asked(key))
        if answer is not None:
            return answer
        return purse.take(need._replace(nano_usd=0), limits, hour_of(time.time()))

    async def cover(self, hold: Hold, nano_usd: int) -> Refused | None:
        """Hold so much for a request that runs, more or less than before; None: it is held.

        Raises: `AccountsUnavailable`, like `admit`.
        """
        purse, strict = self.purse(hold.key_id), self._must_be_asked(self.keys.get(hold.key_id))
        while not purse.extend(hold, nano_usd, self._leased_until_s, _steady_s()):
            more = Draw(hold.key_id, nano_usd - hold.nano_usd, 0, 0)
            answer = await self._answer_of(more, OPEN, strict)
            if not isinstance(answer, Hold):
                return answer
            if not purse.merge(hold, answer):
                # The hour has changed: it counts there, like a request that begins now.
                purse.extend(hold, 0, self._leased_until_s, _steady_s())
                hold.hour = answer.hour
        return None

    def _must_be_asked(self, key: ApiKey | None) -> bool:
        """Whether a request waits for the owner, and fails without, rather than go uncounted."""
        said = key.limits.unaccounted if key else None
        return not self.free_of_caps(key) if said is None else said == "refuse"

    async def _answer_of(self, draw: Draw, limits: Limits, strict: bool) -> Hold | Refused | None:
        """What the owner says, if need be once it is back; None: it is away, which is no matter."""
        answer = await self._ask(draw, limits)
        if answer is not None or not strict:
            return answer
        with suppress(TimeoutError):
            async with asyncio.timeout(OWNER_BACK_S):
                while answer is None:
                    await asyncio.sleep(REPORT_EVERY_S)
                    answer = await self._ask(draw, limits)
        if answer is None:
            raise AccountsUnavailable("Budgets cannot be checked now, and one of them binds.")
        return answer

    async def _ask(self, draw: Draw, limits: Limits) -> Hold | Refused | None:
        """What the owner says with the next report; None where it cannot be asked."""
        if self._down or not self._tasks:
            return None
        waiting = PendingDraw(limits, draw)
        self._waiting.append(waiting)
        self._wake.set()
        return await waiting.hold

    def settle(self, hold: Hold | None, record: Record) -> None:
        """End a request: its record is kept, and what it did not cost is free again."""
        if hold is not None:
            purse = self.purse(hold.key_id)
            purse.settle(
                hold, record.cost_nano_usd, record.prompt_tokens + record.completion_tokens
            )
            if record.completion_tokens:
                purse.lengths.append(record.completion_tokens)
        self._records.add(record)

    async def report(self, last: bool = False) -> None:
        """Say what there is to say once, and take the answer."""
        async with self._turn:
            await self._report_once(last)

    async def _report_once(self, last: bool) -> None:
        waiting, self._waiting = self._waiting, []
        said_s, report = _steady_s(), self._report(waiting, last)
        try:
            async with asyncio.timeout(REPLY_S):
                data = await self._say(encode_report(report))
            self._take(report, decode_reply(data), waiting, said_s)
        except Exception as error:
            # Whatever it was: the next report says it all again.
            if not self._down:
                log.error("accounts: no answer of their owner: %s", type(error).__name__)
            self._down = True
        finally:
            for one in waiting:
                one.answer(None)

    async def _report_on(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(REPORT_EVERY_S):
                    await self._wake.wait()
            self._wake.clear()
            await self.report()

    def _report(self, waiting: list[PendingDraw], last: bool) -> Report:
        now_s = _steady_s()
        fully = last or now_s - self._open_said_s >= OPEN_EVERY_S
        if fully:
            self._open_said_s = now_s
        # Money whose record does not go with this report is not spent yet for the owner.
        unsaid = self._records.unsaid()
        leases = [
            lease._replace(nano_usd=lease.nano_usd + unsaid[lease.key_id, lease.hour])
            for purse in self._purses.values()
            for lease in purse.say()
        ]
        return Report(
            gateway=self._gateway,
            records=self._records.first(),
            open=([] if last else self._sources.open()) if fully else None,
            leases=[] if last else leases,
            parallel={p.key_id: p.open for p in self._purses.values() if p.open and not last},
            draws=[one.draw for one in waiting],
            running=self._sources.running() if fully else {},
            keys_version=self._version,
        )

    def _take(
        self, report: Report, reply: Reply, waiting: list[PendingDraw], said_s: float
    ) -> None:
        self._down = False
        self._leased_until_s = said_s + LEASED_S
        self._records.took(len(report.records), reply.owner, stored=not reply.trouble)
        self._keep(report.leases, reply.leases)
        self._version = reply.keys_version
        if reply.keys is not None:
            self.keys = reply.keys
        self.known.set()
        for one, answer in zip(waiting, reply.answers, strict=True):
            self._granted(one, answer, said_s)

    def _keep(self, said: Sequence[Lease], kept: Sequence[Lease]) -> None:
        may = {(lease.key_id, lease.hour): lease.nano_usd for lease in kept}
        for lease in said:
            less = may.get((lease.key_id, lease.hour), 0) - lease.nano_usd
            if less:
                self.purse(lease.key_id).corrected(lease.hour, less)

    def _granted(self, one: PendingDraw, answer: Granted | Refused, said_s: float) -> None:
        if isinstance(answer, Refused):
            one.answer(answer)
            return
        purse = self.purse(one.draw.key_id)
        # From when the question was asked: an hour never lasts longer here than there.
        purse.granted(answer, said_s, one.limits)
        hold = purse.take(Need(*one.draw[1:3]), one.limits, answer.hour)
        if not one.answer(hold):
            purse.settle(hold, 0, 0)


def _steady_s() -> float:
    return time.monotonic()
