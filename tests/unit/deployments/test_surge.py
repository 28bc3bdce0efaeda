"""A new release starts beside the old one where there is room, and after it where there is none."""

from typing import Any

import pytest

from deployments.commands.surge import restarted_tiers, with_place
from deployments.settings.app import AppConfig

SIMULATED = {"kind": "simulated"}


def config(**tiers: Any) -> AppConfig:
    plain = {"engine": SIMULATED, "num_cpus": 0.5, "gpu_share": 0.25}
    return AppConfig.model_validate(
        {name: {"model": f"sim-{name}", **plain, **tiers.get(name, {})} for name in tiers}
    )


OLD = config(small={}, large={"gpu_share": 0.5})
NEW = OLD.changed({"small": {"model": "newer"}})


@pytest.mark.parametrize(
    ("free", "surge", "lacks"),
    [
        ({"CPU": 2, "GPU": 1}, 1, None),
        ({"CPU": 2, "GPU": 0.25}, 1, None),
        ({"CPU": 0.5, "GPU": 0.25}, 1, None),
        ({"CPU": 2, "GPU": 0.2499999}, 1, None),  # Ray's own rounding
        ({"CPU": 2, "GPU": 0.2}, 0, "0.25 GPU needed, 0.2 free"),
        ({"CPU": 2}, 0, "0.25 GPU needed, 0 free"),
        ({"CPU": 0.4, "GPU": 1}, 0, "0.5 CPU needed, 0.4 free"),
    ],
    ids=str,
)
def test_without_a_spare_place_a_tier_drains_both_ways(
    free: dict[str, float], surge: int, lacks: str | None
) -> None:
    before, after, notes = with_place(OLD, NEW, free)
    assert (before.small.max_surge_percent, after.small.max_surge_percent) == (surge, surge)
    assert (before.large, after.large) == (OLD.large, NEW.large)
    assert after.changed({"small": {"max_surge_percent": 1}}) == NEW
    assert len(notes) == bool(lacks) and all((lacks or "") in note for note in notes)


@pytest.mark.parametrize(("replicas", "says"), [(1, "the tier is away"), (2, "the others answer")])
def test_what_draining_means_is_said(replicas: int, says: str) -> None:
    scaling = {"scaling": {"min_replicas": replicas, "max_replicas": replicas}}
    old, new = (one.changed({"small": scaling}) for one in (OLD, NEW))
    (note,) = with_place(old, new, {"CPU": 2})[2]
    assert note.startswith("small: no place beside the old replicas") and says in note


def test_two_tiers_that_roll_at_once_need_two_places() -> None:
    both = NEW.changed({"large": {"model": "larger"}})
    before, after, notes = with_place(OLD, both, {"CPU": 2, "GPU": 0.5})
    assert [config.small.max_surge_percent for config in (before, after)] == [1, 1]
    assert [config.large.max_surge_percent for config in (before, after)] == [0, 0]
    assert len(notes) == 1


def test_a_tier_that_was_told_to_drain_needs_no_word() -> None:
    draining = {"small": {"max_surge_percent": 0}}
    old, new = OLD.changed(draining), NEW.changed(draining)
    assert with_place(old, new, {}) == (old, new, [])


@pytest.mark.parametrize(
    ("changes", "tiers"),
    [
        ({}, []),
        ({"small": {"model": "newer"}}, ["small"]),
        ({"large": {"engine": {**SIMULATED, "seed": 9}}}, ["large"]),
        ({"small": {"gpu_share": 0.5}}, ["small"]),
        ({"small": {"num_cpus": 1}}, ["small"]),
        ({"small": {"scaling": {"max_replicas": 9}}, "local_only": True}, []),
        ({"small": {"capabilities": ["tools"]}}, []),
    ],
    ids=str,
)
def test_only_a_release_or_its_part_of_the_machine_restarts(
    changes: dict[str, Any], tiers: list[str]
) -> None:
    assert restarted_tiers(OLD, OLD.changed(changes)) == tiers
