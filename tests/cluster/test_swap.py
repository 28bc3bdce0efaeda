"""A model is swapped under constant load, and a bad one is taken back: no request fails."""

import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.cluster.conftest import ARGS, ENGINE, SMALL
from tests.endpoint import Endpoint, running_endpoint

KEY = "sk-of-the-swap"
AUTHORIZED = {"authorization": f"Bearer {KEY}"}

pytestmark = pytest.mark.timeout(420)


class ConstantLoad:
    """One request every 100 ms to the small tier, from a thread, until stopped."""

    def __init__(self, url: str) -> None:
        self.outcomes: Counter[str] = Counter()
        self._url = url
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(2)]

    def _run(self) -> None:
        body = {"model": "small", "messages": [{"role": "user", "content": "Hello"}]}
        with httpx.Client(base_url=self._url, timeout=60, headers=AUTHORIZED) as client:
            while not self._stop.is_set():
                try:
                    answer = client.post("/v1/chat/completions", json=body)
                    model = answer.json().get("model", answer.text)
                    told = answer.headers.get("x-smallfirst-model")
                    lie = "" if told == model else f", the header says {told}"
                    self.outcomes[f"{answer.status_code} {model}{lie}"] += 1
                except httpx.HTTPError as error:
                    self.outcomes[type(error).__name__] += 1
                time.sleep(0.2)

    def __enter__(self) -> "ConstantLoad":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


def swap(endpoint: Endpoint, model: str, *options: str) -> subprocess.CompletedProcess[str]:
    work = endpoint.output.parent
    command = [sys.executable, "-c", "from deployments.cli import main; main()", "swap", "small"]
    command += ["--model", model, "--config", str(work / "serve.yaml"), "--url", endpoint.url]
    command += ["--temp-dir", str(work / "r"), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def test_a_swap_and_a_rollback_under_load_lose_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMALLFIRST_API_KEYS", KEY)
    key_file = tmp_path / "keys"
    key_file.write_text(f"# the server's own\n{KEY}\n")
    golden = tmp_path / "golden.jsonl"
    golden.write_text('{"prompt": "Say it.", "matches": "no simulated engine says this"}\n')
    # A model takes longer to load than a gateway to start: for a while neither knows the other's
    # name.
    engine = {**ENGINE, "startup_s": 4}
    scaling = {"min_replicas": 2, "max_replicas": 2}
    small = {**SMALL, "engine": engine, "scaling": scaling}
    with running_endpoint({**ARGS, "small": small}) as endpoint, ConstantLoad(endpoint.url) as load:
        time.sleep(2)
        large = [process.pid for process in endpoint.replicas("Escalation")]
        keyless = swap(endpoint, "sim-bad")
        assert keyless.returncode == 2 and "refuses the key (HTTP 401)" in keyless.stderr
        monkeypatch.setenv("SMALLFIRST_API_KEY", KEY)
        bad = swap(endpoint, "sim-bad", "--golden", str(golden))
        assert bad.returncode == 2 and "rolled back: small, probe 1" in bad.stderr, bad.stderr
        time.sleep(2)
        before_good = Counter(load.outcomes)
        monkeypatch.delenv("SMALLFIRST_API_KEY")
        good = swap(endpoint, "sim-newer", "--key-file", str(key_file))
        assert good.returncode == 0, good.stderr
        time.sleep(3)
        seen = Counter(load.outcomes)
        listed = httpx.get(f"{endpoint.url}/v1/models", headers=AUTHORIZED).json()["data"]
        names = {model["id"] for model in listed}
        # The tier that did not change was never touched.
        assert [process.pid for process in endpoint.replicas("Escalation")] == large
    assert {key.split()[0] for key in seen} == {"200"}, seen
    # All three answered; after the rollback the old one did again, and the new one in the end.
    assert {key.split(maxsplit=1)[1] for key in seen} == {"sim-small", "sim-bad", "sim-newer"}, seen
    assert before_good["200 sim-small"] > 0 and "sim-newer" in names and "sim-bad" not in names
