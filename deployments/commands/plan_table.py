"""One model in 16, 8 and 4 bits on every card: `smallfirst plan --table`, a page of Markdown.

Beside it the rule of thumb that INT4 packing is often sold with, so that it can be checked.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from autoscale.packing.gpus import CARDS, SLICES, Gpu, find_gpu
from autoscale.packing.kv import Demand
from autoscale.packing.plan import GIB, DoesNotFit
from deployments.commands.plan_model import Calibration, make_plan
from deployments.settings.config_mistake import ConfigError
from models.checkpoint import CheckpointFacts, read_checkpoint
from models.weight_scheme import INT4, INT8, PLAIN, Scheme

MODEL = Path(__file__).parents[2] / "models" / "data" / "mistral-7b.json"
"""A published 7B model with grouped KV heads, for those who bring none."""

FORMATS: dict[str, Scheme] = {"FP16": PLAIN, "INT8": INT8, "INT4": INT4}
MAX_MODEL_LEN = 2048
"""A chat's prompt and answer; `--max-model-len` for yours."""

_LEFT_OUT = ("l40s", "h200", "b200")
GPUS = [gpu for gpu in [*CARDS, *SLICES] if gpu.name not in _LEFT_OUT]

# The rule of thumb: GB of a 7B model's weights, and models that a 24 GB card then holds.
RULE = {"FP16": (28.0, 1), "INT8": (7.0, 3), "INT4": (4.0, 5)}
RULE_GPU = "a10g"


@dataclass(frozen=True, slots=True)
class Row:
    """One format on one card; `replicas` 0 means that none fits, and then all else is 0."""

    gpu: str
    weights: str
    weights_bytes: int
    weights_alone: int
    """Copies of the weights alone that the card's memory holds."""
    replicas: int
    kv_tokens: int = 0
    batch: int = 0
    tokens_per_s: float = 0.0
    fit_binds: str = ""
    decode_binds: str = ""
    one_batch: int = 0
    one_tokens_per_s: float = 0.0
    one_decode_binds: str = ""


def table_page(
    models: Sequence[Path],
    gpu: str | None,
    demand: Demand,
    options: tuple[str, Calibration],
    as_json: bool,
) -> str:
    """The page, or its rows as JSON. `options`: the KV cache's type, and measured overheads.

    Raises: CheckpointError for a model that cannot be read, ConfigError for more than one or for a
    context that is longer than its own, ValueError for an unknown GPU.
    """
    if len(models) > 1:
        raise ConfigError("--table takes one --model")
    model = models[0] if models else MODEL
    found = rows(model, [find_gpu(gpu)] if gpu else GPUS, demand, *options)
    if as_json:
        return json.dumps([asdict(row) for row in found], indent=2)
    return page(found, model.resolve(), demand)


def rows(
    model: Path, gpus: Sequence[Gpu], demand: Demand, kv_dtype: str, calibration: Calibration
) -> list[Row]:
    """Every format on every card, a card's formats together."""
    facts = {name: read_checkpoint(model, kv_dtype, scheme) for name, scheme in FORMATS.items()}
    return [
        _row(name, fact, gpu, demand, calibration) for gpu in gpus for name, fact in facts.items()
    ]


def _row(
    name: str, facts: CheckpointFacts, gpu: Gpu, demand: Demand, calibration: Calibration
) -> Row:
    alone = gpu.memory_bytes // facts.weights_bytes
    try:
        plan = make_plan(facts, gpu, 1, demand, calibration)
    except DoesNotFit:
        return Row(gpu.name, name, facts.weights_bytes, alone, 0)
    fits = Row(
        gpu.name,
        name,
        facts.weights_bytes,
        alone,
        plan.packed.replicas_per_gpu,
        plan.packed.kv_tokens,
        plan.max_num_seqs,
        fit_binds=plan.packed.binds,
    )
    if (rates := plan.recommendation) is None:  # of the GPU only the size is known
        return fits
    return replace(
        fits,
        tokens_per_s=rates.packed.tokens_per_s,
        decode_binds=rates.packed.binds,
        one_batch=rates.single.batch_per_replica,
        one_tokens_per_s=rates.single.tokens_per_s,
        one_decode_binds=rates.single.binds,
    )


