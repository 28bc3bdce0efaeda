"""`smallfirst plan --table`: the page in docs is what it prints, and its rows are `plan`'s own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from deployments.cli import app
from deployments.commands.plan_table import MODEL
from models.checkpoint import read_checkpoint
from models.weight_scheme import INT4, INT8, PLAIN

PAGE = Path(__file__).parents[3] / "docs" / "a-7b-model-on-every-card.md"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["plan", *map(str, arguments)])


def test_the_page_in_docs_is_what_the_command_prints() -> None:
    assert run("--table").stdout.rstrip("\n") == PAGE.read_text(encoding="utf-8").rstrip("\n")


def test_sixteen_bits_are_two_bytes_a_weight_and_fewer_are_fewer() -> None:
    sixteen, eight, four = (
        read_checkpoint(MODEL, as_if=scheme).weights_bytes for scheme in (PLAIN, INT8, INT4)
    )
    assert sixteen == 2 * 7_248_023_552  # the parameters of the published checkpoint
    beside = 2 * 2 * 32768 * 4096 + 2 * 4096 * 65  # embeddings, head and norms stay in 16 bits
    assert eight - beside == (sixteen - beside) / 2
    assert (sixteen - beside) / 4 < four - beside < 1.05 * (sixteen - beside) / 4


@pytest.mark.parametrize("gpu", ["a100-80gb", "a100-80gb-mig-1g.10gb"])
def test_a_row_is_what_plan_says_for_that_card(gpu: str) -> None:
    row = json.loads(run("--table", "--gpu", gpu, "--json").stdout)[-1]
    plan = json.loads(
        run("--model", MODEL, "--gpu", gpu, "--int4", "--max-model-len", 2048, "--json").stdout
    )
    assert (row["gpu"], row["weights"]) == (gpu, "INT4")
    assert row["replicas"] == plan["replicas_per_gpu"] > 0
    assert row["kv_tokens"] == plan["kv_tokens"]
    assert row["fit_binds"] == plan["binds"]
    assert row["tokens_per_s"] == plan["recommendation"]["packed"]["tokens_per_s"]
    assert row["one_tokens_per_s"] == plan["recommendation"]["single"]["tokens_per_s"]


def test_what_fits_nowhere_and_what_is_unknown_are_said() -> None:
    assert "| 6GiB | FP16 | 13.50 | none |" in run("--table", "--gpu", 6).stdout
    assert "| unknown |" in run("--table", "--gpu", 48).stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--table", "--emit", "serve_config"], "--emit has no meaning beside --table"),
        (["--table", "--gpus", 2], "--gpus has no meaning beside --table"),
        (["--table", "--model", MODEL, "--model", MODEL], "--table takes one --model"),
        (["--table", "--max-model-len", 99_999], "is more than the 32768"),
        (["--table", "--gpu", "a1000"], "unknown GPU"),
        (["--gpu", "l4"], "--model and --gpu are needed"),
        (["--model", MODEL], "--model and --gpu are needed"),
    ],
)
def test_what_makes_no_sense_is_one_line(arguments: list[object], said: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert said in result.stderr and len(result.stderr.splitlines()) == 1
