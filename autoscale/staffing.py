"""How many slots keep waits short: queueing theory on plain numbers."""

from __future__ import annotations

import math

_SQRT2 = math.sqrt(2.0)
_SQRT2PI = math.sqrt(2.0 * math.pi)
_BETA_MAX = 8.0  # P(wait) is below 1e-15 there; no sensible objective needs more
_BETA_EXACT = 1e-4
_ROUNDING = 1e-9
_NEWTON_STEPS = 12  # 3 to 6 suffice for every objective from 0.5 to 1e-6


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

    Newton's method on the logarithm of the probability, which is concave and falls: from the second
    step on it comes from above, so what remains of an error is slots too many, never too few.
    """
    if offered_load <= 0.0:
        return 0.0
    scale = math.sqrt(z * offered_load)
    decay = scale * wait_services / z
    goal = math.log(late_fraction)
    beta = 0.0
    for _ in range(_NEWTON_STEPS):
        mills = 0.5 * (1.0 + math.erf(beta / _SQRT2)) * _SQRT2PI * math.exp(0.5 * beta * beta)
        busy = beta * mills
        excess = -math.log1p(busy) - decay * beta - goal
        step = excess / ((mills + beta * busy + beta) / (1.0 + busy) + decay)
        beta = min(_BETA_MAX, beta + step)
        if abs(step) < _BETA_EXACT:
            break
    return offered_load + (beta + _ROUNDING) * scale
