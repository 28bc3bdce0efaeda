"""Plots for operators: the trade of attainment against GPU-hours, and replicas over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from autoscale.simulation.compare import Summary

_COLOURS = {
    "smallfirst": "#1f4e9c",
    "ray-default": "#c0504d",
    "ray-tuned": "#e08a1e",
    "kpa": "#7f7f7f",
    "keda": "#8c6bb1",
    "wva": "#4c9a5b",
    "static-peak": "#000000",
    "clairvoyant": "#17a2b8",
}


def plot_frontier(
    groups: Mapping[str, Sequence[Summary]], objective: float, title: str, path: Path
) -> None:
    """Late requests (log scale) against GPU-hours, one line a policy; lower left is better.

    A static fleet far dearer than every scaling policy leaves the frame, or it would squeeze them.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot()
    for policy, summaries in groups.items():
        points = sorted((s.gpu_hours, max(1e-5, 1.0 - s.attainment)) for s in summaries)
        axes.plot(
            [x for x, _ in points],
            [y * 100 for _, y in points],
            marker="o",
            markersize=5,
            linewidth=1.2 if len(points) > 1 else 0,
            label=policy,
            color=_COLOURS.get(policy),
        )
    axes.axhline((1.0 - objective) * 100, color="#999999", linestyle="--", linewidth=1)
    axes.annotate(
        f"objective {objective:.1%}",
        (1.0, (1.0 - objective) * 100),
        xycoords=("axes fraction", "data"),
        ha="right",
        va="bottom",
        fontsize=8,
        color="#666666",
    )
    scaling = [s.gpu_hours for name, of in groups.items() if name != "static-peak" for s in of]
    axes.set_xlim(0.9 * min(scaling), 1.05 * max(scaling))
    axes.set_yscale("log")
    axes.set_xlabel("GPU-hours held")
    axes.set_ylabel("requests later than the SLO (%, log scale; 0.001 means none)")
    axes.set_title(title, fontsize=10)
    axes.grid(visible=True, which="major", alpha=0.3)
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=130)
