"""`dev-cpu` as it is, real vLLM and all: the container's command line as user 1000, on a read-only
root, without capabilities and without a way out."""

import errno
import socket
from pathlib import Path

import pytest

from bench.pods.cluster import cluster_of
from bench.pods.network import inside, what_is_missing
from tests.unit.k8s.conftest import rendered

MISSING = what_is_missing()
pytestmark = [
    pytest.mark.skipif(MISSING is not None, reason=str(MISSING)),
    pytest.mark.timeout(3600),
]
# For documentation only (RFC 5737): nobody has it.
ELSEWHERE = ("192.0.2.1", 80)


def connected_elsewhere() -> int:
    """The error of a connection to another machine."""
    with socket.socket() as outside:
        outside.settimeout(3)
        return outside.connect_ex(ELSEWHERE)


def test_the_default_model_answers_in_its_pod(tmp_path: Path) -> None:
    with cluster_of(rendered("dev-cpu"), tmp_path) as cluster:
        cluster.come_up()
        # The weights were converted into the home folder, which is all that it can write.
        answer = cluster.ask(
            {
                "model": "small",
                "messages": [{"role": "user", "content": "What is the capital of France?"}],
                "max_tokens": 20,
                "temperature": 0,
            }
        )
        assert answer.status_code == 200, answer.text
        assert answer.json()["model"] == "smollm2-135m-int4"
        assert "Paris" in answer.json()["choices"][0]["message"]["content"]
        for pod in cluster.pods:
            assert inside(pod.namespace, connected_elsewhere) in {errno.EPERM, errno.EAGAIN}
