"""Replicas fill a GPU before a second is touched, on a live Ray cluster with logical GPUs."""

import pytest

from bench.packing.placement import CASES, measure, ratio

pytestmark = pytest.mark.timeout(280)


# Each replica also checks that its start lock holds the GPU that Ray assigned, or the run fails.
@pytest.mark.parametrize("case", [(1, 4, "pack"), (2, 2, "pack")], ids=str)
def test_packed_replicas_hold_as_few_gpus_as_possible(case: tuple[int, int, str]) -> None:
    _, steps = measure(CASES.index(case))
    by_replicas = {step.replicas: step.gpus for step in steps}
    assert by_replicas[4] == 1, steps
    assert by_replicas[8] == 2, steps
    # The last step comes down from 8: whole GPUs were freed on the way.
    assert steps[-1].gpus == 1 and steps[-3].gpus == 1, steps
    assert ratio(steps) <= 1.10, steps
