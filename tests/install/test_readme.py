"""The README on a bare Debian 12, from its first line to the first answer and `make test`.

As root, with debootstrap: `make test-install`. It builds a root file system of its own, installs
only what the README names, and runs what the README shows, in the README's own words.
"""

import os
import re
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.endpoint import wait_until

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SUITE = "bookworm"
# An installation downloads some 700 MB, and `make test` takes half an hour.
INSTALL_S = 1800
TEST_S = 5400
# How this machine reaches Debian's and Python's packages goes into the root as it is; what of
# pip's settings the README does not ask for stays out.
PIP_FOLDERS = ("PIP_FIND_LINKS", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL")
PIP_SETTINGS = ("PIP_CERT", *PIP_FOLDERS)
PROXIES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
pytestmark = [
    pytest.mark.install,
    pytest.mark.timeout(INSTALL_S + TEST_S),
    pytest.mark.skipif(os.geteuid() != 0, reason="not root: chroot and mounts need it"),
    pytest.mark.skipif(
        shutil.which("debootstrap") is None, reason="no debootstrap: apt install debootstrap"
    ),
]


class Bare:
    """A Debian that has nothing but its base, in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        kept = {name: os.environ[name] for name in (*PIP_SETTINGS, *PROXIES) if name in os.environ}
        self.environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", **kept}

    def command(self, line: str) -> list[str]:
        return ["chroot", str(self.folder), "/bin/bash", "-ec", line]

    def run(self, line: str, timeout_s: float = INSTALL_S) -> str:
        """The output of a shell line; fails the test with its end where it fails."""
        done = subprocess.run(
            self.command(line),
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout[-4000:]}"
        return done.stdout

    def show(self, path: Path) -> None:
        """Let the root see a file or folder of this machine, where it lies here."""
        there = self.folder / path.relative_to("/")
        if path.is_dir():
            shutil.copytree(path, there, dirs_exist_ok=True)
        elif path.is_file():
            there.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, there)


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bare]:
    """A fresh root with /proc, /dev and /sys, and this tree in /root/smallfirst."""
    folder = tmp_path_factory.mktemp("debian")
    subprocess.run(["debootstrap", "--variant=minbase", SUITE, folder], check=True)
    root = Bare(folder)
    for source in ("/etc/resolv.conf", "/etc/hosts", "/etc/apt/apt.conf.d"):
        root.show(Path(source))
    for name in PIP_FOLDERS:
        for word in root.environment.get(name, "").split():
            root.show(Path(word.removeprefix("file://")))
    if certificate := root.environment.get("PIP_CERT"):
        # Under a name of its own: Debian's package writes the usual one anew.
        shutil.copy(certificate, folder / "root/pip-cert.pem")
        root.environment["PIP_CERT"] = "/root/pip-cert.pem"
    clone = ["git", "clone", "-q", "--no-hardlinks", str(ROOT), str(folder / "root/smallfirst")]
    subprocess.run(clone, check=True)
    with ExitStack() as mounted:
        for kind, where in (("proc", "proc"), ("sysfs", "sys")):
            _mount(mounted, ["-t", kind, kind, str(folder / where)])
        _mount(mounted, ["--rbind", "--make-rslave", "/dev", str(folder / "dev")])
        yield root


def _mount(mounted: ExitStack, options: list[str]) -> None:
    subprocess.run(["mount", *options], check=True)
    mounted.callback(subprocess.run, ["umount", "-R", "-l", options[-1]], check=False)


def apt_line() -> str:
    """What the README tells to install on a bare Debian 12."""
    found = re.search(r"bare Debian 12\s+`(apt install [^`]+)`", README)
    assert found, "the README names no apt line"
    return found[1]


def shell_blocks() -> list[str]:
    return re.findall(r"```sh\n(.*?)```", README, re.DOTALL)


def test_from_the_first_line_to_the_first_answer(bare: Bare) -> None:
    bare.run(f"apt-get -qq update && {apt_line()} -y -qq")
    serve, request = shell_blocks()[:2]
    assert serve.strip() == "make serve"
    log = bare.folder / "root/serve.log"
    command = bare.command(f"cd /root/smallfirst && exec {serve}")
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=bare.environment, stdout=output, stderr=output, start_new_session=True
        )
    try:
        wait_until(lambda: process.poll() is not None or _ready(), INSTALL_S, "ready")
        assert process.poll() is None, log.read_text()[-4000:]
        assert '"content"' in bare.run(request)
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.wait(60)


def _ready() -> bool:
    # The installation needs the cores more than this question does.
    time.sleep(2)
    try:
        return httpx.get("http://127.0.0.1:8000/readyz", timeout=10).status_code == 200
    except httpx.TransportError:
        return False


def test_what_is_missing_is_named_before_anything_is_downloaded(bare: Bare) -> None:
    packages = shlex.split(apt_line())[2:]
    bare.run("apt-get -qq remove -y libnuma1")
    try:
        said = bare.run("cd /root/smallfirst && ! make serve VENV=/root/other 2>&1")
    finally:
        bare.run(f"apt-get -qq install -y {' '.join(packages)}")
    assert "apt install libnuma1" in said and "[setup]" not in said


def test_a_cause_in_another_process_reaches_the_terminal(bare: Bare) -> None:
    packages = shlex.split(apt_line())[2:]
    bare.run("apt-get -qq remove -y libnuma1")
    try:
        serve = "cd /root/smallfirst && ! .venv/bin/smallfirst serve --no-preflight 2>&1"
        said = bare.run(serve)
    finally:
        bare.run(f"apt-get -qq install -y {' '.join(packages)}")
    assert "apt install libnuma1" in said.splitlines()[-1]


def test_make_test(bare: Bare) -> None:
    bare.run("cd /root/smallfirst && make test", TEST_S)
