"""Memory of each process, and start-up time by phase, of the application as `make serve` runs it.

    python -m bench.overhead.footprint                  the default: two real engines
    python -m bench.overhead.footprint --one-engine     a simulated large tier instead

Start-up phases are seen from outside: when the first process of each kind begins. Memory is the
proportional set size (PSS): a page that n processes share counts 1/n in each, so that the sum is
what the machine needs. The page cache is warm and the model is already converted.
"""

import time
from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import psutil
import typer
import yaml

from bench.overhead import report
from bench.overhead.load import Load, run
from bench.overhead.servers import Server, application, role

COMMAND = "python -m bench.overhead.footprint"
PROMPTS = ["Say hello.", "What is the capital of Portugal?"]
LOAD = Load(clients=4, requests=16, max_tokens=32)


def memory_mib(server: Server) -> dict[str, list[float]]:
    """PSS of each process in MiB, by role."""
    found = defaultdict(list)
    for process in server.processes():
        with suppress(psutil.Error):
            found[role(process)].append(process.memory_full_info().pss / 2**20)
    return dict(found)


def phases(server: Server) -> dict[str, float]:
    """Seconds after the start at which each kind of process began, and at which all was ready."""
    begun: dict[str, float] = {}
    for process in server.processes():
        with suppress(psutil.Error):
            after_s = process.create_time() - server.began_at
            begun[role(process)] = min(after_s, begun.get(role(process), after_s))
    ordered = sorted(begun.items(), key=lambda item: item[1])
    return {**{f"{name} begins": at for name, at in ordered}, "ready": server.ready_s}


def main(
    one_engine: Annotated[bool, typer.Option(help="Simulate the large tier.")] = False,
    port: int = 8331,
) -> None:
    """Measure, print the table, write results/footprint.*."""
    args: dict[str, Any] = yaml.safe_load(Path("serve_config.yaml").read_text())["applications"][0][
        "args"
    ]
    if one_engine:
        args["large"] = {"model": "simulated", "engine": {"kind": "simulated"}}
    with application(args, port) as server:
        run(server.url, "small", LOAD, PROMPTS)
        time.sleep(2)
        memory = memory_mib(server)
        timing = phases(server)
    rows = [[f"{name} x {len(each)}", f"{sum(each):.0f}"] for name, each in sorted(memory.items())]
    rows.append(["all", f"{sum(sum(each) for each in memory.values()):.0f}"])
    times = [[name, f"{seconds:.0f}"] for name, seconds in timing.items()]
    text = report.table(["process", "PSS MiB"], rows) + "\n\n" + report.table(["start", "s"], times)
    print(text)
    command = COMMAND + (" --one-engine" if one_engine else "")
    report.write("footprint", command, {"memory_mib": memory, "start_s": timing}, text)


if __name__ == "__main__":
    typer.run(main)
