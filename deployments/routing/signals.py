"""What a route is decided by: what was asked, what the tiers are, what the operator wants."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from deployments.routing.cause import Cause
from deployments.settings.app import Need, TierName

# A session that went large stays there for scores this far under the threshold: what is near it
# would switch models, and lose the cache, with every second message. Below, the task is over.
SESSION_MARGIN = 0.2


@dataclass(frozen=True, slots=True)
class Asked:
    """What the client asked for, as far as routing cares."""

    # A tier that the client named, by tier or by model; None: `auto`.
    tier: TierName | None = None
    min_tier_large: bool = False
    local_only: bool = False
    session_large: bool = False
    # The tier that answered the turn to which this request brings tool results.
    turn_tier: TierName | None = None
    # What a model must be able to do, and the parameter of the request that asks for it.
    needs: Mapping[Need, str] = field(default_factory=dict)
    # Hosts that somebody would have to fetch images from.
    media_hosts: frozenset[str] = frozenset()
    # Tiers that the caller's key or budget does not let answer, and which of the two.
    barred: Mapping[TierName, Cause] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TierState:
    """What the router knows of one tier."""

    up: bool = True
    remote: bool = False
    abilities: frozenset[Need] = frozenset()
    # Hosts that its engine may fetch images from.
    media_hosts: frozenset[str] = frozenset()

    def able(self, asked: Asked) -> bool:
        """Whether the tier can do all that a request asks for."""
        return asked.needs.keys() <= self.abilities and asked.media_hosts <= self.media_hosts


@dataclass(frozen=True, slots=True)
class Tiers:
    """Both tiers."""

    small: TierState
    large: TierState

    def state(self, tier: TierName) -> TierState:
        """The state of the named tier."""
        return self.small if tier == "small" else self.large


@dataclass(frozen=True, slots=True)
class Signals:
    """All that is known of a request that nobody has tried to answer yet."""

    asked: Asked
    tiers: Tiers
    # The classifier's complexity in [0, 1]; None: no score came in time.
    score: float | None

    @property
    def claim(self) -> float | None:
        """How much the question asks for the large tier, in [0, 1]; None: nothing says.

        A session that went large stays there by a margin; without a score it stays, too.
        """
        if self.score is None:
            return 1.0 if self.asked.session_large else None
        return min(1.0, self.score + SESSION_MARGIN * self.asked.session_large)

    @property
    def open(self) -> bool:
        """Whether quality decides: the client leaves it open, and both tiers could answer."""
        asked, tiers = self.asked, self.tiers
        left_open = asked.tier is None and asked.turn_tier is None and not asked.min_tier_large
        # What must stay and names an image outside is refused.
        left_open = left_open and not (asked.barred or (asked.local_only and asked.media_hosts))
        return left_open and all(
            tier.up and tier.able(asked) and not (asked.local_only and tier.remote)
            for tier in (tiers.small, tiers.large)
        )


@dataclass(frozen=True, slots=True)
class Policy:
    """What the operator wants, as it stands at this moment."""

    # The claim at and above which a request goes large.
    threshold: float
    # Whether one more escalation by quality fits under the cap.
    affords: bool
