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
from dataclasses import asdict
from pathlib import Path
from typing import Any

from autoscale.core import Decision, State
from autoscale.observation import Observation
from autoscale.parameters import Parameters

logger = logging.getLogger("ray.serve")

EVERY_S = 60.0
ROTATE_BYTES = 64 * 1024 * 1024  # about two weeks of one line a minute; the older file is kept
DEFAULT_PATH = "~/.cache/smallfirst/autoscale.jsonl"
"""Where the command line looks, and where `journal_path` of the shipped configuration points."""

_QUEUE_MAX = 1000  # lines; a dead disk must not fill the controller's memory
_FAULT_EVERY = 600  # ticks; a permanent fault logs about once a minute at Ray's 10 Hz


class Journal:
    """Writes decisions to a file from a thread of its own; `record` never waits for the disk."""

    def __init__(self, path: str) -> None:
        self._path = Path(path).expanduser() if path else None
        self._queue: queue.Queue[str] = queue.Queue(_QUEUE_MAX)
        self._last: dict[str, tuple[float, int]] = {}
        self._faults = 0
        if self._path is not None:
            threading.Thread(target=self._write, name="autoscale-journal", daemon=True).start()

    def record(
        self,
        deployment: str,
        observation: Observation,
        before: State | None,
        decision: Decision,
        parameters: Parameters,
    ) -> None:
        """Queue a line if the decision changed or a minute has passed."""
        if self._path is None:
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
        if self._faults % _FAULT_EVERY == 0:
            logger.error("autoscale: %s (%d faults before)", name, self._faults)
        self._faults += 1

    def _write(self) -> None:
        assert self._path is not None
        while True:
            line = self._queue.get()
            try:
                _append(self._path, f"{line}\n".encode())
            except OSError as error:
                self.fault(type(error).__name__)


def _append(path: Path, line: bytes) -> None:
    """One unbuffered write, so that policies of several deployments can share the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > ROTATE_BYTES:
        path.replace(path.with_name(path.name + ".1"))
    with path.open("ab", buffering=0) as file:
        file.write(line)


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
