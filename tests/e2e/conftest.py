"""One real endpoint for all e2e tests: the shipped config, real INT4 weights, real vLLM."""

from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
import yaml

from tests.endpoint import Endpoint, running_endpoint

CONFIG = Path(__file__).parents[2] / "serve_config.yaml"


@pytest.fixture(scope="session")
def endpoint() -> Iterator[Endpoint]:
    """What `make serve` starts, with one replica a tier so that no test waits for a start."""
    args = yaml.safe_load(CONFIG.read_text())["applications"][0]["args"]
    args["small"].setdefault("scaling", {})["max_replicas"] = 1
    with running_endpoint(args) as endpoint:
        yield endpoint


@pytest.fixture
def client(endpoint: Endpoint) -> Iterator[openai.OpenAI]:
    """The official client, without retries: a test wants to see the first answer."""
    base_url = f"{endpoint.url}/v1"
    with openai.OpenAI(base_url=base_url, api_key="none", max_retries=0, timeout=120) as client:
        yield client
