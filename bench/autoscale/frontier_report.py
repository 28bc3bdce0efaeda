"""Tables and plots of what `bench.autoscale.frontier` measured.

python -m bench.autoscale.frontier_report
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from autoscale.simulation.compare import Summary
from autoscale.simulation.plots import plot_frontier
from bench.autoscale.equal_attainment import verdict
from bench.autoscale.traffic import RESULTS, TARGETS

RUNBOOKS = Path("docs/runbooks")

screen = Console(width=140)


# What is wanted of ours over a rival, at 99% and 99.9%: Ray with its default delays, Ray tuned, and
# a policy that knows the future.
BARS = {"ray-default": 0.80, "ray-tuned": 0.95, "clairvoyant": 1.10}
DEFAULT_KNOBS = {"utilization": 0.7}


def print_one(result: dict[str, Any]) -> None:
    table = Table(title=f"{result['trace']}: GPU-hours a day at equal attainment")
    for head in ("policy", "at 99%", "ours / it", "at 99.9%", "ours / it", "reversals a day"):
        table.add_column(head, justify="left" if head == "policy" else "right")
    for policy, cells in result["at_target"].items():
        row = [policy]
        for target in TARGETS:
            row += _hours_and_ratio(cells[str(target)])
        table.add_row(*row, f"{_chosen(result, policy)['reversals']:.0f}")
    screen.print(table)
    screen.print(fixed_table(result))
    for line in bars(result):
        screen.print(line, highlight=False)


def bars(result: dict[str, Any]) -> list[str]:
    """Each bar with the ratio, its interval over days, and whether that decides it."""
    default = next(
        row
        for row in result["at_their_attainment"]
        if row["policy"] == "ray-default" and row["knobs"] == DEFAULT_KNOBS
    )
    found = [("ray-default at its own attainment", default, BARS["ray-default"])]
    for policy, bar in BARS.items():
        cells = result["at_target"][policy]
        found += [(f"{policy} at {target:.1%}", cells[str(target)], bar) for target in TARGETS]
    return [
        f"over {name}: {ratio_text(cell)}; bar {bar:.2f}: {verdict(cell['ratio_by_day'], bar)}"
        for name, cell, bar in found
    ]


def ratio_text(cell: dict[str, Any]) -> str:
    """Ours over a rival with the interval over days, and where it could be compared."""
    if cell["ours_over_this"] is None:
        return "in no run"
    text = f"{cell['ours_over_this']:.3f}"
    if len(cell["ratio_by_day"]) > 1:
        text += f" [{cell['ratio_ci'][0]:.2f}, {cell['ratio_ci'][1]:.2f}]"
    if cell["ours_reached"] < cell["compared"]:
        text += f" in {cell['ours_reached']} of {cell['compared']} runs"
    return text


def fixed_table(result: dict[str, Any]) -> Table:
    """Each setting of a rival, and our GPU-hours at the attainment that it had."""
    table = Table(title="Ours at the attainment of each rival's setting")
    for head in ("policy", "setting", "runs", "within SLO", "GPU-hours", "ours / it"):
        table.add_column(head, justify="left" if head in {"policy", "setting"} else "right")
    for row in result["at_their_attainment"]:
        low, high = row["attainment_ci"]
        table.add_row(
            row["policy"],
            " ".join(f"{name} {value:g}" for name, value in row["knobs"].items()),
            str(row["worlds"]),
            f"{row['attainment']:.3%} [{max(0.0, low):.2%}, {min(1.0, high):.2%}]",
            f"{row['gpu_hours']:.1f}",
            ratio_text(row),
        )
    return table


def _hours_and_ratio(cell: dict[str, Any]) -> list[str]:
    if cell["gpu_hours"] is None:
        return [f"reached {cell['reached']} of {cell['of']}", ratio_text(cell)]
    return [f"{cell['gpu_hours']:.1f}", ratio_text(cell)]


def _chosen(result: dict[str, Any], policy: str) -> dict[str, Any]:
    """The cheapest setting that reaches 99%, else the one that attains most."""
    mine = [s for s in result["summaries"] if s["policy"] == policy]
    good = [s for s in mine if s["attainment"] >= TARGETS[0]]
    if good:
        return dict(min(good, key=lambda s: float(s["gpu_hours"])))
    return dict(max(mine, key=lambda s: float(s["attainment"])))


def report_all() -> None:
    for path in sorted(RESULTS.glob("frontier-*.json")):
        result = json.loads(path.read_text(encoding="utf-8"))
        if "days" not in result:
            screen.print(f"{path.name}: of 2026-11-24, intervals over runs; measure it again")
            continue
        print_one(result)
        groups: dict[str, list[Summary]] = {}
        for summary in result["summaries"]:
            groups.setdefault(summary["policy"], []).append(Summary(**summary))
        title = f"{result['trace']}: days {result['days']}, seeds {result['seeds']}"
        plot_frontier(groups, TARGETS[0], title, path.with_suffix(".png"))
        if result["trace"] == "azure-code":
            plot_frontier(groups, TARGETS[0], title, RUNBOOKS / path.with_suffix(".png").name)


if __name__ == "__main__":
    report_all()
