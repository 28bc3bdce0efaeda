"""Ctrl-C on a real cluster: open streams end whole, a second one waits for nothing."""

import signal
import threading
import time
from collections.abc import Iterator

import httpx
import psutil
import pytest

from tests.endpoint import Endpoint, running_endpoint, wait_until

pytestmark = pytest.mark.timeout(300)
ENGINE = {"kind": "simulated", "inter_token_delay_s": 0.05}
ARGS = {
    "gateway": {"num_cpus": 0.1},
    "small": {"model": "a", "engine": ENGINE, "num_cpus": 0.1},
    "large": {"model": "b", "engine": ENGINE, "num_cpus": 0.1},
}


class Stream(threading.Thread):
    """A client that reads one streamed answer to its end, whatever that is."""

    def __init__(self, url: str, max_tokens: int) -> None:
        super().__init__()
        self.text = ""
        self._url = url
        self._body = {
            "model": "small",
            "messages": [{"role": "user", "content": "Hello"}],
            "max_tokens": max_tokens,
            "stream": True,
        }

    def run(self) -> None:
        try:
            with httpx.stream("POST", self._url, json=self._body, timeout=60) as answer:
                for piece in answer.iter_text():
                    self.text += piece
        except httpx.HTTPError:
            return


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with running_endpoint(ARGS) as endpoint:
        yield endpoint


def interrupted(endpoint: Endpoint, max_tokens: int) -> tuple[Stream, list[psutil.Process]]:
    """A stream that was open when the endpoint was told to stop, and what ran then."""
    stream = Stream(f"{endpoint.url}/v1/chat/completions", max_tokens)
    stream.start()
    wait_until(lambda: stream.text.count("data:") > 3, 30, "a stream")
    started = endpoint.descendants()
    endpoint.process.send_signal(signal.SIGINT)
    wait_until(lambda: "open: waiting" in endpoint.output.read_text(), 30, "a drain")
    return stream, started


def test_an_open_stream_ends_whole(endpoint: Endpoint) -> None:
    stream, started = interrupted(endpoint, 100)
    endpoint.process.wait(60)
    stream.join(60)
    assert stream.text.endswith("data: [DONE]\n\n"), stream.text[-500:]
    assert not psutil.wait_procs(started, timeout=10)[1]
    assert endpoint.process.returncode == 130


def test_a_second_ctrl_c_waits_for_nothing(endpoint: Endpoint) -> None:
    # The stream would take a hundred seconds, the drain forty.
    stream, started = interrupted(endpoint, 2000)
    time.sleep(0.5)
    endpoint.process.send_signal(signal.SIGINT)
    endpoint.process.wait(20)
    stream.join(60)
    assert "[DONE]" not in stream.text
    assert not psutil.wait_procs(started, timeout=10)[1]
