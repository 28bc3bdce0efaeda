"""What every test may count on: no cluster where none belongs."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# A busy machine must not turn a test red.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

TESTS = Path(__file__).parent
# Folders whose tests run in this process alone.
WITHOUT_RAY = ("unit", "api")


@pytest.fixture(autouse=True)
def _no_cluster(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `ray.init` raise in tests that must not start a cluster."""
    folder = request.path.relative_to(TESTS).parts[0]
    if folder not in WITHOUT_RAY:
        return

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a unit test started Ray: hand the code a fake instead")

    monkeypatch.setattr("ray.init", refuse)
