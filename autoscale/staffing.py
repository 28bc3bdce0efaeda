"""How many slots keep waits short: queueing theory on plain numbers."""

from __future__ import annotations

import math

_SQRT2 = math.sqrt(2.0)
_SQRT2PI = math.sqrt(2.0 * math.pi)
_BETA_MAX = 8.0  # P(wait) is below 1e-15 there; no sensible objective needs more


def late_probability(slots: float, offered_load: float, wait_services: float, z: float) -> float:
    """P(wait > wait_services x mean service time) for `offered_load` erlangs on `slots` slots.

    `z` is the burstiness: the variance-to-mean ratio of demand, 1 for Poisson arrivals.
    Halfin and Whitt (Operations Research 29, 1981): with beta = (slots - load) / sqrt(z load),
    P(wait) = 1 / (1 + beta Phi(beta) / phi(beta)), and the conditional wait is exponential with
    mean z / (slots - load) service times. For z = 1 within 0.03 of exact Erlang-C from 8 slots
    up (tests/unit/autoscale/test_staffing.py).
    """
    if offered_load <= 0.0:
        return 0.0
    spare = slots - offered_load
    if spare <= 0.0:
        return 1.0
    beta = spare / math.sqrt(z * offered_load)
    if beta >= _BETA_MAX:
        return 0.0
    density = math.exp(-0.5 * beta * beta) / _SQRT2PI
    cumulative = 0.5 * (1.0 + math.erf(beta / _SQRT2))
    waits = 1.0 / (1.0 + beta * cumulative / density)
    return waits * math.exp(-spare * wait_services / z)


def required_slots(
    offered_load: float, late_fraction: float, wait_services: float, z: float
) -> float:
    """Fewest slots (fractional) at which `late_probability` is at most `late_fraction`.

    Bisection on beta, which is monotone; 16 halvings leave an error of 1e-4 sqrt(z load), upwards.
    """
    if offered_load <= 0.0:
        return 0.0
    scale = math.sqrt(z * offered_load)
    low, high = 0.0, _BETA_MAX
    for _ in range(16):
        beta = 0.5 * (low + high)
        slots = offered_load + beta * scale
        if late_probability(slots, offered_load, wait_services, z) > late_fraction:
            low = beta
        else:
            high = beta
    return offered_load + high * scale
