"""A plan for people: a table, and the YAML block that serves it."""

import re
import unicodedata
from collections.abc import Container
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from autoscale.packing.fleet import FleetPlan, shares
from autoscale.packing.plan import GIB
from autoscale.packing.throughput import Throughput
from deployments.commands.plan_model import Plan
from deployments.settings.app import AppConfig, parse_app_config
from models.adapter import AdapterSet

if TYPE_CHECKING:
    from models.quantise import Result

BINDING = {
    "weights": "weights: one more replica's weights and overhead would not fit",
    "kv_cache": "KV cache: one more replica would leave too little for the requests asked for",
    "replicas_per_gpu": "--replicas-per-gpu: more would fit",
    "max_replicas": "the limit of replicas on one GPU",
}


def gib(count: int) -> str:
    """Bytes for people, with the exact number beside it."""
    return f"{count / GIB:.2f} GiB ({count:,} bytes)"


def print_plan(plan: Plan, console: Console) -> None:
    """The figures, what binds, what is assumed, and the recommendation."""
    packed = plan.packed
    table = Table(
        title=f"{escape(plan.facts.name)} on {plan.gpus} x {plan.gpu.name}", show_header=False
    )
    estimated = ", estimated from config.json" if plan.facts.estimated else ""
    length = f"{plan.demand.max_model_len:,} tokens"
    for row in (
        ("replicas on each GPU", f"{packed.replicas_per_gpu}"),
        ("gpu_share of each", f"{packed.gpu_share:g}"),
        ("weights", gib(packed.weights_bytes) + estimated),
        ("activations, context, graphs", gib(packed.overhead_bytes)),
        *(
            [("  of it LoRA slots or MLA's", gib(beside))]
            if (beside := plan.facts.beside_bytes)
            else []
        ),
        ("kv_cache_memory_bytes", gib(packed.kv_cache_memory_bytes)),
        ("KV cache of one token", f"{packed.kv_bytes_per_token:,} bytes"),
        ("KV cache holds", f"{packed.kv_tokens:,} tokens"),
        (f"requests of {length}", f"{packed.max_concurrency:.2f} at a time, in each replica"),
        ("left on each GPU", gib(packed.headroom_bytes)),
        ("what binds", BINDING[packed.binds]),
    ):
        table.add_row(*row)
    console.print(table)
    if plan.recommendation is not None:
        _print_rates(plan, console)
    console.print(
        f"Assumed, not measured on your GPU: {', '.join(plan.assumed) or 'nothing'}. "
        "Replace them with --calibration.",
        style="dim",
    )


def _print_rates(plan: Plan, console: Console) -> None:
    recommendation = plan.recommendation
    assert recommendation is not None
    table = Table("replicas", "batch of each", "tokens/s at most", "of one request", title="Decode")
    rates: list[Throughput] = [recommendation.packed]
    if recommendation.packed != recommendation.single:
        rates.append(recommendation.single)
    for rate in rates:
        table.add_row(
            str(rate.replicas_per_gpu),
            str(rate.batch_per_replica),
            f"{rate.tokens_per_s:,.0f}",
            f"{rate.tokens_per_s_per_request:,.1f}",
        )
    console.print(table)
    console.print(f"Recommended: {recommendation.replicas_per_gpu} on each GPU. ", end="")
    console.print(recommendation.reason + ".")


def print_fleet(fleet: FleetPlan, usable_bytes: int, console: Console) -> None:
    """Which replica goes on which GPU."""
    table = Table("GPU", "replica", "needs", "num_gpus", title="Placement")
    for index, gpu in enumerate(fleet.gpus):
        for item, share in zip(gpu, shares(gpu, usable_bytes), strict=True):
            needs = f"{item.needed_bytes / GIB:.2f} GiB"
            table.add_row(str(index), escape(item.name), needs, f"{share:.4f}")
    console.print(table)
    gap = (
        "the fewest possible" if fleet.optimal else f"at most {fleet.optimum_gap} above the fewest"
    )
    console.print(f"{len(fleet.gpus)} GPUs, {gap}.")


