"""The Markdown report of a training run, with its plots, for the people who must approve it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from classifier.judging.candidates import judge, oracle
from classifier.judging.metrics import area
from classifier.lexical import Lexical
from classifier.training import plots
from classifier.training.fit_lexical import fit_lexical
from classifier.training.run import Trained

#: Columns shown, and how.
_COLUMNS = {
    "apgr": "APGR",
    "cpt50": "CPT50 %",
    "cpt80": "CPT80 %",
    "acc_at_5": "at 5%",
    "acc_at_10": "at 10%",
    "acc_at_20": "at 20%",
    "auroc_gain": "AUROC gain",
    "auroc_gain_within_group": "within group",
    "auroc_small_fails": "AUROC small fails",
    "ece": "ECE",
}
#: Rows of the table of misses, and characters of a prompt shown where that was asked for.
_MISSES, _EXCERPT = 20, 80
#: The learning curve refits the lexical rung; 2,000 rows take about three seconds.
_LEARNING_ROWS = (50, 100, 200, 500, 1_000, 2_000)


def table(rows: Sequence[Mapping[str, object]]) -> str:
    """Return judged candidates as a Markdown table, intervals in brackets."""
    shown = [c for c in _COLUMNS if any(row.get(c) is not None for row in rows)]
    lines = [
        "| | " + " | ".join(_COLUMNS[c] for c in shown) + " |",
        "|---" * (len(shown) + 1) + "|",
    ]
    for row in rows:
        cells = (_cell(row.get(c), row.get(f"{c}_interval")) for c in shown)
        lines.append(f"| {row['name']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(value: object, pair: object) -> str:
    if not isinstance(value, float):
        return ""
    digits = 1 if abs(value) > 2 else 3
    if not isinstance(pair, list) or None in pair:
        return f"{value:.{digits}f}"
    return f"{value:.{digits}f} ({pair[0]:.{digits}f} to {pair[1]:.{digits}f})"


def write_report(trained: Trained, folder: Path, show_prompts: bool) -> Path:
    """Write ``report.md`` and its plots; prompt text appears only where it was asked for."""
    folder.mkdir(parents=True, exist_ok=True)
    test = trained.outcomes
    p_small = trained.ours.p_small
    everyone = [trained.ours, *trained.baselines]
    plots.cost_quality([*everyone, oracle(test)], test, folder / "cost-quality.png")
    if p_small is not None:
        plots.reliability(p_small, test.small, folder / "reliability.png")
    plots.histogram(trained.ours.gain, folder / "gain.png")
    plots.learning(learning_curve(trained), folder / "learning.png")
    judged = [judge(c, test) for c in (*everyone, oracle(test))]
    path = folder / "report.md"
    path.write_text("\n".join(_lines(trained, table(judged), show_prompts)), encoding="utf-8")
    return path


def _lines(trained: Trained, judged: str, show_prompts: bool) -> list[str]:
    data = trained.prepared
    verdict = "beats" if trained.proven else "does NOT beat"
    parts = (len(data.fit_on), len(data.calibrate_on), len(data.test_on))
    return [
        "# Training report",
        "",
        f"The {trained.chosen} rung {verdict} every baseline beyond the 95% interval. "
        f"{parts[0]} rows to train, {parts[1]} to calibrate, {parts[2]} to test; clusters of "
        "near-duplicates never lie in two parts.",
        "",
        "## Test rows",
        judged,
        "",
        "Brackets: bootstrap 95% intervals. APGR: share of the quality gap recovered, averaged "
        "over budgets; 0.5 is random. At 5%: mean quality with that share sent large.",
        "",
        "## Advantage over the baselines, in points of mean quality",
        *(f"- {n}: {100 * a:+.2f} to {100 * b:+.2f}" for n, (a, b) in trained.advantage.items()),
        "",
        "## The ladder: points of quality behind the best, where no rung was fitted",
        *(f"- {n}: {100 * a:.2f} +- {100 * e:.2f}" for n, (a, e) in trained.ladder.items()),
        "",
        *(f"![{n}]({n}.png)" for n in ("cost-quality", "reliability", "gain", "learning")),
        "",
        "## Worst misses",
        "| row | predicted gain | small | large | prompt |",
        "|---|---|---|---|---|",
        *_misses(trained, show_prompts),
        "",
    ]


def _misses(trained: Trained, show_prompts: bool) -> list[str]:
    test, index = trained.outcomes, trained.prepared.test_on
    off = np.abs(trained.ours.gain - (test.large - test.small))
    lines = []
    for i in np.argsort(-off)[:_MISSES]:
        text = trained.prepared.texts[index[i]][:_EXCERPT].replace("\n", " ").replace("|", "\\|")
        shown = text if show_prompts else f"({len(trained.prepared.texts[index[i]])} characters)"
        lines.append(
            f"| {index[i] + 1} | {trained.ours.gain[i]:+.3f} | {test.small[i]:.2f} "
            f"| {test.large[i]:.2f} | {shown} |"
        )
    return lines


def learning_curve(trained: Trained) -> dict[int, float]:
    """Return the lexical rung's mean quality over budgets on the test rows, by training rows."""
    data, test = trained.prepared, trained.outcomes
    texts, vectors = data.texts_at(data.test_on), data.vectors[data.test_on]
    points = {}
    for rows in (n for n in _LEARNING_ROWS if n <= len(data.fit_on)):
        few = data.fit_on[:: len(data.fit_on) // rows][:rows]
        examples = data.texts_at(few), data.vectors[few], data.labels[few], data.weights[few]
        logits = Lexical(fit_lexical(*examples)).logits(texts, vectors)
        p = 1.0 / (1.0 + np.exp(-logits.astype(np.float64)))
        large = np.ones(len(p)) if trained.options.objective == "fail" else p[:, 1]
        points[rows] = area(large - p[:, 0], test.small, test.large)
    return points
