"""With `egress: none` a whole endpoint, Ray included, lives where there is no way out."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# By hand, because a dependency of ours installs a package that is called `tests` too.
RUN = """
import sys, types
sys.modules["tests"] = tests = types.ModuleType("tests")
tests.__path__ = ["tests"]
from tests.no_way_out import main
main()
"""
# As root; or as a user, where the kernel lets users make namespaces.
WAYS = (["unshare", "-n"], ["unshare", "-r", "-n"])


def unshared() -> list[str]:
    """The command that runs another in a network namespace of its own."""
    for way in WAYS:
        try:
            done = subprocess.run([*way, "true"], capture_output=True, text=True, check=False)
        except FileNotFoundError:
            pytest.skip("there is no unshare here (util-linux)")
        if done.returncode == 0:
            return way
    pytest.skip(f"no network namespace may be made here: {done.stderr.strip()}")


@pytest.mark.timeout(400)
def test_an_endpoint_without_egress_needs_no_way_out() -> None:
    done = subprocess.run(
        [*unshared(), sys.executable, "-c", RUN],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    seen = json.loads(done.stdout.splitlines()[-1])
    # The namespace is what it is said to be. What is tried in it is no proof of ours: Ray asks the
    # kernel for its own address by a route to elsewhere, over which it sends nothing.
    assert (seen["interfaces"], seen["elsewhere"]) == (["lo"], "ENETUNREACH")
    assert seen["small"] == [200, "small"]
    assert seen["large"] == [200, "large"]
