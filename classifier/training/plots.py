"""The report's four figures."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from classifier.calibration import Floats
from classifier.judging.candidates import Candidate, Outcomes
from classifier.judging.metrics import curve

_BINS = 10


def _axes(title: str, x: str, y: str) -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.5, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.set(title=title, xlabel=x, ylabel=y)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def cost_quality(candidates: list[Candidate], outcomes: Outcomes, path: Path) -> None:
    """Draw quality against the share sent large, one line per candidate."""
    figure, axes = _axes("Quality against cost", "sent to the large tier, %", "mean quality")
    for candidate in candidates:
        found = curve(candidate.gain, outcomes.small, outcomes.large)
        axes.plot(found.calls, found.quality, marker=".", label=candidate.name)
    axes.legend(frameon=False, fontsize=8)
    figure.savefig(path)


def reliability(probability: Floats, outcome: Floats, path: Path) -> None:
    """Draw the share right against the predicted probability, in equally filled bins."""
    figure, axes = _axes("Calibration of P(small right)", "predicted", "observed")
    parts = np.array_split(np.argsort(probability), min(_BINS, len(probability)))
    points = [(float(probability[p].mean()), float(outcome[p].mean())) for p in parts]
    axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8)
    axes.plot(*zip(*points, strict=True), marker="o")
    figure.savefig(path)


def histogram(gain: Floats, path: Path) -> None:
    """Draw the distribution of the predicted gain."""
    figure, axes = _axes("Predicted gain of escalating", "gain", "test prompts")
    axes.hist(gain, bins=40)
    figure.savefig(path)


def learning(points: Mapping[int, float], path: Path) -> None:
    """Draw quality over all budgets against the number of training rows."""
    figure, axes = _axes("Learning curve, lexical rung", "training rows", "mean quality")
    axes.plot(list(points), list(points.values()), marker="o")
    axes.set_xscale("log")
    figure.savefig(path)
