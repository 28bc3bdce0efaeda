"""A request that waits at its gateway for what the accounts' owner says."""

import asyncio
from dataclasses import dataclass, field

from deployments.accounting.purse import Hold
from deployments.accounting.turns import Draw, Refused
from deployments.settings.api_key import Limits


@dataclass(slots=True)
class PendingDraw:
    """What it needs, under which limits, and its hold once there is an answer."""

    limits: Limits
    draw: Draw
    hold: asyncio.Future[Hold | Refused | None] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    def answer(self, answer: Hold | Refused | None) -> bool:
        """Tell the request; whether anybody still waits for it."""
        if self.hold.done():
            return False
        self.hold.set_result(answer)
        return True
