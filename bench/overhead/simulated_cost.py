"""CPU of the simulated engine itself per streamed chunk: it must be small beside what it measures.

    python -m bench.overhead.simulated_cost

One process, no network. With one client the process sleeps between tokens and each wake-up pays
for cold caches and a system call; with 32 clients one timer serves all of them.
"""

import asyncio
import statistics
import time
from typing import Any

from bench.overhead import report
from deployments.protocol.engine import EngineRequest
from deployments.settings.simulated import SimulatedEngineConfig
from deployments.simulated.engine import SimulatedEngine

COMMAND = "python -m bench.overhead.simulated_cost"
ROUNDS = 5
TOKENS = 300
CASES = [(clients, delay_s) for clients in (1, 32) for delay_s in (0.0, 0.01)]


async def _cost(clients: int, delay_s: float) -> float:
    """CPU microseconds per item."""
    engine = SimulatedEngine(
        SimulatedEngineConfig(
            inter_token_delay_s=delay_s,
            inter_token_delay_growth=0.0,
            max_num_seqs=clients,
            kv_cache_tokens=10**6,
        ),
        "m",
    )
    await engine.start()

    async def client(number: int) -> int:
        body: dict[str, Any] = {"model": "m", "prompt": "Hi", "max_tokens": TOKENS, "stream": True}
        request = EngineRequest("completions", body, f"r{number}")
        return len([item async for item in engine.generate(request)])

    before = time.process_time()
    items = sum(await asyncio.gather(*(client(number) for number in range(clients))))
    return (time.process_time() - before) / items * 1e6


def main() -> None:
    """Measure, print the table, write results/simulated_cost.*."""
    rows = []
    for clients, delay_s in CASES:
        costs = [asyncio.run(_cost(clients, delay_s)) for _ in range(ROUNDS)]
        row = {"clients": clients, "ms_between_tokens": delay_s * 1e3, "us_per_chunk": costs}
        rows.append(row | {"median": statistics.median(costs)})
    text = report.table(
        ["clients", "ms between tokens", "CPU µs per chunk"],
        [
            [row["clients"], f"{row['ms_between_tokens']:.0f}", f"{row['median']:.1f}"]
            for row in rows
        ],
    )
    print(text)
    report.write("simulated_cost", COMMAND, rows, text)


if __name__ == "__main__":
    main()
