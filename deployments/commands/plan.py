"""`smallfirst plan` and `smallfirst quantize`: what fits on a GPU, and making it smaller.

Figures go to standard output, everything else to standard error. Bad input is one line and exit
code 2.
"""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, NoReturn

import typer
from rich.console import Console
from rich.progress import Progress

from autoscale.packing.fleet import Item, pack_fleet, shares
from autoscale.packing.gpus import Gpu, find_gpu
from autoscale.packing.kv import Demand
from autoscale.packing.plan import needed_bytes, usable_bytes
from deployments.commands.plan_model import (
    Calibration,
    Plan,
    footprint_of,
    make_plan,
    read_calibration,
)
from deployments.commands.plan_output import (
    as_yaml,
    print_fleet,
    print_plan,
    print_quality,
    tier_settings,
)
from deployments.commands.plan_table import MAX_MODEL_LEN as TABLE_MAX_MODEL_LEN
from deployments.commands.plan_table import table_page
from deployments.settings.config_mistake import ConfigError
from models.adapter import AdapterSet, is_adapter, read_adapters
from models.checkpoint import CheckpointFacts, read_checkpoint
from models.text_lines import DEFAULT_EVALUATION, read_text_lines
from models.weight_scheme import INT4

# vLLM's default is the model's whole context, which for a 128k model leaves room for one request.
DEFAULT_MAX_MODEL_LEN = 8192

app = typer.Typer(help=__doc__, no_args_is_help=True)


def fail(error: Exception) -> NoReturn:
    """One line on standard error, exit code 2."""
    Console(stderr=True, soft_wrap=True).print(f"error: {error}", markup=False, highlight=False)
    raise typer.Exit(2) from error


def _above_zero(**sizes: int | None) -> None:
    for name, size in sizes.items():
        if size is not None and size < 1:
            option = name.replace("_", "-")
            raise ConfigError(f"--{option} must be at least 1, got {size}")


