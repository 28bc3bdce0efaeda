"""`x-ratelimit-*` as OpenAI sends them, and what is left of the tightest cap."""

import time

from deployments.accounting.price import NANO_USD
from deployments.accounting.purse import Purse
from deployments.settings.api_key import ApiKey


def limit_headers(key: ApiKey | None, purse: Purse) -> dict[str, str]:
    """The headers of an answer to a request of this key; none where nothing is limited.

    What is left is what the owner last said of it, with what this gateway holds: another gateway's
    requests of the last moment may have taken some.
    """
    if key is None:
        return {}
    limits, headers = key.limits, {}
    resets = _span(max(0.0, purse.minute_ends_s - time.monotonic()))
    for name, limit, left in (
        ("requests", limits.requests_per_minute, purse.requests + purse.requests_left),
        ("tokens", limits.tokens_per_minute, purse.tokens + purse.tokens_left),
    ):
        if limit is not None:
            headers[f"x-ratelimit-limit-{name}"] = str(limit)
            headers[f"x-ratelimit-remaining-{name}"] = str(min(limit, max(0, left)))
            headers[f"x-ratelimit-reset-{name}"] = resets
    if purse.nano_usd_left >= 0 and limits.usd.any:
        left_usd = (purse.nano_usd_left + purse.free_nano_usd) / NANO_USD
        headers["x-smallfirst-budget-remaining"] = f"{left_usd:.6f}"
    return headers


def _span(seconds: float) -> str:
    """A duration as Go writes it, which is how OpenAI does: `1s`, `6m0s`, `120ms`."""
    if seconds < 1:
        return f"{round(seconds * 1e3)}ms"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
