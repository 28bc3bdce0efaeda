"""What the lock's wheels need from the system is what README, Dockerfile and preflight name."""

import functools
import re
import shutil
import subprocess
import sysconfig
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest

from deployments.commands.preflight import SYSTEM_LIBRARIES

ROOT = Path(__file__).parents[2]
SITE = Path(sysconfig.get_paths()["purelib"])
LOCKED = ("cpu.txt", "dev.txt")
# What a Debian has that has Python: glibc and the compilers' run time.
BASE = re.compile(
    r"(ld-linux-x86-64|libc|libm|libdl|librt|libpthread|libutil|libresolv|libgcc_s|libstdc\+\+|libz)"
    r"\.so\.\d+"
)
# Debian 12's package of a library that a wheel takes from the system.
PACKAGES = {"libnuma.so.1": "libnuma1"}
# Named by a part of a wheel that does without: numba takes another threading layer.
OPTIONAL = {"libgomp.so.1.0.0", "libtbb.so.12"}
pytestmark = pytest.mark.skipif(
    shutil.which("readelf") is None, reason="no readelf: apt install binutils"
)


def shared_objects() -> Iterator[Path]:
    """Every shared object and program that a locked package has installed."""
    for lock in LOCKED:
        for line in (ROOT / "requirements" / lock).read_text(encoding="utf-8").splitlines():
            if "==" not in line or line.startswith("#"):
                continue
            try:
                files = distribution(line.split("==")[0]).files or ()
            except PackageNotFoundError:
                pytest.skip(f"{line} is not installed: make setup")
            for file in files:
                path = Path(str(file.locate()))
                if (".so" in path.name or not path.suffix) and _is_elf(path):
                    yield path


def _is_elf(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        return stream.read(4) == b"\x7fELF"


@functools.cache
def dynamic() -> tuple[dict[str, set[str]], set[str]]:
    """The sonames that are needed, each with who needs it, and those that the wheels bring."""
    objects = sorted(set(shared_objects()))
    done = subprocess.run(
        ["readelf", "-d", "-W", *map(str, objects)], capture_output=True, text=True, check=False
    )
    needed: dict[str, set[str]] = {}
    brought = {path.name for path in objects}
    file = ""
    for line in done.stdout.splitlines():
        if line.startswith("File: "):
            file = Path(line.removeprefix("File: ")).name
        elif found := re.search(r"\((NEEDED|SONAME)\).*\[(.+)\]", line):
            if found[1] == "SONAME":
                brought.add(found[2])
            else:
                needed.setdefault(found[2], set()).add(file)
    return needed, brought


def from_the_system() -> dict[str, set[str]]:
    needed, brought = dynamic()
    return {
        name: who
        for name, who in needed.items()
        if name not in brought and not BASE.fullmatch(name) and name not in OPTIONAL
    }


def test_the_wheels_are_looked_at() -> None:
    needed, brought = dynamic()
    assert len(needed) > 50 and "libtorch_cpu.so" in brought


def test_every_library_from_the_system_is_known() -> None:
    found = from_the_system()
    assert found.keys() == PACKAGES.keys(), found
    assert PACKAGES == SYSTEM_LIBRARIES
    assert dynamic()[0].keys() >= OPTIONAL


@pytest.mark.parametrize("file", ["README.md", "k8s/docker/Dockerfile"])
def test_whoever_follows_the_page_installs_it(file: str) -> None:
    text = (ROOT / file).read_text(encoding="utf-8")
    installed = set(re.findall(r"apt(?:-get)? install ([^`&|\n]*)", text))
    words = {word for line in installed for word in line.split()}
    assert set(PACKAGES.values()) <= words