def print_quality(result: "Result", out: Path, console: Console) -> None:
    """Size, perplexity and accuracy before and after."""
    table = Table("", "before", "after", "change", title=escape(str(out)))
    size = result.after_bytes / result.before_bytes
    table.add_row("weights", gib(result.before_bytes), gib(result.after_bytes), f"x {size:.2f}")
    if result.before is not None and result.after is not None:
        for name in ("perplexity", "accuracy"):
            old, new = getattr(result.before, name), getattr(result.after, name)
            if old is not None and new is not None:
                table.add_row(name, f"{old:.3f}", f"{new:.3f}", f"{new / old - 1:+.1%}")
    console.print(table)


def served_name(folder: str, taken: Container[str]) -> str:
    """A folder's name as one that a client can ask for; with a number where that is taken.

    >>> served_name("modèle à moi", {"auto"}), served_name("auto", {"auto"})
    ('modele-a-moi', 'auto-2')
    """
    ascii_letters = unicodedata.normalize("NFKD", folder).encode("ascii", "ignore").decode()
    plain = re.sub(r"[^\x21-\x7e]+", "-", ascii_letters).strip("-") or "model"
    names = [plain, *(f"{plain}-{number}" for number in range(2, 1000))]
    return next(name for name in names if name not in taken)


def tier_settings(plan: Plan, model: Path, adapters: AdapterSet) -> dict[str, Any]:
    """The small tier's settings for this plan: the branch `small` of `AppConfig`."""
    packed = plan.packed
    extra: dict[str, Any] = {
        # vLLM checks at start that this part of the GPU is free, co-tenants included.
        "gpu-memory-utilization": packed.gpu_memory_utilization,
        "max-num-batched-tokens": plan.demand.max_num_batched_tokens,
        "block-size": plan.demand.block_size,
    }
    if plan.facts.kv_dtype != "auto":
        extra["kv-cache-dtype"] = plan.facts.kv_dtype
    # The other tier's name is not known here: the default's, which stays where none is given.
    taken = {"auto", "small", "large", AppConfig().large.model}
    name = served_name(plan.facts.name, taken)
    settings: dict[str, Any] = {
        "model": name,
        "engine": {
            "kind": "vllm",
            "path": str((model if model.is_dir() else model.parent).resolve()),
            "max_model_len": plan.demand.max_model_len,
            "max_num_seqs": plan.max_num_seqs,
            "kv_cache_memory_bytes": packed.kv_cache_memory_bytes,
            "enforce_eager": False,
            "extra_args": extra,
        },
        "gpu_share": packed.gpu_share,
        # What Serve lets through is the batch that the figures are for.
        "max_ongoing_requests": plan.max_num_seqs,
        "scaling": {
            "min_replicas": packed.replicas_per_gpu,
            "max_replicas": plan.gpus * packed.replicas_per_gpu,
        },
    }
    if adapters.paths:
        settings["engine"] |= {"max_loras": len(adapters.paths), "max_lora_rank": adapters.rank}
        settings["adapters"] = _served_adapters(adapters, taken | {name})
    return settings


def _served_adapters(adapters: AdapterSet, taken: set[str]) -> dict[str, Any]:
    """The adapters by the names that clients ask for."""
    served: dict[str, Any] = {}
    for folder, path in adapters.paths.items():
        served[served_name(folder, taken | set(served))] = {"path": str(path.resolve())}
    return served


def as_yaml(settings: dict[str, Any], as_int4: bool) -> str:
    """The block for `applications[].args` of a Serve config file.

    `as_int4`: the plan took the weights to be INT4 already, which the block must say.
    Raises: `ConfigError` for a block that Serve would not admit.
    """
    parse_app_config({"small": settings}, "the planned block")
    note = "# Planned as if W4A16: quantise first, and put the new folder at `path`.\n"
    return (note if as_int4 else "") + yaml.safe_dump({"small": settings}, sort_keys=False)
