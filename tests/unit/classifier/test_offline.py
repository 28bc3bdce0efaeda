"""Serving needs no network, no training library, and does without onnxruntime."""

import subprocess
import sys

import pytest

import classifier

PROGRAM = """
import socket, sys

def refuse(*args, **kwargs):
    raise AssertionError("network")

socket.socket = refuse
socket.getaddrinfo = refuse

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Blocked())
import importlib.util
find = importlib.util.find_spec
importlib.util.find_spec = lambda n, p=None: None if n in {blocked!r} else find(n, p)
import classifier
model = classifier.load()
print(model.rung_name, model.score("What is the capital of France?").complexity)
"""
TRAINING = ["torch", "sklearn", "scipy", "pandas", "pyarrow", "matplotlib", "transformers", "onnx"]


@pytest.mark.parametrize("also", [[], ["onnxruntime"]], ids=["served", "without onnxruntime"])
def test_it_scores_with_sockets_and_training_libraries_blocked(also: list[str]) -> None:
    program = PROGRAM.format(blocked=TRAINING + also)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr[-500:]
    rung, complexity = done.stdout.split()
    if also:
        assert rung == "lexical"
        assert 0.0 <= float(complexity) <= 1.0
    else:  # another process scores the same
        here = classifier.load().score("What is the capital of France?").complexity
        assert float(complexity) == pytest.approx(here, abs=1e-6)
