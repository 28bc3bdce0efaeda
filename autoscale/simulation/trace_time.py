"""What a trace's times count: seconds, or thousandths, millionths, billionths of them.

Decided from the data: a time since 1970 has one size in each unit, a fraction is no whole
millisecond, and the format's published unit holds as long as the request rate is a plausible one.
What stays ambiguous is refused with the flag that decides it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal, NamedTuple

import numpy as np

from autoscale.simulation.workload import Floats

TimeUnit = Literal["s", "ms", "us", "ns"]
SECONDS: dict[TimeUnit, float] = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
# 1990 and 2100, Unix seconds: in another unit these are other millennia.
EPOCH_S = (6.3e8, 4.1e9)
# Mean requests a second that a recorded trace may well have. Published ones have 0.1 to 80.
PLAUSIBLE_RPS = (0.01, 100.0)
# Fewer requests say nothing about a rate.
ENOUGH_REQUESTS = 10
FLAG = "--time-unit s, ms, us or ns"


class UnclearUnit(ValueError):
    """The times can be read in two units; the message names the flag."""


class UnitChoice(NamedTuple):
    """The unit of a column, and why in words for the user; no words where nothing was chosen."""

    unit: TimeUnit
    why: str = ""


def choose_unit(
    times: Floats, published: TimeUnit, asked: TimeUnit | None, named: bool = False
) -> UnitChoice:
    """The unit of numeric times, one a request, of a format whose published unit is given.

    `named`: the column's name says the unit, so that no rate makes it unclear.
    Raises: UnclearUnit, also for times that no unit puts before 2100.
    >>> choose_unit(np.array([61.114, 61.5]), "ms", None).unit
    's'
    """
    if asked is not None:
        return UnitChoice(asked)
    first, last = float(times.min(initial=math.inf)), float(times.max(initial=0.0))
    for unit, seconds in SECONDS.items():
        if EPOCH_S[0] <= first * seconds and last * seconds <= EPOCH_S[1]:
            why = "" if unit == published else f"read as {unit} since 1970"
            return UnitChoice(unit, why)
    fractions = bool((times % 1.0 != 0.0).any())
    likely: TimeUnit = "s" if fractions and not named else published
    if last * SECONDS[likely] > EPOCH_S[1]:
        raise UnclearUnit(
            f"its times, {first:.17g} to {last:.17g}, are neither since 1970 in any unit nor since "
            f"a start in {likely}; write dates as 2024-05-10T00:00:07Z, or say it with {FLAG}"
        )
    if named:
        return UnitChoice(published)
    rates = _rates_rps(times, ("s", "ms") if fractions else tuple(SECONDS))
    plausible = [unit for unit, both in rates.items() if any(map(_is_plausible, both))]
    if plausible and likely not in plausible:
        read = " or ".join(f"{rates[unit][0]:.3g} in {unit}" for unit in (likely, *plausible))
        raise UnclearUnit(
            f"the unit of its times is unclear, requests a second would be {read}; say it with "
            f"{FLAG}"
        )
    if fractions and published != "s":
        return UnitChoice("s", "they have fractions, so they are read as s (or say --time-unit)")
    return UnitChoice(likely, f"read as {likely} (or say --time-unit)" if likely != "s" else "")


def _rates_rps(times: Floats, units: Sequence[TimeUnit]) -> dict[TimeUnit, tuple[float, float]]:
    """The mean rate in each unit, and that of the median gap, which a long silence leaves alone.

    None where the requests are too few to tell.
    """
    gaps = np.diff(np.sort(times))
    gaps = gaps[gaps > 0.0]
    if len(times) < ENOUGH_REQUESTS or not len(gaps):
        return {}
    span, median = float(np.ptp(times)), float(np.median(gaps))
    return {
        unit: (len(times) / (span * SECONDS[unit]), 1.0 / (median * SECONDS[unit]))
        for unit in units
    }


def _is_plausible(rate_rps: float) -> bool:
    return PLAUSIBLE_RPS[0] <= rate_rps <= PLAUSIBLE_RPS[1]


def iso_s(text: str) -> float:
    """Unix seconds of an ISO date with up to nanoseconds, UTC if unsaid; NaN if it is none.

    Python reads no more than six decimals by itself.
    """
    whole, _, rest = text.strip().replace("T", " ").partition(".")
    digits = len(rest) - len(rest.lstrip("0123456789"))
    fraction, zone = rest[:digits], rest[digits:]
    try:
        moment = datetime.fromisoformat(whole + zone)
    except ValueError:
        return math.nan
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return moment.timestamp() + (float(f"0.{fraction}") if fraction else 0.0)
