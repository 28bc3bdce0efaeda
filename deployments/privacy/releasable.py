"""The one thing that the door out of the cluster takes, and who may make it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NoReturn, final

# in_cluster: the endpoint is inside. masked: what was found stayed here. allowed: the operator lets
# these kinds leave.
Why = Literal["in_cluster", "nothing_found", "masked", "allowed"]
# Known to `policy` alone; `tests/unit/deployments/test_one_door.py` holds that.
SEAL: Final = object()


@dataclass(frozen=True, slots=True)
class Destination:
    """Where something is to go: what is released to one endpoint is not to another."""

    url: str
    in_cluster: bool


@final
@dataclass(frozen=True, slots=True, eq=False)
class Releasable:
    """Bytes that the policy has let go to one destination. No copy of it can be made or changed."""

    seal: object = field(repr=False)
    destination: Destination
    content: bytes = field(repr=False)
    # As the endpoint is told it: a client may write anything into its own.
    request_id: str
    why: Why
    # Finds that leave, or left as placeholders, by kind.
    kinds: Mapping[str, int] = field(default_factory=dict)
    # What each placeholder stands for; never leaves.
    masks: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if self.seal is not SEAL or type(self) is not Releasable:
            raise TypeError("only the policy makes what may leave the cluster")

    def __init_subclass__(cls) -> NoReturn:
        raise TypeError("what may leave the cluster has no other kinds")

    def __reduce_ex__(self, _: Any) -> NoReturn:
        raise TypeError("what may leave the cluster is neither copied nor stored")