def page(found: Sequence[Row], model: Path, demand: Demand) -> str:
    """The rows as Markdown, and how the rule of thumb compares."""
    name = model.stem if model.is_file() else model.name
    asked = f"{demand.concurrency} requests of {demand.max_model_len:,} tokens"
    return f"""# {name} in 16, 8 and 4 bits on every card

Made by `smallfirst plan --table`; computed, not measured: no GPU was there. Replicas are as many
as each hold {asked} beside weights, activations, CUDA context and graphs;
the memory that is left becomes KV cache, which sets the batch. Tokens per second are for full
batches of full length, all replicas together, by the roofline: an upper bound. *Fits* says what
keeps one more replica out, *decodes* what a step waits for. The last three columns are one replica
that has the card to itself. The arithmetic is in
[the runbook](runbooks/how-many-replicas-fit.md); how to check it on a GPU is in
[the list](gpu-checklist.md).

{_table(found)}{_rule(found)}"""


_HEADS = (
    "GPU", "weights", "GiB", "replicas", "KV tokens of each", "batch of each", "tokens/s",
    "fits", "decodes", "one replica: batch", "tokens/s", "decodes",
)  # fmt: skip


def _table(found: Sequence[Row]) -> str:
    lines = [_line(_HEADS), _line(["---"] * len(_HEADS))]
    for row in found:
        size = f"{row.weights_bytes / GIB:.2f}"
        if not row.replicas:
            lines.append(_line((row.gpu, row.weights, size, "none", *[""] * 8)))
            continue
        lines.append(
            _line(
                (
                    row.gpu,
                    row.weights,
                    size,
                    str(row.replicas),
                    f"{row.kv_tokens:,}",
                    str(row.batch),
                    _rate(row.tokens_per_s),
                    row.fit_binds.replace("_", " "),
                    row.decode_binds,
                    str(row.one_batch or "unknown"),
                    _rate(row.one_tokens_per_s),
                    row.one_decode_binds,
                )
            )
        )
    return "\n".join(lines) + "\n"


def _rate(tokens_per_s: float) -> str:
    return f"{tokens_per_s:,.0f}" if tokens_per_s else "unknown"


def _rule(found: Sequence[Row]) -> str:
    """The rule of thumb beside what was computed for its card."""
    mine = {row.weights: row for row in found if row.gpu == RULE_GPU}
    if not mine:
        return ""
    heads = ("weights", "rule: GB", "computed: GB", "rule: models", "weights alone", "with room")
    lines = [_line(heads), _line(["---"] * len(heads))]
    for name, (rule_gb, rule_models) in RULE.items():
        row = mine[name]
        counts = (str(rule_models), str(row.weights_alone), str(row.replicas))
        lines.append(_line((name, f"{rule_gb:g}", f"{row.weights_bytes / 1e9:.1f}", *counts)))
    table, verdicts = "\n".join(lines), "\n".join(_verdict(mine[name]) for name in RULE)
    return f"""
## The rule of thumb: 28, 7 and 4 GB, so 1, 3 and 5 models on a card of 24 GB

{table}

*Weights alone* divides the memory of {RULE_GPU} by the weights, *with room* is the table above.
{verdicts}

28 GB is four bytes a weight; FP16 has two. The numbers of models count weights only, and so they
are right. But each engine also holds activations, a CUDA context and graphs, and a KV cache without
which it serves nobody: ask for fewer or shorter requests (`--concurrency`, `--max-model-len`) and
more fit. More are not faster for one model: k engines read the weights k times a step and split the
cache.
"""


def _verdict(row: Row) -> str:
    """Whether the rule's size and number of models hold for one format."""
    rule_gb, rule_models = RULE[row.weights]
    gb = row.weights_bytes / 1e9
    size = "agrees within a tenth" if abs(gb / rule_gb - 1) <= 0.1 else f"is really {gb:.1f} GB"
    alone = "agrees" if row.weights_alone == rule_models else f"would be {row.weights_alone}"
    room = "also holds" if row.replicas == rule_models else f"becomes {row.replicas}"
    return (
        f"- {row.weights}: {rule_gb:g} GB {size}; {rule_models} {alone} by weights alone, "
        f"and {room} with room."
    )


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
