"""Hands a settled exchange to all who keep something of it; what they raise stays here."""

import logging
from collections.abc import Callable, Sequence

from deployments.accounting.exchange import Exchange

log = logging.getLogger("ray.serve")


class Settlement:
    """Keeps what is kept of a request. Never raises: the answer is worth more than its record."""

    def __init__(
        self, keepers: Sequence[Callable[[Exchange], None]], failed: Callable[[], None]
    ) -> None:
        """`failed` counts what a keeper could not keep."""
        self._keepers = keepers
        self._failed = failed
        self._said = False

    def __call__(self, exchange: Exchange) -> None:
        """Give the exchange to each keeper, whatever became of the one before."""
        for keep in self._keepers:
            try:
                keep(exchange)
            except Exception as error:
                self._note(error)

    def _note(self, error: Exception) -> None:
        # The type alone: a message may hold text of the request.
        if not self._said:
            log.error("accounting failed: %s; said once, counted", type(error).__name__)
        self._said = True
        try:
            self._failed()
        except Exception:
            log.debug("accounting cannot count its failures")
