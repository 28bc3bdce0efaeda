"""The GPUs that `smallfirst plan` knows by name.

`memory_gib` is what CUDA reports as the device's total memory, which is less than the label: a low
value among public out-of-memory messages and vLLM start-up logs, so that a plan errs on the safe
side. MIG sizes are those of `nvidia-smi mig -lgip`. Bandwidth and dense 16-bit tensor
throughput are from NVIDIA's datasheets. A slice has the card's share of both.
"""

import re
from difflib import get_close_matches
from typing import NamedTuple

GIB = 1 << 30
# Words of `nvidia-smi` and of the node label `nvidia.com/gpu.product` (gpu-feature-discovery) that
# tell none of the cards below from another. PCIe does: an H100 on it has half the bandwidth.
DECORATION = re.compile(r"nvidia|geforce|sxm\d?|hbm\d?|shared")


class Gpu(NamedTuple):
    """One device: memory in GiB, bandwidth in GB/s, dense 16-bit throughput in TFLOP/s."""

    name: str
    memory_gib: float
    bandwidth_gb_per_s: float
    tflops: float
    source: str

    @property
    def memory_bytes(self) -> int:
        """The device's memory in whole bytes."""
        return int(self.memory_gib * GIB)


def _slices(card: Gpu, sizes: dict[str, tuple[float, float, float]]) -> list[Gpu]:
    """MIG slices of a card: profile -> (GiB, fraction of memory, fraction of SMs)."""
    return [
        Gpu(
            f"{card.name}-mig-{profile}",
            gib,
            card.bandwidth_gb_per_s * memory_fraction,
            card.tflops * sm_fraction,
            "nvidia-smi mig -lgip; fractions: NVIDIA MIG User Guide, supported profiles",
        )
        for profile, (gib, memory_fraction, sm_fraction) in sizes.items()
    ]


A100_40 = Gpu("a100-40gb", 39.38, 1555, 312, "NVIDIA A100 datasheet (SXM4 40 GB)")
A100_80 = Gpu("a100-80gb", 79.14, 2039, 312, "NVIDIA A100 datasheet (SXM4 80 GB)")
H100 = Gpu("h100-80gb", 79.10, 3350, 989, "NVIDIA H100 datasheet (SXM5 80 GB)")
CARDS = [
    Gpu("a10g", 21.98, 600, 70, "AWS G5 product page; NVIDIA A10 datasheet for the bandwidth"),
    Gpu("l4", 21.95, 300, 121, "NVIDIA L4 datasheet"),
    Gpu("l40s", 44.38, 864, 362, "NVIDIA L40S datasheet; 44.42 GiB in vllm-project/vllm#15815"),
    Gpu("rtx4090", 23.51, 1008, 165, "NVIDIA Ada architecture whitepaper (GeForce RTX 4090)"),
    A100_40,
    A100_80,
    H100,
    Gpu("h200", 139.70, 4800, 989, "NVIDIA H200 datasheet (SXM)"),
    Gpu("b200", 178.30, 7700, 2250, "NVIDIA DGX B200 datasheet, one of eight"),
]
SLICES = [
    *_slices(
        A100_40,
        {
            "1g.5gb": (4.75, 1 / 8, 1 / 7),
            "2g.10gb": (9.75, 2 / 8, 2 / 7),
            "3g.20gb": (19.50, 4 / 8, 3 / 7),
        },
    ),
    *_slices(
        A100_80,
        {
            "1g.10gb": (9.50, 1 / 8, 1 / 7),
            "2g.20gb": (19.50, 2 / 8, 2 / 7),
            "3g.40gb": (39.25, 4 / 8, 3 / 7),
        },
    ),
    *_slices(
        H100,
        {
            "1g.10gb": (9.75, 1 / 8, 1 / 7),
            "2g.20gb": (19.62, 2 / 8, 2 / 7),
            "3g.40gb": (39.50, 4 / 8, 3 / 7),
        },
    ),
]
CATALOGUE = {gpu.name: gpu for gpu in [*CARDS, *SLICES]}
# Names people type for the same card.
ALIASES = {
    "4090": "rtx4090",
    "a100": "a100-80gb",
    "a100-80": "a100-80gb",
    "a100-40": "a100-40gb",
    "h100": "h100-80gb",
}


def _compact(text: str) -> str:
    words = re.split(r"[-_\s]+", text.lower())
    return "".join(word for word in words if not DECORATION.fullmatch(word))


BY_COMPACT_NAME = {_compact(name): gpu for name, gpu in CATALOGUE.items()}
BY_COMPACT_NAME |= {_compact(alias): CATALOGUE[name] for alias, name in ALIASES.items()}


def find_gpu(text: str) -> Gpu:
    """The GPU of that name, or one of that many GiB with unknown bandwidth (0).

    Raises: `ValueError` with the nearest name.
    """
    gib = None if text in ALIASES else _as_gib(text)
    if gib is not None:
        return Gpu(f"{gib:g}GiB", gib, 0, 0, "given")
    if gpu := BY_COMPACT_NAME.get(_compact(text)):
        return gpu
    name = text.strip().lower()
    near = get_close_matches(name, [*CATALOGUE, *ALIASES], n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}? " if near else ""
    cards = ", ".join(card.name for card in CARDS)
    raise ValueError(f"unknown GPU {text!r}: {hint}Known: {cards}, MIG slices, or a size in GiB")


def _as_gib(text: str) -> float | None:
    number = text.strip().lower().removesuffix("gib")
    try:
        gib = float(number)
    except ValueError:
        return None
    if not 0.1 <= gib <= 10_000:
        raise ValueError(f"GPU memory must be between 0.1 and 10000 GiB, got {number}")
    return gib
