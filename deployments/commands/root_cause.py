"""What really failed when an engine did not start: vLLM says it in its own process's log only."""

import re
from collections.abc import Iterator
from pathlib import Path

from deployments.commands.preflight import SYSTEM_LIBRARIES

# What vLLM raises in the replica, pointing elsewhere.
ELSEWHERE = "See root cause above"
# vLLM's and Ray's marks before each line of a process they started.
PREFIX = re.compile(
    r"^(\x1b\[[\d;]*m|\([^()]*pid=\d+[^()]*\)|(ERROR|CRITICAL) \d\d-\d\d [\d:]+ \[[^\]]*\]|\s)*"
)
RAISED = re.compile(r"^([A-Za-z_][\w.]*(?:Error|Exception|Interrupt|Exit)): (?!Traceback)\S")
# vLLM goes on without a library and fails later, on what it did not get.
NO_LIBRARY = re.compile(r"([\w.+-]+\.so[.\d]*): cannot open shared object file")
# What stands before the traceback of a start; earlier exceptions were survived.
STARTING = "failed to start."
KILLED = re.compile(r"Failed core proc\(s\): \{[^}]*: -9\b")
# No more of a log is read than this; a start that fails is at its end.
READ_BYTES = 4 * 1024**2
LONGEST = 300


def root_cause(said: str, logs: Path) -> str | None:
    """The line that says why an engine failed, from the logs of a session; None where `said` is
    enough, or nothing more is found."""
    if ELSEWHERE not in said:
        return None
    if KILLED.search(said):
        return "its process was killed, as Linux does when memory runs out"
    # The engine's process writes to its replica's standard output, the replica to the other.
    starts = [text for text in _newest_first(logs) if STARTING in text]
    for text in starts:
        if missing := NO_LIBRARY.search(text):
            return f"{missing[1]}: no such library{_mend(missing[1])}"
    return next(filter(None, map(first_raised, starts)), None)


def first_raised(text: str) -> str | None:
    """The end of the first traceback of a start in a log: the later ones follow from it.

    >>> first_raised("EngineCore failed to start.\\n(EngineCore pid=7) OSError: no disk")
    'OSError: no disk'
    """
    _, _, started = text.partition(STARTING)
    for line in started.splitlines():
        bare = PREFIX.sub("", line)
        if RAISED.match(bare) and ELSEWHERE not in bare:
            return bare.strip()[:LONGEST]
    return None


def _mend(library: str) -> str:
    package = SYSTEM_LIBRARIES.get(library)
    return f"; apt install {package}" if package else ""


def _newest_first(logs: Path) -> Iterator[str]:
    """The logs of a session's worker processes, and of Serve's replicas."""
    files = [*logs.glob("worker-*.err"), *logs.glob("worker-*.out"), *logs.glob("serve/*.log")]
    for file in sorted(files, key=lambda file: file.stat().st_mtime, reverse=True):
        with file.open("rb") as stream:
            stream.seek(max(0, file.stat().st_size - READ_BYTES))
            yield stream.read().decode(errors="replace")
