"""A swap where every share of the GPU is held: each replica leaves before the next one starts."""

import pytest

from bench.faults.drill import ARGS, Drill, drilled, merged

pytestmark = pytest.mark.timeout(400)


def test_a_swap_on_a_full_gpu_drains_one_replica_after_the_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A logical GPU, as Ray's own tests have it; two halves fill it.
    monkeypatch.setenv("RAY_OVERRIDE_RESOURCES", '{"GPU": 1}')
    said: list[str] = []

    def swap(drill: Drill) -> None:
        words = ["--model", "sim-new", "--config", str(drill.config), "--within", "120"]
        said.append(drill.command("swap", "small", *words))

    one = {"min_replicas": 1, "max_replicas": 1}
    args = merged(ARGS, {"small": {"gpu_share": 0.5}, "gateway": {"scaling": one}})
    with drilled(args, per_s=10) as drill:
        row = drill.measure("swap", swap)
    assert "small: no place beside the old replicas (0.5 GPU needed, 0 free)" in said[0]
    assert "the others answer meanwhile" in said[0] and "small is now sim-new" in said[0]
    assert (row.lost, row.cut, row.restarted) == (0, 0, ["SmallTier"]), row
