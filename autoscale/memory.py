"""What is learnt of a deployment outlives the policy object that learnt it.

Ray makes a new object at every deployment, also for a changed adapter: the process remembers. A
controller that restarts is a new process: the journal's last line holds the state.

Not in `autoscale.policy`, whose module Ray carries into the controller as a copy of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from autoscale.core import decide
from autoscale.journal_entries import last_entry
from autoscale.observer import Observer
from autoscale.state import State


@dataclass(slots=True)
class Memory:
    """One deployment's state, and the counts of its replicas."""

    observer: Observer = field(default_factory=Observer)
    state: State | None = None


_memories: dict[str, Memory] = {}


def recall(ctx: Any, journal: Path | None) -> Memory:
    """The memory of the context's deployment: this process', else the journal's, else empty."""
    name = full_name(ctx)
    if name not in _memories:
        _memories[name] = Memory(state=None if journal is None else _from_journal(journal, name))
    return _memories[name]


def full_name(ctx: Any) -> str:
    """`application/deployment`: two applications may each have a deployment of one name."""
    app = getattr(ctx, "app_name", None)
    return f"{app}/{ctx.deployment_name}" if app else str(ctx.deployment_name)


def forget() -> None:
    """Empty this process' memory, as a restart does."""
    _memories.clear()


def _from_journal(path: Path, deployment: str) -> State | None:
    """The state after the last recorded decision, its counters to be begun anew."""
    entry = last_entry(path, deployment)
    if entry is None:
        return None
    try:
        state = decide(entry.observation, entry.parameters, entry.before).state
    except (ArithmeticError, TypeError, ValueError):  # a line of another version
        return None
    if state is None:
        return None
    return replace(state, demand=replace(state.demand, counted=None, restored=True))
