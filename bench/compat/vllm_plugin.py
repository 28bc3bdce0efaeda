"""A pytest plugin that has vLLM's own tests ask a server that already runs.

Loaded into the process that runs vLLM's tests, which holds nothing of this project. The server is
at `VLLM_SUITE_URL`; what became of each test goes to the file that `VLLM_SUITE_RESULTS` names.
"""

import json
import os
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

# vLLM's `tests`, not ours.
utils: Any = import_module("tests.utils")
repo_utils: Any = import_module("vllm.transformers_utils.repo_utils")
SERVER_FIXTURES = ("server", "client", "server_with_store")


class RunningServer(utils.RemoteOpenAIServer):  # type: ignore[misc]
    """Their handle on a server that they start, on one that is there."""

    def __init__(self, *_: Any, **__: Any) -> None:
        address = urlsplit(os.environ["VLLM_SUITE_URL"])
        self.uds = None
        self.host, self.port = address.hostname, address.port
        self.show_hidden_metrics = False

    def __exit__(self, *_: Any) -> None:
        """Leave it running."""


class NoHub:
    """Their fixtures fetch adapters, of whose tests none is chosen."""

    def snapshot_download(self, **_: Any) -> str:
        """No folder."""
        return "none"


utils.RemoteOpenAIServer = RunningServer
repo_utils.hf_api = NoHub


def pytest_collection_modifyitems(config: pytest.Config, items: list[Any]) -> None:
    """Only what asks the server; other tests of these files look at vLLM's classes."""
    kept = [item for item in items if set(SERVER_FIXTURES) & set(item.fixturenames)]
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept


class Results:
    """The outcome of each test, written at the end of each."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.found: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep it, unless it is of a set-up that worked."""
        if report.when == "call" or not report.passed:
            self.found[report.nodeid] = report.outcome
            self.file.write_text(json.dumps(self.found, indent=1))


def pytest_configure(config: pytest.Config) -> None:
    """Keep the results, in the process that hears of all."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Results(Path(os.environ["VLLM_SUITE_RESULTS"])))
