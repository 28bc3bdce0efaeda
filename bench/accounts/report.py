"""A page of results: what was measured, with which command, on what, when."""

import platform
import sys
import time
from pathlib import Path

import psutil

RESULTS = Path(__file__).parent / "results"


def write(name: str, title: str, about: str, lines: list[str]) -> None:
    """Write `results/NAME.md`, and say it."""
    hardware = f"{psutil.cpu_count()} cores ({platform.machine()}), no GPU"
    command = " ".join([f"python -m bench.accounts.{name}", *sys.argv[1:]])
    text = "\n".join(
        [
            f"# {title}",
            f"`{command}`, {time.strftime('%Y-%m-%d')}, {hardware}.",
            "",
            about,
            "",
            *lines,
            "",
        ]
    )
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.md").write_text(text)
    print(text)
