"""The same changes on real vLLM, as far as two cores carry: `python -m bench.faults.real_engines`.

Two requests a second of `auto` for five tokens each, half of them streams, which is a third of what
two cores with AVX2 generate; one small replica of the default model and a simulated large one. Adds
its part to docs/faults.md.
"""

import json
import platform
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import psutil

from bench.faults.changes import made, redeploy, settings_edited, swap, swap_that_fails
from bench.faults.drill import ARGS, Drill
from bench.faults.endpoint import title_of, wait_until
from bench.faults.report import write_report

RESULTS = Path(__file__).parent / "results" / "real_engines.json"
PER_S, MAX_TOKENS = 2.0, 5
ONE = {"scaling": {"min_replicas": 1, "max_replicas": 1}}
SMALL = {"model": "default-int4", "engine": {"kind": "vllm", "path": "builtin:small"}, **ONE}


def engine_killed(drill: Drill) -> None:
    """SIGKILL for vLLM's own process; its replica leaves and another starts."""
    (engine,) = engines(drill)
    engine.kill()
    wait_until(lambda: engines(drill) and drill.endpoint.whole(1), 200, "another engine")


def engines(drill: Drill) -> list[psutil.Process]:
    """The endpoint's vLLM processes."""
    return [p for p in drill.endpoint.descendants() if "EngineCore" in title_of(p)]


def main() -> None:
    """Make them; write the figures and the page."""
    changes: dict[str, Callable[[Drill], None]] = {
        "swap for the same checkpoint by another name": swap,
        "swap whose probe fails, rolled back": swap_that_fails,
        "back to the first config": redeploy,
        "price, threshold and budget edited": settings_edited,
        "vLLM's process killed": engine_killed,
    }
    rows = made(changes, "", args=ARGS | {"small": SMALL}, per_s=PER_S, max_tokens=MAX_TOKENS)
    about = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{psutil.cpu_count()} cores, {platform.machine()}",
        "per_s": PER_S,
        "max_tokens": MAX_TOKENS,
        "rows": [asdict(row) for row in rows],
    }
    RESULTS.write_text(json.dumps(about, indent=1) + "\n")
    write_report()


if __name__ == "__main__":
    main()
