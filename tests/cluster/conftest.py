"""One endpoint on simulated engines for all cluster tests: real Ray, real HTTP, no model."""

from collections.abc import Iterator

import pytest

from tests.endpoint import Endpoint, running_endpoint

ENGINE = {
    "kind": "simulated",
    "first_token_delay_s": 0.01,
    "inter_token_delay_s": 0.02,
    "max_num_seqs": 8,
    "allow_drills": True,
}
SMALL = {
    "model": "sim-small",
    "engine": ENGINE,
    "num_cpus": 0.1,
    "max_ongoing_requests": 8,
    "max_queued_requests": 40,
    "stall_timeout_s": 5,
    "scaling": {
        "min_replicas": 2,
        "max_replicas": 4,
        # A request of 60 tokens takes these engines 1.2 s; there is no time to learn it here.
        "policy_kwargs": {"hold_down_s": 10, "service_prior_s": 1.2},
    },
}
LARGE = {"model": "sim-large", "engine": {**ENGINE, "seed": 1}, "num_cpus": 0.1}
ARGS = {
    "gateway": {"num_cpus": 0.1},
    "small": SMALL,
    "large": LARGE,
}


@pytest.fixture(scope="session")
def endpoint() -> Iterator[Endpoint]:
    """Two small replicas, one large."""
    with running_endpoint(ARGS) as endpoint:
        yield endpoint
