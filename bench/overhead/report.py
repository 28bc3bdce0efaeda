"""Writes a result as JSON, and as a Markdown table with its date, hardware and command."""

import datetime
import json
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

RESULTS = Path(__file__).parent / "results"


def hardware() -> str:
    """The machine in one line."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        model = names[0].split(":", 1)[1].strip() if names else model
    cores = psutil.cpu_count()
    memory_gib = psutil.virtual_memory().total / 2**30
    return f"{cores} cores of {model}, {memory_gib:.0f} GiB, no GPU"


def write(name: str, command: str, raw: Any, table: str) -> Path:
    """Write `results/<name>.json` and `.md`; the latter is returned."""
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    RESULTS.mkdir(exist_ok=True)
    described = {"date": today, "hardware": hardware(), "command": command, "result": raw}
    (RESULTS / f"{name}.json").write_text(json.dumps(described, indent=1) + "\n")
    file = RESULTS / f"{name}.md"
    file.write_text(f"{today}, {hardware()}; `{command}`.\n\n{table}\n")
    return file


def earlier(name: str) -> Any:
    """The result in `results/<name>.json`; an empty list where there is none."""
    file = RESULTS / f"{name}.json"
    return json.loads(file.read_text())["result"] if file.exists() else []


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)
