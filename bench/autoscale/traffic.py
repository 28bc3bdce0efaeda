"""The traces, days and knobs that the autoscaling benches run on."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import NamedTuple

from autoscale.simulation.arrivals import DAY_S, mean_rate_rps
from autoscale.simulation.compare import Knobs
from autoscale.simulation.trace_files import read_trace
from autoscale.simulation.traces import Trace

DATA = Path("../shared/data/traces")
RESULTS = Path(__file__).parent / "results"
TARGETS = (0.99, 0.999)
HARDWARE = "2 cores of an AMD EPYC, 24 GiB, no GPU"
UTILIZATIONS = (0.5, 0.7, 0.8, 0.9)
# Of the simulated control loop; 1 s gives GPU-hours within 0.2% on day 1 of azure-code.
TICK_S = 4.0
WEEK = tuple(float(day) for day in range(7))


class Source(NamedTuple):
    """A trace, what of it is judged, and how often."""

    file: str
    rate_rps: float | None = None
    """Mean rate to scale to; None leaves it as it is."""
    days: tuple[float, ...] = WEEK
    """Starts of the judged parts. Ray is tuned on what begins at 0, which may be one of them."""
    seeds: tuple[int, ...] = (11,)
    """Of arrivals, work and start-ups. On a day of a week they move GPU-hours by 0.5%, days by
    tens of per cent: one is enough, and the interval is over days."""
    spikes_s: tuple[float, ...] = ()
    """Starts of 3x spikes of ten minutes in each day."""

    @property
    def length_s(self) -> float:
        """Of a part, tuned or judged: a day, or the half of a short trace."""
        return DAY_S if self.days == WEEK else self.days[0] * DAY_S


_CODE = "azure2024/azure2024_code_1week_rate.csv"
_HALF = (0.02,)  # the second half of 58 minutes
_SEEDS = (11, 12, 13, 14, 15)
TRACES = {
    "azure-code": Source(_CODE),
    "azure-code-spikes": Source(_CODE, spikes_s=(20_000.0, 50_000.0, 72_000.0)),
    "servegen-m-small": Source("servegen/m-small_client_rates.csv.gz", 20.0),
    "servegen-m-mid": Source("servegen/m-mid_client_rates.csv.gz", 20.0),
    "azure-2023-conv": Source("azure2023/AzureLLMInferenceTrace_conv.csv", 30.0, _HALF, _SEEDS),
    "azure-2023-code": Source("azure2023/AzureLLMInferenceTrace_code.csv", 30.0, _HALF, _SEEDS),
}


def sweeps(ray_tuned: Knobs) -> list[tuple[str, Knobs]]:
    """Every policy with each value of its one knob."""
    late = (0.3, 0.1, 0.03, 0.01, 1e-3, 1e-6)
    jobs: list[tuple[str, Knobs]] = [("smallfirst", {"late_fraction": value}) for value in late]
    jobs += [("ray-default", {"utilization": u}) for u in UTILIZATIONS]
    jobs += [("ray-tuned", ray_tuned | {"utilization": u}) for u in (0.7, 0.8, 0.9)]
    jobs += [("kpa", {"utilization": u}) for u in (0.7, 0.8)]
    jobs += [("keda", {"utilization": u}) for u in (0.7, 0.9)]
    jobs += [("wva", {"saturation": s}) for s in (0.65, 0.8)]
    jobs += [("static-peak", {"quantile": 0.99})]
    jobs += [("clairvoyant", {"quantile": q}) for q in (0.5, 0.8, 0.9, 1.0)]
    return jobs


def ray_grid() -> list[Knobs]:
    """What a user of Ray may tune on the first day: delays, look-back and target."""
    return [
        {"utilization": u, "look_back_s": b, "up_s": up, "down_s": down}
        for u, b, (up, down) in itertools.product(
            (0.7, 0.8, 0.9), (10.0, 30.0), ((0.0, 120.0), (0.0, 300.0), (0.0, 600.0), (30.0, 600.0))
        )
    ]


def load(name: str) -> tuple[Trace, float]:
    """The trace and its scale."""
    source = TRACES[name]
    trace = read_trace(DATA / source.file)
    rate_rps = source.rate_rps
    return trace, 1.0 if rate_rps is None else rate_rps / mean_rate_rps(trace)
