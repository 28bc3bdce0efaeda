"""What failed in another process is found in its log and said in one line."""

import os
from pathlib import Path

import pytest

from deployments.commands.root_cause import first_raised, root_cause

SAID = (
    "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}"
)
# vLLM 0.32's own form, shortened.
NO_DISK = """\
(EngineCore pid=71) WARNING 11-25 10:00:00 [interface.py:221] Failed to import from vllm._x
(EngineCore pid=71) ERROR 11-25 10:00:01 [core.py:1133] EngineCore failed to start.
(EngineCore pid=71) ERROR 11-25 10:00:01 [core.py:1133] Traceback (most recent call last):
(EngineCore pid=71) ERROR 11-25 10:00:01 [core.py:1133]   File "a.py", line 1, in load
(EngineCore pid=71) ERROR 11-25 10:00:01 [core.py:1133] OSError: weights are cut short
(EngineCore pid=71) Traceback (most recent call last):
(EngineCore pid=71) RuntimeError: worker died
RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}
"""
NO_LIBRARY = """\
ValueError: survived before
(EngineCore pid=71) WARNING [interface.py:9] ('libnuma.so.1: cannot open shared object file: No')
(EngineCore pid=71) ERROR 11-25 10:00:01 [core.py:1133] EngineCore failed to start.
(EngineCore pid=71) AttributeError: '_OpNamespace' '_C' object has no attribute 'x'
RuntimeError: Engine core initialization failed. See root cause above.
"""


@pytest.mark.parametrize(
    ("log", "cause"),
    [
        (NO_DISK, "OSError: weights are cut short"),
        (NO_LIBRARY, "libnuma.so.1: no such library; apt install libnuma1"),
        (
            "Worker failed to start.\n\x1b[1;36m(W pid=1)\x1b[0;0m torch.OutOfMemoryError: no room",
            "torch.OutOfMemoryError: no room",
        ),
        ("OSError: survived. See root cause above", None),
        # The replica's own log: Serve wraps what it heard.
        ("RuntimeError: Traceback (most recent call last):\n" + SAID, None),
    ],
    ids=["a traceback", "a library", "coloured", "nothing", "the replica's"],
)
def test_the_cause_is_the_first_that_was_raised(tmp_path: Path, log: str, cause: str) -> None:
    (tmp_path / "worker-a-1.err").write_text(log)
    assert root_cause(SAID, tmp_path) == cause


def test_a_library_that_one_engine_names_is_the_others_cause_too(tmp_path: Path) -> None:
    (tmp_path / "worker-a-1.out").write_text(NO_LIBRARY)
    os.utime(tmp_path / "worker-a-1.out", (1000, 1000))
    (tmp_path / "worker-b-2.out").write_text(NO_LIBRARY.replace("libnuma.so.1: cannot", "not"))
    assert root_cause(SAID, tmp_path) == "libnuma.so.1: no such library; apt install libnuma1"


def test_the_newest_log_of_a_failed_start_is_read(tmp_path: Path) -> None:
    for age_s, (name, log) in enumerate(
        [("b", "ValueError: fine later"), ("c", NO_DISK), ("a", NO_DISK.replace("cut", "gone"))]
    ):
        (tmp_path / f"worker-{name}-1.err").write_text(log)
        os.utime(tmp_path / f"worker-{name}-1.err", (1000 - age_s, 1000 - age_s))
    assert root_cause(SAID, tmp_path) == "OSError: weights are cut short"


def test_an_engine_that_linux_killed_had_no_memory(tmp_path: Path) -> None:
    assert "memory" in (root_cause(SAID.replace("{}", "{'EngineCore_0': -9}"), tmp_path) or "")


def test_what_says_its_cause_itself_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "worker-a-1.err").write_text(NO_DISK)
    assert root_cause("ConfigError: engine.path: no config.json", tmp_path) is None


def test_a_line_is_kept_short() -> None:
    assert len(first_raised("EngineCore failed to start.\nValueError: " + "x" * 5000) or "") == 300
