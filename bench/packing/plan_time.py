"""How long a plan takes for a checkpoint of 400 files: headers only, no weight is read.

    python -m bench.packing.plan_time [--write]

"in process" is what a program pays that calls the planner; "command" is `smallfirst plan` from the
shell, most of which is Python importing the command line.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from autoscale.packing.gpus import find_gpu
from autoscale.packing.kv import Demand
from deployments.commands.plan_model import Calibration, make_plan
from models.checkpoint import read_checkpoint

RESULTS = Path(__file__).parent / "results" / "plan_time.json"
FILES, TENSORS = 400, 12
CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": FILES,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "vocab_size": 1024,
    "max_position_embeddings": 8192,
}


def write_checkpoint(folder: Path) -> None:
    """One file for each layer with a layer's twelve tensors, and the index that names them all."""
    names: dict[str, str] = {}
    for layer in range(FILES):
        file = f"model-{layer:05}-of-{FILES:05}.safetensors"
        tensors = {
            f"model.layers.{layer}.part_{index}.weight": np.zeros((64, 64), np.float16)
            for index in range(TENSORS)
        }
        save_file(tensors, folder / file)
        names |= dict.fromkeys(tensors, file)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))


def median_s(action: Callable[[], object], times: int, clock: Callable[[], float]) -> float:
    """The median of some runs by the clock, after one that warms the file cache."""
    action()
    seconds = []
    for _ in range(times):
        start_s = clock()
        action()
        seconds.append(clock() - start_s)
    return statistics.median(seconds)


def main() -> None:
    """Time both ways to ask."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="keep the results")
    arguments = parser.parse_args()
    gpu, demand = find_gpu("a100-80gb"), Demand(8192)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_checkpoint(folder)
        command = [sys.executable, "-c", "from deployments.cli import main; main()"]
        command += ["plan", "--model", str(folder), "--gpu", "a100-80gb", "--json"]

        def in_process() -> object:
            return make_plan(read_checkpoint(folder), gpu, 1, demand, Calibration())

        def from_the_shell() -> object:
            return subprocess.run(command, check=True, capture_output=True)

        measured = {
            "in_process_s": median_s(in_process, 15, time.perf_counter),
            # What the machine's other tenants do not change.
            "in_process_cpu_s": median_s(in_process, 15, time.process_time),
            "command_s": median_s(from_the_shell, 5, time.perf_counter),
        }
    print(f"{FILES} files of {TENSORS} tensors: " + json.dumps(measured))
    if arguments.write:
        RESULTS.parent.mkdir(exist_ok=True)
        document = {
            "date": time.strftime("%Y-%m-%d", time.gmtime()),
            "hardware": "2 cores of an AMD EPYC, 24 GiB, no GPU",
            "files": FILES,
            "tensors_in_each": TENSORS,
        }
        RESULTS.write_text(json.dumps(document | measured, indent=1) + "\n")


if __name__ == "__main__":
    main()
