"""The tables of docs/autoscaling-results.md, from what `bench.autoscale.frontier` measured.

python -m bench.autoscale.frontier_page azure-code
"""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer

from bench.autoscale.frontier_report import bars, ratio_text
from bench.autoscale.traffic import RESULTS, TRACES

_HEADS = ("policy, setting", "within SLO", "GPU-hours", "ours over it at its attainment")
_MORE = ("reversals a day", "wait p99, s")
_SHIPPED = {"late_fraction": 0.01}
_SHORT = {
    "late_fraction": "late",
    "utilization": "target",
    "look_back_s": "look-back",
    "up_s": "up after",
    "down_s": "down after",
}


def table(result: dict[str, Any]) -> str:
    """One row a setting of every policy, as Markdown."""
    ratios = {
        (row["policy"], json.dumps(row["knobs"])): ratio_text(row)
        for row in result["at_their_attainment"]
    }
    heads = [*_HEADS, *_MORE]
    lines = [_line(heads), _line(["---"] * len(heads))]
    for summary in result["summaries"]:
        name = f"{summary['policy']}, {_setting(summary['knobs'])}"
        low, high = summary["attainment_ci"]
        within = f"{summary['attainment']:.2%}"
        lines.append(
            _line(
                [
                    f"**{name}**" if summary["knobs"] == _SHIPPED else name,
                    f"{within} [{low:.2%}, {high:.2%}]" if len(result["days"]) > 1 else within,
                    f"{summary['gpu_hours']:.1f}",
                    ratios.get((summary["policy"], json.dumps(summary["knobs"])), ""),
                    f"{summary['reversals']:.0f}",
                    f"{summary['wait_p99_s']:.1f}",
                ]
            )
        )
    return "\n".join([*lines, "", *(f"- {line}" for line in bars(result))])


def _setting(knobs: dict[str, float]) -> str:
    return ", ".join(f"{_SHORT.get(name, name)} {value:g}" for name, value in knobs.items())


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def main(trace: Annotated[str, typer.Argument(help=f"of {', '.join(TRACES)}")]) -> None:
    """Print the table and the bars of a trace."""
    path = RESULTS / f"frontier-{trace}.json"
    result = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if "days" not in result:
        sys.exit(f"{path.name} is missing or older than intervals over days; run the bench again")
    typer.echo(table(result))


if __name__ == "__main__":
    typer.run(main)
