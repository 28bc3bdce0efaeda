"""One JSON line a decision, written beside the control loop, with all that replay needs.

A line is written for every change and once a minute: inputs, terms, the constraint that bound, and
the state before, so that each line alone replays to the identical decision. No request text is
ever seen here.
"""

from __future__ import annotations

import json
import logging
import queue
import threading
import weakref
from dataclasses import asdict
from pathlib import Path
from typing import Any

from autoscale.core import Decision
from autoscale.observation import Observation
from autoscale.parameters import Parameters
from autoscale.state import State

logger = logging.getLogger("ray.serve")

EVERY_S = 60.0
ROTATE_BYTES = 64 * 1024 * 1024  # about two weeks of one line a minute; the older file is kept
DEFAULT_PATH = "~/.cache/smallfirst/autoscale.jsonl"
"""Where the command line looks, and where `journal_path` of the shipped configuration points."""

_QUEUE_MAX = 1000  # lines; a dead disk must not fill the controller's memory
_FAULT_EVERY = 600  # ticks; a permanent fault logs about once a minute at Ray's 10 Hz


class Faults:
    """Logs faults by their name, at most about once a minute."""

    def __init__(self) -> None:
        self._count = 0

    def say(self, name: str) -> None:
        """Count one, and log it if it is time."""
        if self._count % _FAULT_EVERY == 0:
            logger.error("autoscale: %s (%d faults before)", name, self._count)
        self._count += 1


class Journal:
    """Writes decisions to a file from a thread of its own; `record` never waits for the disk.

    The thread ends with the journal: Ray drops a policy without a word when it makes a new one.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path).expanduser() if path else None
        self._queue: queue.Queue[str | None] = queue.Queue(_QUEUE_MAX)
        self._last: dict[str, tuple[float, int]] = {}
        self._faults = Faults()
        self._thread: threading.Thread | None = None
        if self.path is not None:
            self._thread = threading.Thread(
                target=_write,
                args=(self.path, self._queue, self._faults),
                name="autoscale-journal",
                daemon=True,
            )
            self._thread.start()
            weakref.finalize(self, _end, self._queue)

    def close(self) -> None:
        """End the thread after the lines queued so far; for tests and the end of a process."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()

    def record(
        self,
        deployment: str,
        observation: Observation,
        before: State | None,
        decision: Decision,
        parameters: Parameters,
    ) -> None:
        """Queue a line if the decision changed or a minute has passed."""
        if self.path is None:
            return
        written_s, replicas = self._last.get(deployment, (-1e18, -1))
        if observation.time_s - written_s < EVERY_S and decision.replicas == replicas:
            return
        self._last[deployment] = (observation.time_s, decision.replicas)
        line = as_line(deployment, observation, before, decision, parameters)
        try:
            self._queue.put_nowait(line)
        except queue.Full:
            self.fault("JournalFull")

    def fault(self, name: str) -> None:
        """Log a fault by its name, at most about once a minute."""
        self._faults.say(name)


def _write(path: Path, lines: queue.Queue[str | None], faults: Faults) -> None:
    """Runs in the thread; knows the queue only, so that the journal can go."""
    while (line := lines.get()) is not None:
        try:
            _append(path, f"{line}\n".encode())
        except OSError as error:
            faults.say(type(error).__name__)


def _end(lines: queue.Queue[str | None]) -> None:
    """Ask the thread to end; a queue that a dead disk has filled is emptied for it."""
    while True:
        try:
            lines.put_nowait(None)
            return
        except queue.Full:
            lines.get_nowait()


def _append(path: Path, line: bytes) -> None:
    """One unbuffered write, so that policies of several deployments can share the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > ROTATE_BYTES:
        path.replace(rotated(path))
    with path.open("ab", buffering=0) as file:
        written = file.write(line) or 0
        if written < len(line):
            # Half a line would be one with the next, and no replay could read past it.
            file.truncate(file.tell() - written)
            raise OSError("the disk took half a line")


def rotated(path: Path) -> Path:
    """Where the journal lies that was full before the one at `path`."""
    return path.with_name(path.name + ".1")


def as_line(
    deployment: str,
    observation: Observation,
    before: State | None,
    decision: Decision,
    parameters: Parameters,
) -> str:
    """The record as one JSON line. Floats keep every bit (`repr`), so replay is exact."""
    record: dict[str, Any] = {
        "deployment": deployment,
        "observation": asdict(observation),
        "replicas": decision.replicas,
        "constraint": decision.constraint,
        "faults": decision.faults,
        "terms": asdict(decision.terms),
        "parameters": _changed(parameters),
        "state": asdict(before) if before is not None else None,
    }
    return json.dumps(record, separators=(",", ":"))


def _changed(parameters: Parameters) -> dict[str, Any]:
    """The settings that differ from the defaults, in the form `Parameters.from_kwargs` reads."""
    default = asdict(Parameters())
    chosen = {key: value for key, value in asdict(parameters).items() if value != default[key]}
    if parameters.schedule:
        chosen["schedule"] = [window.as_json() for window in parameters.schedule]
    return chosen
