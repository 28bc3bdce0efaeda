"""What a client gets of requests that a replica refuses at once: `python -m bench.faults.refusals`.

Two small replicas on simulated engines, two gateways, 20 other requests a second. Each refusal is
the whole of a call that ends the moment it began.
"""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated

import httpx
import typer

from bench.faults.drill import ARGS, BODY, drilled
from bench.faults.endpoint import wait_until

REFUSALS = ("refuse_429", "refuse_503")
AT_ONCE = 4


def main(
    requests: Annotated[int, typer.Option(help="Of each kind of refusal.", min=1)] = 400,
) -> None:
    """Print how often each status and code came; 429 and 503 are what the replicas say."""
    with drilled(ARGS, per_s=20) as drill:
        wait_until(lambda: drill.endpoint.whole(2), 60, "two small replicas")

        def ask(refusal: str) -> str:
            body = {**BODY, "model": "small", "user": f"drill:{refusal}"}
            url = f"{drill.endpoint.url}/v1/chat/completions"
            # A connection each: the proxy chooses a gateway for every request.
            answer = httpx.post(url, json=body, timeout=60, trust_env=False)
            return f"{answer.status_code} {answer.json()['error']['code']}"

        with ThreadPoolExecutor(AT_ONCE) as askers:
            for refusal in REFUSALS:
                print(refusal, dict(Counter(askers.map(ask, [refusal] * requests))), flush=True)


if __name__ == "__main__":
    typer.run(main)
