"""Whether something that was looked at again and again grows: a slope with its interval."""

from collections.abc import Sequence

import numpy as np
from scipy import stats

HOUR_S = 3600.0
# Looks that stand for one: what follows shortly after another look is not news.
BLOCKS = 20


def slope_per_hour(times_s: Sequence[float], values: Sequence[float]) -> tuple[float, float, float]:
    """Growth an hour, with its 95% interval: Theil and Sen's median slope over block means.

    Source: Sen, Estimates of the regression coefficient based on Kendall's tau, 1968.

    >>> slope_per_hour([0, 1800, 3600], [5.0, 5.5, 6.0])
    (1.0, 1.0, 1.0)
    """
    blocks = min(BLOCKS, len(values))
    times = [float(part.mean()) for part in np.array_split(np.asarray(times_s, float), blocks)]
    means = [float(part.mean()) for part in np.array_split(np.asarray(values, float), blocks)]
    slope, _, low, high = stats.theilslopes(means, times, alpha=0.95)
    return float(slope * HOUR_S), float(low * HOUR_S), float(high * HOUR_S)
