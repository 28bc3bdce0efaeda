"""One real INT4 engine in a process of its own, driven step by step through standard input.

Reads one JSON line for each phase ({"start_s", "arrivals_s", "max_tokens", "clients"}) and answers
with one line of figures. Started by `bench.packing.replicas`.
"""

import json
import sys
import time
from typing import Any

PROMPTS = [
    "What is the capital of France?",
    "Write two sentences about the sea.",
    "Is this review positive or negative? I loved every minute of this film.",
    "My parcel has not arrived yet. What should I do?",
    "Explain in one paragraph why the sky is blue.",
    "List three ways to save energy at home.",
]


class Replica:
    """vLLM's engine with its own step loop: every token's time is seen."""

    def __init__(self, model: str) -> None:
        from vllm import EngineArgs, LLMEngine

        arguments = EngineArgs(
            model=model,
            dtype="bfloat16",
            enforce_eager=True,
            max_model_len=512,
            max_num_seqs=16,
            kv_cache_memory_bytes=200_000_000,
            enable_prefix_caching=False,
        )
        self._engine = LLMEngine.from_engine_args(arguments)
        self._count = 0

    def run(self, phase: dict[str, Any]) -> dict[str, Any]:
        """Serve the phase's requests; open loop by `arrivals_s`, or `clients` in a closed loop."""
        due = [phase["start_s"] + arrival for arrival in phase["arrivals_s"]]
        clients = phase["clients"] or len(due)
        sent: dict[str, float] = {}
        tokens: dict[str, list[float]] = {}
        open_requests = 0
        while due or open_requests:
            while due and open_requests < clients and due[0] <= time.time():
                arrival = due.pop(0)
                name = self._add(phase["max_tokens"])
                # In a closed loop the next request is due when a client is free.
                sent[name], tokens[name] = (time.time() if phase["clients"] else arrival), []
                open_requests += 1
            if not open_requests:
                time.sleep(max(0.0, min(0.01, due[0] - time.time())))
                continue
            for output in self._engine.step():
                now_s = time.time()
                new = len(output.outputs[0].token_ids) - len(tokens[output.request_id])
                tokens[output.request_id] += [now_s] * new
                open_requests -= output.finished
        return {"sent": list(sent.values()), "tokens": list(tokens.values())}

    def _add(self, max_tokens: int) -> str:
        from vllm import SamplingParams

        name = f"r{self._count}"
        prompt = PROMPTS[self._count % len(PROMPTS)]
        self._count += 1
        text = f"<|im_start|>user\n{prompt}<|im_end|>\n<|im_start|>assistant\n"
        parameters = SamplingParams(temperature=0, max_tokens=max_tokens, ignore_eos=True)
        self._engine.add_request(name, text, parameters)
        return name


def main() -> None:
    """Load the model named on the command line, then serve phases until the input ends."""
    replica = Replica(sys.argv[1])
    warm = {"start_s": time.time(), "arrivals_s": [0.0] * 2, "max_tokens": 8, "clients": 2}
    replica.run(warm)
    print("READY", flush=True)
    for line in sys.stdin:
        print("PHASE", json.dumps(replica.run(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
