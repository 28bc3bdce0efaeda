"""PyTorch's INT4 product against unpacked weights, on the shapes of the default model.

    python -m bench.packing.int4_without_avx512

One thread, groups of 32. `error` is the largest difference from the product in float32, relative to
the largest output.
"""

import datetime
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from bench.overhead.report import hardware, table

COMMAND = "python -m bench.packing.int4_without_avx512"
RESULT = Path(__file__).parent / "results" / "int4_without_avx512.md"
# Outputs and inputs of a block's four products (SmolLM2-135M).
SHAPES = ((960, 576), (576, 576), (3072, 576), (576, 1536))
ROWS = (1, 8, 32, 256)
GROUP = 32
ROUNDS = 30


def median_us(product: Callable[[], torch.Tensor]) -> float:
    """Median time of a product, microseconds."""
    product()
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        product()
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1e6


def block(rows: int) -> tuple[float, float, float, float]:
    """Microseconds of a block's products by INT4, bfloat16 and float32; the largest error."""
    spent, error = [0.0, 0.0, 0.0], 0.0
    for outputs, inputs in SHAPES:
        values = torch.randint(0, 16, (outputs, inputs), dtype=torch.int32)
        scales = (torch.rand(inputs // GROUP, outputs) * 0.02).to(torch.bfloat16)
        pairs = torch.stack([scales, torch.zeros_like(scales)], -1).contiguous()
        packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu(values, 1)
        whole = (values - 8) * scales.float().t().repeat_interleave(GROUP, 1)
        half, x = whole.to(torch.bfloat16), torch.randn(rows, inputs).to(torch.bfloat16)
        mm = torch.ops.aten._weight_int4pack_mm_for_cpu
        products: tuple[Callable[[], torch.Tensor], ...] = (
            partial(mm, x, packed, GROUP, pairs),
            partial(torch.nn.functional.linear, x, half),
            partial(torch.nn.functional.linear, x.float(), whole),
        )
        exact = products[2]()
        error = max(error, float((products[0]().float() - exact).abs().max() / exact.abs().max()))
        spent = [sum(pair) for pair in zip(spent, map(median_us, products), strict=True)]
    return spent[0], spent[1], spent[2], error


def main() -> None:
    """Measure, print the table, write the result."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    lines = []
    for rows in ROWS:
        int4, half, single, error = block(rows)
        times = (int4, half, single)
        lines.append([rows, *(f"{us:.0f}" for us in times), f"{half / int4:.1f}", f"{error:.2%}"])
    head = ["rows", "INT4 us", "bfloat16 us", "float32 us", "bfloat16 / INT4", "error"]
    text = table(head, lines)
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    capability = torch.backends.cpu.get_cpu_capability()
    RESULT.write_text(f"{today}, {hardware()}, {capability}; `{COMMAND}`.\n\n{text}\n")
    print(text)


if __name__ == "__main__":
    main()
