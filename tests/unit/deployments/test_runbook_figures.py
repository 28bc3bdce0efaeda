"""The runbook's worked figures are what `plan` computes."""

import json
import re
from pathlib import Path

import pytest

from autoscale.packing.gpus import find_gpu
from autoscale.packing.kv import Demand
from autoscale.packing.plan import GIB
from deployments.commands.plan_model import Calibration, make_plan
from models.checkpoint import read_checkpoint
from models.weight_scheme import INT4
from tests.unit.models.published_configs import MISTRAL_7B

RUNBOOK = Path(__file__).parents[3] / "docs" / "runbooks" / "how-many-replicas-fit.md"
ROWS = [
    tuple(cell.strip() for cell in line.strip("|").split("|"))
    for line in RUNBOOK.read_text().splitlines()
    if re.match(r"\| a1\d", line)
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]}, {row[3]} requests")
def test_a_row_of_the_table_is_what_plan_says(row: tuple[str, ...], tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps(MISTRAL_7B))
    gpu, _, usable, requests, replicas, kv_cache, kv_tokens = row
    facts = read_checkpoint(config, as_if=INT4)
    packed = make_plan(facts, find_gpu(gpu), 1, Demand(8192, int(requests)), Calibration()).packed
    assert usable == f"{packed.usable_bytes / GIB:.2f} GiB"
    assert int(replicas) == packed.replicas_per_gpu
    assert kv_cache == f"{packed.kv_cache_memory_bytes / GIB:.2f} GiB"
    assert kv_tokens == f"{packed.kv_tokens:,}"


def test_the_table_covers_24_40_and_80_gb() -> None:
    assert {row[1] for row in ROWS} == {"24 GB", "40 GB", "80 GB"}
