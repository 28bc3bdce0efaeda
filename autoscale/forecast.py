"""The rate that is expected one lead time ahead, from arrivals counted in buckets. Pure."""

from __future__ import annotations

import math
from operator import mul

BUCKET_S = 5.0
"""Seconds a bucket: one long enough to hold tens of requests at 5 rps, short enough to react."""

LONG_BUCKETS = 120
"""600 s: the trend of a diurnal ramp stands out of Poisson noise at 5 rps."""

LEVEL_BUCKETS = 24
"""120 s: what the forecast takes for the level. Shorter is noisier, longer lags behind a ramp."""

_CONFIRM_BUCKETS = 6  # 30 s: what a falling trend must agree with
_TREND_MAX = 0.5  # of the level: a steeper rise is a step, and the rate of now answers steps


def forecast(arrivals: tuple[float, ...], lead_s: float) -> float:
    """Expected requests a second one lead time after the last bucket: level plus trend.

    The trend is used only from a full 600 s on. It adds at most half the level, and takes away no
    more than the last 30 s confirm: after a step down the slope lives on when the fall has ended.
    """
    if not arrivals:
        return 0.0
    level = level_rps(arrivals)
    if len(arrivals) < LONG_BUCKETS:
        return level
    slope = math.fsum(map(mul, _TREND_WEIGHTS, arrivals))
    change = slope * (lead_s + 0.5 * LEVEL_BUCKETS * BUCKET_S)
    confirmed = mean_rps(arrivals[-_CONFIRM_BUCKETS:]) - level
    return level + max(min(0.0, confirmed), min(_TREND_MAX * level, change))


def level_rps(arrivals: tuple[float, ...]) -> float:
    """Mean rate of the last 120 s of buckets, or of all if there are fewer."""
    return mean_rps(arrivals[-LEVEL_BUCKETS:])


def mean_rps(arrivals: tuple[float, ...]) -> float:
    """Mean rate over these buckets; 0 if there are none."""
    return sum(arrivals) / (len(arrivals) * BUCKET_S) if arrivals else 0.0


def _trend_weights() -> tuple[float, ...]:
    """Weights of a least-squares slope (rps per second) over LONG_BUCKETS counts."""
    middle = (LONG_BUCKETS - 1) / 2.0
    total = sum((index - middle) ** 2 for index in range(LONG_BUCKETS))
    return tuple((i - middle) / (total * BUCKET_S * BUCKET_S) for i in range(LONG_BUCKETS))


_TREND_WEIGHTS = _trend_weights()
