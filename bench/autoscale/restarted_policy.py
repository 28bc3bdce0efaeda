"""The production policy in processes that end: what `restarts` disturbs."""

from __future__ import annotations

from pathlib import Path

from autoscale import memory
from autoscale.policy import QueueDepthPolicy
from bench.autoscale.restarts import SLOTS, STARTUP_S


class Restarted:
    """Makes policies that write one journal, and ends their process' memory."""

    def __init__(self, folder: str) -> None:
        self._journal = Path(folder) / "journal.jsonl"
        self._policy: QueueDepthPolicy | None = None

    def make(self) -> QueueDepthPolicy:
        """A policy as Ray makes one at every deployment."""
        self._policy = QueueDepthPolicy(
            slots_per_replica=SLOTS, startup_prior_s=STARTUP_S, journal_path=str(self._journal)
        )
        return self._policy

    def forget(self, journal_too: bool) -> None:
        """End the process, and perhaps lose its disk."""
        if self._policy is not None:
            self._policy._journal.close()
        memory.forget()
        if journal_too:
            self._journal.unlink(missing_ok=True)
