"""Where a new release finds its place: beside the old one, or only after it has left. Pure."""

from collections.abc import Mapping

from deployments.settings.app import AppConfig, TierConfig, TierName
from deployments.settings.release import release_of

# Ray counts in ten-thousandths.
SLACK = 1e-4


def restarted_tiers(old: AppConfig, new: AppConfig) -> list[TierName]:
    """The tiers whose replicas are replaced: another release, or another part of the machine."""
    return [
        name
        for name, tier in new.tiers.items()
        if release_of(name, tier) != release_of(name, old.tiers[name])
        or (tier.upstreams and old.privacy != new.privacy)
        or _held(tier) != _held(old.tiers[name])
    ]


def with_place(
    old: AppConfig, new: AppConfig, free: Mapping[str, float]
) -> tuple[AppConfig, AppConfig, list[str]]:
    """Both configs so that each can replace the other, and a line for each tier that has to drain.

    A tier whose next replica finds no place beside the old ones (`free`: Ray's resources that
    nobody holds) lets one go before it starts the next, on the way back too.
    """
    notes = []
    room = dict(free)
    for name in restarted_tiers(old, new):
        tier = new.tiers[name]
        lacks = [what for what, n in _held(tier).items() if room.get(what, 0.0) < n - SLACK]
        if not lacks or not tier.max_surge_percent:
            # The next tier rolls at the same time, and finds what this one leaves.
            room = {what: n - _held(tier).get(what, 0.0) for what, n in room.items()}
            continue
        notes.append(_note(name, old.tiers[name], lacks[0], room.get(lacks[0], 0.0), tier))
        old, new = _draining(old, name), _draining(new, name)
    return old, new, notes


def _held(tier: TierConfig) -> dict[str, float]:
    """What Ray reserves for one replica."""
    held = {"CPU": tier.num_cpus, "GPU": tier.num_gpus}
    return {what: amount for what, amount in held.items() if amount}


def _draining(config: AppConfig, name: TierName) -> AppConfig:
    tier = config.tiers[name].model_copy(update={"max_surge_percent": 0})
    return config.model_copy(update={name: tier})


def _note(name: TierName, old: TierConfig, lacks: str, free: float, tier: TierConfig) -> str:
    alone = (
        "with its one replica the tier is away until the new one has started"
        if old.scaling.min_replicas <= 1
        else "the others answer meanwhile"
    )
    return (
        f"{name}: no place beside the old replicas ({_held(tier)[lacks]:g} {lacks} needed, "
        f"{free:g} free): each leaves before the next one starts; {alone}"
    )
