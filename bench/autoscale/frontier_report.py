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
from bench.autoscale.traffic import RESULTS, TARGETS

RUNBOOKS = Path("docs/runbooks")

screen = Console(width=140)


def print_one(result: dict[str, Any]) -> None:
    table = Table(title=f"{result['trace']}: GPU-hours a held-out day at equal attainment")
    for head in ("policy", "at 99%", "ours / it", "at 99.9%", "ours / it", "reversals a day"):
        table.add_column(head, justify="left" if head == "policy" else "right")
    for policy, cells in result["at_target"].items():
        row = [policy]
        for target in TARGETS:
            row += _hours_and_ratio(cells[str(target)])
        table.add_row(*row, f"{_chosen(result, policy)['reversals']:.0f}")
    screen.print(table)
    screen.print(fixed_table(result))


def fixed_table(result: dict[str, Any]) -> Table:
    """Each setting of a rival, and our GPU-hours at the attainment that it had."""
    table = Table(title="Ours at the attainment of each rival's setting")
    for head in ("policy", "setting", "days x seeds", "within SLO", "GPU-hours", "ours / it"):
        table.add_column(head, justify="left" if head in {"policy", "setting"} else "right")
    for row in result.get("at_their_attainment", []):
        low, high = row["attainment_ci"]
        ratio = f"reached {row['ours_reached']} of {row['compared']}"
        if row["ours_reached"] == row["compared"]:
            ratio = (
                f"{row['ours_over_this']:.3f} [{row['ratio_ci'][0]:.2f}, {row['ratio_ci'][1]:.2f}]"
            )
        table.add_row(
            row["policy"],
            " ".join(f"{name} {value:g}" for name, value in row["knobs"].items()),
            str(row["worlds"]),
            f"{row['attainment']:.3%} [{low:.2%}, {high:.2%}]",
            f"{row['gpu_hours']:.1f}",
            ratio,
        )
    return table


def _hours_and_ratio(cell: dict[str, Any]) -> list[str]:
    if cell["gpu_hours"] is None:
        return [f"reached {cell['reached']} of {cell['of']}", "-"]
    ratio = cell.get("ours_over_this")
    if ratio is None:
        return [f"{cell['gpu_hours']:.1f}", "-"]
    low, high = cell["ratio_ci"]
    return [f"{cell['gpu_hours']:.1f}", f"{ratio:.3f} [{low:.2f}, {high:.2f}]"]


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
        print_one(result)
        groups: dict[str, list[Summary]] = {}
        for summary in result["summaries"]:
            groups.setdefault(summary["policy"], []).append(Summary(**summary))
        days, seeds = result["days_held_out"], result["seeds"]
        title = f"{result['trace']}: held-out days {days}, seeds {seeds}"
        plot_frontier(groups, TARGETS[0], title, path.with_suffix(".png"))
        if result["trace"] == "azure-code":
            plot_frontier(groups, TARGETS[0], title, RUNBOOKS / path.with_suffix(".png").name)


if __name__ == "__main__":
    report_all()
