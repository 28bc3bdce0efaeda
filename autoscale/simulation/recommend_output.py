"""Tables for people and the patch for `serve_config.yaml`, from what was simulated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from rich.table import Table

from autoscale.console import screen
from autoscale.simulation.compare import Summary
from autoscale.simulation.recommend import Recommendation
from autoscale.simulation.workload import Profile


def summary_table(summaries: Sequence[Summary], title: str) -> Table:
    """One row a policy or setting."""
    table = Table(title=title, title_justify="left")
    table.add_column("policy", no_wrap=True)
    heads = ("in SLO %", "GPU-hours", "reversals\na day", "p50 wait\ns", "p99 wait\ns", "starts")
    for head in heads:
        table.add_column(head, justify="right")
    for s in summaries:
        spread = 50 * (s.attainment_ci[1] - s.attainment_ci[0])
        gpu_spread = (s.gpu_hours_ci[1] - s.gpu_hours_ci[0]) / 2
        table.add_row(
            s.policy,
            f"{100 * s.attainment:.3f}" + (f" ±{spread:.3f}" if len(s.seeds) > 1 else ""),
            f"{s.gpu_hours:.1f}" + (f" ±{gpu_spread:.1f}" if len(s.seeds) > 1 else ""),
            f"{s.reversals:.0f}",
            f"{s.wait_p50_s:.2f}",
            f"{s.wait_p99_s:.2f}",
            f"{s.starts:.0f}",
        )
    return table


def patch_yaml(
    result: Recommendation, profile: Profile, slo_wait_s: float, tier: str = "small"
) -> str:
    """The recommended tier's settings, for `applications[].args` of `serve_config.yaml`."""
    kwargs: dict[str, Any] = {
        "slo_wait_s": slo_wait_s,
        "slots_per_replica": profile.slots,
        "replicas_per_gpu": profile.replicas_per_gpu,
        "service_prior_s": profile.service_s,
        "startup_prior_s": profile.startup_s,
    } | result.knobs
    if profile.colocation_curve:
        kwargs["colocation_curve"] = list(profile.colocation_curve)
    settings = {
        "max_ongoing_requests": profile.slots,
        "scaling": {
            "min_replicas": result.min_replicas,
            "max_replicas": result.max_replicas,
            "policy_kwargs": kwargs,
        },
    }
    return str(yaml.safe_dump({tier: settings}, sort_keys=False))


def print_recommendation(
    result: Recommendation, profile: Profile, slo_wait_s: float, plot: Path, tier: str
) -> None:
    """The verdict, the tables, the price and the patch."""
    style = "green" if result.met else "red"
    screen.print(result.verdict, style=style, highlight=False, soft_wrap=True)
    screen.print(summary_table([result.held_out, *result.rivals], "held-out traffic"))
    frontier = [_named(s, _knob_text(s.knobs)) for s in result.frontier]
    screen.print(summary_table(frontier, "settings on held-out traffic"))
    sensitivity = [_named(summary, name) for name, summary in result.sensitivity]
    screen.print(summary_table(sensitivity, "the chosen setting under other circumstances"))
    usd = profile.gpu_usd_per_hour * result.held_out.gpu_hours
    screen.print(
        f"Held out: {result.regret:.1%} more GPU-hours than the best setting in hindsight; "
        f"{usd:.2f} USD at {profile.gpu_usd_per_hour:g} USD a GPU-hour. Plot: {plot}",
        highlight=False,
        soft_wrap=True,
    )
    screen.print(patch_yaml(result, profile, slo_wait_s, tier), highlight=False, soft_wrap=True)


def _named(summary: Summary, name: str) -> Summary:
    return replace(summary, policy=name)


def _knob_text(knobs: dict[str, float]) -> str:
    short = {"late_fraction": "late", "hold_down_s": "hold", "warm_spare_replicas": "spares"}
    return " ".join(f"{short.get(name, name)} {value:g}" for name, value in knobs.items())
