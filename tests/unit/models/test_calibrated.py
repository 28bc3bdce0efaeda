"""GPTQ and AWQ run in another environment's Python; here a script stands in for it."""

import json
import sys
from pathlib import Path

import pytest

from models.calibrated import Calibration, compress
from models.errors import CheckpointError
from models.int4 import Int4Scheme

# Answers like the library: a bar on standard error, a folder with a checkpoint.
STAND_IN = """#!{python}
import json, pathlib, sys
request = json.load(sys.stdin)
out = pathlib.Path(request["out"])
out.mkdir()
for part in (1, 2, 3, 4):
    sys.stderr.write(f"({{part}}/4): Calibrating:  50%|\\r({{part}}/4): Propagating:  50%|\\r")
(out / "model.safetensors").write_text("weights")
(out / "config.json").write_text(json.dumps(request))
{end}
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "source").mkdir()
    return tmp_path / "source"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def stand_in(tmp_path: Path, end: str = "") -> Path:
    script = tmp_path / "python"
    script.write_text(STAND_IN.format(python=sys.executable, end=end))
    script.chmod(0o755)
    return script


def test_the_checkpoint_is_moved_in_and_the_steps_are_told(
    source: Path, out: Path, tmp_path: Path
) -> None:
    steps: list[tuple[str, float]] = []
    calibration = Calibration("gptq", ("a", "b"), stand_in(tmp_path))
    compress(source, out, Int4Scheme(64, True), calibration, lambda *step: steps.append(step))
    assert sorted(path.name for path in out.iterdir()) == ["config.json", "model.safetensors"]
    assert steps[0] == ("gptq, part 1 of 4", 0.0) and steps[-1] == ("gptq, part 4 of 4", 0.8 * 0.75)
    request = json.loads((out / "config.json").read_text())
    weights = request["config_groups"]["group_0"]["weights"]
    assert (weights["group_size"], weights["symmetric"], weights["num_bits"]) == (64, True, 4)
    assert (request["method"], request["texts"]) == ("gptq", ["a", "b"])
    assert Path(request["model"]) == source


def test_a_finished_checkpoint_is_kept(source: Path, out: Path, tmp_path: Path) -> None:
    (out / "config.json").write_text("{}")
    calibration = Calibration("awq", ("a",), tmp_path / "nowhere")
    compress(source, out, Int4Scheme(), calibration, lambda *_: None)


def test_a_killed_run_starts_again(source: Path, out: Path, tmp_path: Path) -> None:
    (out / "llmcompressor").mkdir()
    (out / "llmcompressor" / "half.safetensors").write_text("half")
    compress(
        source, out, Int4Scheme(), Calibration("awq", ("a",), stand_in(tmp_path)), lambda *_: None
    )
    assert not (out / "half.safetensors").exists() and (out / "config.json").exists()


@pytest.mark.parametrize("method", ["gptq", "awq"])
def test_what_is_needed_is_named(source: Path, out: Path, method: str) -> None:
    # This environment has no llmcompressor: its transformers is another.
    for texts, message in (((), "needs --calibration"), (("a",), r"--python Q/bin/python")):
        calibration = Calibration(method, texts, Path(sys.executable))  # type: ignore[arg-type]
        with pytest.raises(CheckpointError, match=message) as caught:
            compress(source, out, Int4Scheme(), calibration, lambda *_: None)
        assert "\n" not in str(caught.value)


def test_the_librarys_last_line_is_the_message(source: Path, out: Path, tmp_path: Path) -> None:
    python = stand_in(tmp_path, "raise RuntimeError('no such layer')")
    with pytest.raises(CheckpointError, match=r"^llmcompressor failed: RuntimeError: no such lay"):
        compress(source, out, Int4Scheme(), Calibration("awq", ("a",), python), lambda *_: None)
    assert not (out / "config.json").exists()


def test_a_python_that_is_not_there_is_named(source: Path, out: Path, tmp_path: Path) -> None:
    calibration = Calibration("awq", ("a",), tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match=r"--python .*nowhere: No such file"):
        compress(source, out, Int4Scheme(), calibration, lambda *_: None)
