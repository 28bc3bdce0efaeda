"""Reads the journal's lines back: each holds a decision and all that it was made from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autoscale.calm import Calm
from autoscale.capacity import Capacity
from autoscale.core import Decision, decide
from autoscale.demand import Demand
from autoscale.journal import rotated
from autoscale.observation import Observation
from autoscale.parameters import Parameters
from autoscale.state import State

_TAIL_BYTES = 1 << 20  # some hundred lines: every deployment writes one a minute


class JournalError(ValueError):
    """The journal cannot answer; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One recorded decision with everything it was made from."""

    deployment: str
    """`application/deployment`; the latter alone in lines that name no application."""
    observation: Observation
    parameters: Parameters
    before: State | None
    replicas: int
    constraint: str
    faults: tuple[str, ...]
    terms: dict[str, float]

    def is_of(self, deployment: str) -> bool:
        """True for the entry's own name, with its application or without."""
        return deployment in (self.deployment, self.deployment.rpartition("/")[2])

    def again(self) -> Decision:
        """The decision made anew from the recorded inputs."""
        return decide(self.observation, self.parameters, self.before)

    def replays(self) -> bool:
        """True if the decision made anew is the recorded one, constraint and faults included."""
        decision = self.again()
        made = (decision.replicas, decision.constraint, tuple(decision.faults))
        return made == (self.replicas, self.constraint, self.faults)


def read_journal(path: Path) -> Iterator[Entry]:
    """Entries in file order; a line cut short by a crash at the very end is left out.

    Raises: JournalError naming the line.
    """
    try:
        lines = path.expanduser().read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise JournalError(f"{path}: no journal there; set journal_path in policy_kwargs") from None
    except (OSError, UnicodeDecodeError) as error:
        raise JournalError(f"{path}: cannot be read ({error})") from None
    for number, line in enumerate(lines, 1):
        try:
            yield _entry(json.loads(line))
        except json.JSONDecodeError:
            if number == len(lines):
                return
            raise JournalError(f"{path.name}: line {number}: not JSON") from None
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise JournalError(f"{path.name}: line {number}: {error!r}") from None


def last_entry(path: Path, deployment: str) -> Entry | None:
    """The newest usable entry of a deployment near the journal's end; None if there is none.

    Reads at most two megabytes: a policy calls it once, when it starts. The file may just have been
    begun anew, so that a deployment's last line is in the one before.
    """
    for line in (*_newest_lines(path), *_newest_lines(rotated(path))):
        try:
            entry = _entry(json.loads(line))
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
            continue
        if entry.deployment in (deployment, deployment.rpartition("/")[2]):
            return entry
    return None


def _newest_lines(path: Path) -> list[bytes]:
    """The lines of a file's last megabyte, the newest first; none where it cannot be read."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
            return file.read().split(b"\n")[::-1]
    except OSError:
        return []


def _entry(record: dict[str, Any]) -> Entry:
    state = record["state"]
    return Entry(
        deployment=record["deployment"],
        observation=Observation(**record["observation"]),
        parameters=Parameters.from_kwargs(record["parameters"]),
        before=None if state is None else _state(state),
        replicas=record["replicas"],
        constraint=record["constraint"],
        faults=tuple(record["faults"]),
        terms=record["terms"],
    )


def _state(record: dict[str, Any]) -> State:
    demand, capacity, calm = dict(record["demand"]), dict(record["capacity"]), dict(record["calm"])
    demand["arrivals"] = tuple(demand["arrivals"])
    demand["forecasts_rps"] = tuple(demand["forecasts_rps"])
    demand["past_bursts_rps"] = tuple(demand["past_bursts_rps"])
    capacity["starts"] = tuple((at, n) for at, n in capacity["starts"])
    calm["peaks"] = tuple((at, n) for at, n in calm["peaks"])
    parts = Demand(**demand), Capacity(**capacity), Calm(**calm)
    return State(*parts, record.get("drained_by_s"))
