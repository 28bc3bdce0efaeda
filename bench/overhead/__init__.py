"""What the gateway costs: beside bare vLLM, per streamed chunk, in memory and at start.

    python -m bench.overhead.chunks          CPU per streamed token, on the simulated engine
    python -m bench.overhead.bare            latency and throughput beside vLLM's own server
    python -m bench.overhead.footprint       memory of each process, start-up time by phase
    python -m bench.overhead.simulated_cost  what the simulated engine itself costs

Each writes JSON and a Markdown table, with date and hardware, into `results/`.
"""
