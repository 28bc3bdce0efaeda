"""The traces, days and knobs that the autoscaling benches run on."""

from __future__ import annotations

import itertools
from pathlib import Path

from autoscale.simulation.arrivals import mean_rate_rps
from autoscale.simulation.compare import Knobs
from autoscale.simulation.trace_files import read_trace
from autoscale.simulation.traces import Trace

DATA = Path("../shared/data/traces")
RESULTS = Path(__file__).parent / "results"
TARGETS = (0.99, 0.999)
SEEDS = (11, 12, 13, 14, 15)
HARDWARE = "2 cores of an AMD EPYC, 24 GiB, no GPU"
UTILIZATIONS = (0.5, 0.7, 0.8, 0.9)
# Of the simulated control loop; 1 s gives GPU-hours within 0.2% on day 1 of azure-code.
TICK_S = 4.0

# name: (file, requests a second to scale to or None, training cut start, held-out starts, spikes)
TRACES: dict[str, tuple[str, float | None, tuple[float, ...], tuple[float, ...]]] = {
    "azure-code": ("azure2024/azure2024_code_1week_rate.csv", None, (0.0, 2.0, 3.0, 5.0), ()),
    "azure-code-spikes": (
        "azure2024/azure2024_code_1week_rate.csv",
        None,
        (0.0, 2.0, 3.0, 5.0),
        (20_000.0, 50_000.0, 72_000.0),
    ),
    "servegen-m-small": ("servegen/m-small_client_rates.csv.gz", 20.0, (0.0, 2.0, 3.0, 5.0), ()),
    "servegen-m-mid": ("servegen/m-mid_client_rates.csv.gz", 20.0, (0.0, 2.0, 3.0, 5.0), ()),
    "azure-2023-conv": ("azure2023/AzureLLMInferenceTrace_conv.csv", 30.0, (0.0, 0.02), ()),
    "azure-2023-code": ("azure2023/AzureLLMInferenceTrace_code.csv", 30.0, (0.0, 0.02), ()),
}


def sweeps(ray_tuned: Knobs) -> list[tuple[str, Knobs]]:
    """Every policy with each value of its one knob."""
    late = (0.5, 0.3, 0.1, 0.03, 0.01, 1e-3, 1e-6)
    jobs: list[tuple[str, Knobs]] = [("smallfirst", {"late_fraction": value}) for value in late]
    jobs += [("ray-default", {"utilization": u}) for u in UTILIZATIONS]
    jobs += [("ray-tuned", ray_tuned | {"utilization": u}) for u in UTILIZATIONS]
    jobs += [("kpa", {"utilization": u}) for u in UTILIZATIONS]
    jobs += [("keda", {"utilization": u}) for u in UTILIZATIONS]
    jobs += [("wva", {"saturation": s}) for s in (0.5, 0.65, 0.8)]
    jobs += [("static-peak", {"quantile": q}) for q in (0.95, 0.99, 1.0)]
    jobs += [("clairvoyant", {"quantile": q}) for q in (0.3, 0.5, 0.8, 0.9, 1.0)]
    return jobs


def ray_grid() -> list[Knobs]:
    """What a user of Ray may tune on the first day: delays, look-back and target."""
    return [
        {"utilization": u, "look_back_s": b, "up_s": up, "down_s": down}
        for u, b, (up, down) in itertools.product(
            (0.7, 0.8, 0.9), (10.0, 30.0), ((0.0, 120.0), (0.0, 300.0), (0.0, 600.0), (30.0, 600.0))
        )
    ]


def load(name: str) -> tuple[Trace, float, tuple[float, ...], tuple[float, ...]]:
    """The trace, its scale, the days (training first) and the spikes."""
    file, rate, days, spikes = TRACES[name]
    trace = read_trace(DATA / file)
    return trace, 1.0 if rate is None else rate / mean_rate_rps(trace), days, spikes