@app.command()
def plan(
    model: Annotated[
        list[Path] | None,
        typer.Option(help="Model folder, config.json or LoRA adapter; repeatable."),
    ] = None,
    gpu: Annotated[
        str | None, typer.Option(help="GPU name (a10g, l4, h100, ...) or its GiB.")
    ] = None,
    gpus: Annotated[int | None, typer.Option(help="How many of that GPU.")] = None,
    max_model_len: Annotated[int | None, typer.Option(help="Context in tokens.")] = None,
    concurrency: Annotated[int, typer.Option(help="Full requests in each replica.")] = 8,
    replicas_per_gpu: Annotated[int | None, typer.Option(help="Exactly this many.")] = None,
    block_size: Annotated[int, typer.Option(help="KV block in tokens.")] = 16,
    kv_dtype: Annotated[str, typer.Option(help="KV cache type: auto or fp8.")] = "auto",
    int4: Annotated[bool, typer.Option(help="Estimate the weights as if W4A16.")] = False,
    calibration: Annotated[Path | None, typer.Option(help="Measured overheads, JSON.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="An object for programs.")] = False,
    table: Annotated[
        bool,
        typer.Option(help="A page: FP16, INT8 and INT4 on every GPU; without --model a 7B model."),
    ] = False,
    emit: Annotated[
        Literal["serve_config"] | None, typer.Option(help="Only the YAML block of the small tier.")
    ] = None,
) -> None:
    """How many replicas fit on a GPU, what each may hold, and the exact settings."""
    options = _Options(gpus, kv_dtype, int4, as_json, emit)
    try:
        _above_zero(
            gpus=gpus,
            max_model_len=max_model_len,
            concurrency=concurrency,
            replicas_per_gpu=replicas_per_gpu,
            block_size=block_size,
        )
        demand = Demand(max_model_len or 0, concurrency, block_size)
        demand = replace(demand, replicas_per_gpu=replicas_per_gpu)
        measured = read_calibration(calibration)
        if table:
            _print_table(model or [], gpu, demand, measured, options)
        elif model and gpu:
            _plan_models(model, find_gpu(gpu), demand, measured, options)
        else:
            raise ConfigError("--model and --gpu are needed; only --table does without")
    except ValueError as error:
        fail(error)


class _Options(NamedTuple):
    gpus: int | None
    kv_dtype: str
    int4: bool
    as_json: bool
    emit: Literal["serve_config"] | None


def _plan_models(
    paths: list[Path], gpu: Gpu, demand: Demand, measured: Calibration, options: _Options
) -> None:
    """The plan of one model, or the placement of several; a context of 0 is the models' own."""
    facts, adapters = _read_models(paths, options.kv_dtype, options.int4)
    own = min(DEFAULT_MAX_MODEL_LEN, *(fact.max_context_tokens for fact in facts))
    demand = replace(demand, max_model_len=demand.max_model_len or own)
    if len(facts) > 1:
        if options.emit:
            raise ConfigError("--emit serve_config takes one model")
        _plan_fleet(facts, gpu, demand, measured, options.gpus, options.as_json)
        return
    result = make_plan(facts[0], gpu, options.gpus or 1, demand, measured)
    if options.emit:
        base = next(path for path in paths if not is_adapter(path))
        settings = tier_settings(_as_recommended(result, measured), base, adapters)
        typer.echo(as_yaml(settings, options.int4), nl=False)
    elif options.as_json:
        typer.echo(json.dumps(result.as_json(), indent=2))
    else:
        print_plan(result, Console())


def _print_table(
    paths: list[Path], gpu: str | None, demand: Demand, measured: Calibration, options: _Options
) -> None:
    """The page of `--table`; a context of 0 is a chat's."""
    one_plan_only = {
        "--gpus": options.gpus,
        "--replicas-per-gpu": demand.replicas_per_gpu,
        "--int4": options.int4,
        "--emit": options.emit,
    }
    if given := [name for name, value in one_plan_only.items() if value]:
        raise ConfigError(f"{given[0]} has no meaning beside --table")
    demand = replace(demand, max_model_len=demand.max_model_len or TABLE_MAX_MODEL_LEN)
    typer.echo(table_page(paths, gpu, demand, (options.kv_dtype, measured), options.as_json))


def _as_recommended(plan: Plan, calibration: Calibration) -> Plan:
    """The plan with the recommended number of replicas, unless a number was asked for."""
    if plan.demand.replicas_per_gpu is not None or plan.recommendation is None:
        return plan
    wanted = replace(plan.demand, replicas_per_gpu=plan.recommendation.replicas_per_gpu)
    return make_plan(plan.facts, plan.gpu, plan.gpus, wanted, calibration)


def _read_models(
    paths: list[Path], kv_dtype: str, int4: bool
) -> tuple[list[CheckpointFacts], AdapterSet]:
    """The models; adapters take their slots in the one base model's replicas."""
    bases = [path for path in paths if not is_adapter(path)]
    if len(bases) < len(paths) and len(bases) != 1:
        raise ConfigError("LoRA adapters are planned with exactly one base model beside them")
    adapters = read_adapters([path for path in paths if is_adapter(path)], bases[0])
    facts = [read_checkpoint(path, kv_dtype, INT4 if int4 else None) for path in bases]
    first = replace(facts[0], beside_bytes=facts[0].beside_bytes + adapters.slots_bytes)
    return [first, *facts[1:]], adapters


@app.command()
def quantize(
    model: Annotated[Path, typer.Option(help="Hugging Face checkpoint folder.")],
    out: Annotated[Path, typer.Option(help="Folder to make; must not exist.")],
    scheme: Annotated[Literal["w4a16"], typer.Option(help="4-bit weights.")] = "w4a16",
    method: Annotated[
        Literal["rtn", "gptq", "awq"], typer.Option(help="rtn needs no data.")
    ] = "rtn",
    group_size: Annotated[int | None, typer.Option(help="Weights with one scale.")] = None,
    symmetric: Annotated[bool, typer.Option(help="No zero points.")] = False,
    calibration: Annotated[Path | None, typer.Option(help="JSON lines with 'text'.")] = None,
    python: Annotated[
        Path | None, typer.Option(help="The Python that has llmcompressor, for gptq and awq.")
    ] = None,
    evaluate: Annotated[Path | None, typer.Option(help="JSON lines; built in if left out.")] = None,
    max_regression: Annotated[
        float | None, typer.Option(help="Largest loss allowed, as a fraction.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="An object for programs.")] = False,
) -> None:
    """A checkpoint to INT4 (compressed-tensors) for vLLM, measured before and after."""
    # Here, because torch takes seconds to import and `plan` does without.
    from models.quantise import Settings, quantise_checkpoint

    try:
        _above_zero(group_size=group_size)
        if max_regression is not None and max_regression < 0:
            raise ConfigError(f"--max-regression must be at least 0, got {max_regression}")
        texts = tuple(read_text_lines(calibration).texts) if calibration else ()
        lines = read_text_lines(evaluate or DEFAULT_EVALUATION)
        settings = Settings(
            method, group_size, symmetric, texts, max_regression, python or Path(sys.executable)
        )
        with step_bar() as on_step:
            result = quantise_checkpoint(model, out, settings, lines, on_step)
    except ValueError as error:
        fail(error)
    if as_json:
        typer.echo(json.dumps({"out": str(out), "scheme": scheme} | asdict(result), indent=2))
    else:
        print_quality(result, out, Console())


@contextmanager
def step_bar() -> Iterator[Callable[[str, float], None]]:
    """A progress bar on standard error, moved by (step, finished fraction)."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("starting", total=1.0)
        yield lambda step, part: progress.update(task, description=step, completed=part)


def _plan_fleet(
    facts: list[CheckpointFacts],
    gpu: Gpu,
    demand: Demand,
    calibration: Calibration,
    gpus: int | None,
    as_json: bool,
) -> None:
    """One replica of each model on as few GPUs as possible; `gpus` is how many there are."""
    overheads = calibration.overheads()
    items = [
        Item(fact.name, needed_bytes(footprint_of(fact, demand, calibration), overheads, demand))
        for fact in facts
    ]
    usable = usable_bytes(gpu.memory_bytes, overheads)
    fleet = pack_fleet(items, usable)
    needed = len(fleet.gpus)
    if gpus is not None and needed > gpus:
        raise ConfigError(f"{needed} GPUs are needed, {needed - gpus} more than --gpus {gpus}")
    if not as_json:
        print_fleet(fleet, usable, Console())
        return
    placement = [
        [
            item._asdict() | {"gpu_share": share}
            for item, share in zip(g, shares(g, usable), strict=True)
        ]
        for g in fleet.gpus
    ]
    document = asdict(fleet) | {"gpus": placement, "optimum_gap": fleet.optimum_gap}
    typer.echo(json.dumps(document, indent=2))
