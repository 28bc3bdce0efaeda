"""What every test may count on: marks by folder, no cluster where none belongs, strict warnings."""

from pathlib import Path
from typing import Any

import pytest

TESTS = Path(__file__).parent
# Folders whose tests run in this process alone.
WITHOUT_RAY = ("unit", "api")

# Warnings are errors (pyproject.toml). These come from the import of third parties, not from us.
THIRD_PARTY = (
    # Ray 2.60 describes its settings with extra keywords of pydantic's `Field`.
    "ignore:Using extra keyword arguments on `Field` is deprecated:"
    "pydantic.warnings.PydanticDeprecatedSince20",
)


def pytest_configure(config: pytest.Config) -> None:
    for line in THIRD_PARTY:
        config.addinivalue_line("filterwarnings", line)


@pytest.fixture(autouse=True)
def _no_cluster(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `ray.init` raise in tests that must not start a cluster."""
    folder = request.path.relative_to(TESTS).parts[0]
    if folder not in WITHOUT_RAY:
        return

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a unit test started Ray: hand the code a fake instead")

    monkeypatch.setattr("ray.init", refuse)
