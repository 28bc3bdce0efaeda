"""The commands do what they say, refuse in one line with exit code 2, and write nothing then."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from classifier import THRESHOLD, load
from classifier.cli import app
from classifier.data.reading import read_traffic
from classifier.data.rows import Row
from tests.unit.classifier.made import learnable


def _run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "200"})


def _file(path: Path, rows: list[Row]) -> Path:
    lines = [
        json.dumps({"prompt": r.conversation, "small": r.small, "large": r.large}) for r in rows
    ]
    path.write_text("\n".join(lines))
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cli")
    _file(path / "rows.jsonl", learnable(500))
    _file(path / "fresh.jsonl", learnable(1_000, seed=5))
    done = _run("train", "--data", path / "rows.jsonl", "--out", path / "m", "--rungs", "lexical")
    assert done.exit_code == 0, done.output
    return path


def test_train_writes_an_artefact_and_a_report_without_prompts(folder: Path) -> None:
    names = {p.name for p in (folder / "m").iterdir()}
    assert {"manifest.json", "report.md", "cost-quality.png", "learning.png"} <= names
    report = (folder / "m" / "report.md").read_text()
    assert "beats every baseline" in report
    assert "Worst misses" in report
    assert "characters)" in report


@pytest.mark.parametrize("most", [50, 120])
def test_train_uses_as_many_prompts_as_it_may(folder: Path, tmp_path: Path, most: int) -> None:
    made = tmp_path / "m"
    words = ("--out", made, "--rungs", "lexical", "--max-rows", most, "--force")
    done = _run("train", "--data", folder / "rows.jsonl", *words)
    assert done.exit_code == 0, done.output
    manifest = json.loads((made / "manifest.json").read_text())
    assert sum(manifest["training"]["rows"].values()) == most


def test_evaluate_lists_ours_first_with_the_agreed_keys(folder: Path) -> None:
    done = _run("evaluate", "--data", folder / "fresh.jsonl", "--model", folder / "m", "--json")
    rows = json.loads(done.stdout)
    keys = "name n apgr cpt50 cpt80 acc_at_5 acc_at_10 acc_at_20 auroc_gain ece ms_p50 ms_p99"
    assert all(set(keys.split()) <= set(row) for row in rows)
    assert rows[0]["name"] == "smallfirst lexical"
    assert {r["name"] for r in rows[1:]} == {"random", "constant", "length", "keywords", "oracle"}
    assert rows[0]["auroc_gain"] > 0.75
    assert rows[-1]["apgr"] > rows[0]["apgr"] > 0.5


def test_calibrate_prints_a_rate_and_writes_a_moved_copy(folder: Path) -> None:
    done = _run(
        "calibrate",
        "--traffic",
        folder / "fresh.jsonl",
        "--model",
        folder / "m",
        "--budget",
        0.1,
        "--max-half-width",
        0.05,
        "--out",
        folder / "moved",
        "--json",
    )
    found = json.loads(done.stdout)
    assert found["rate"] == pytest.approx(0.1, abs=0.002)
    assert found["rate_interval"][0] < 0.1 < found["rate_interval"][1]
    whole = json.loads(_run("inspect", folder / "moved", "--json").stdout)
    assert whole["rungs"]["lexical"]["budget"] == 0.1
    assert whole["artifact_id"] == found["artifact_id"]


def test_calibrate_for_a_quality_reports_what_it_buys(folder: Path) -> None:
    done = _run(
        "calibrate",
        "--data",
        folder / "fresh.jsonl",
        "--model",
        folder / "m",
        "--min-quality",
        0.8,
        "--max-half-width",
        0.1,
        "--json",
    )
    found = json.loads(done.stdout)
    assert found["measured_quality"] >= 0.8 > found["measured_quality_all_small"]


def test_explain_names_the_words_that_count(folder: Path) -> None:
    done = _run("explain", "prove derive winter copper 12", "--model", folder / "m", "--json")
    found = json.loads(done.stdout)
    parts = dict(found["parts"])
    assert parts["prove"] > parts["winter"]


@pytest.mark.parametrize(
    ("budget", "sent"), [("0", 0.0), ("0.0005", 0.0), ("1", 1.0)], ids=["none", "under one", "all"]
)
def test_a_budget_at_the_ends_makes_an_artefact_that_serves(
    folder: Path, tmp_path: Path, budget: str, sent: float
) -> None:
    asked = ("--traffic", folder / "fresh.jsonl", "--model", folder / "m", "--budget", budget)
    done = _run("calibrate", *asked, "--out", tmp_path / "moved", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["rate"] == sent
    moved = load(tmp_path / "moved")
    moved.check_threshold(THRESHOLD)
    prompts = read_traffic(folder / "fresh.jsonl")
    large = [score.complexity >= THRESHOLD for score in moved.score_batch(prompts)]
    assert sum(large) / len(large) == sent


def test_drift_flags_foreign_prompts_and_leaves_home_alone(folder: Path) -> None:
    home = _run("drift", "--ledger", folder / "fresh.jsonl", "--model", folder / "m", "--json")
    assert home.exit_code == 0, home.output
    foreign = folder / "foreign.jsonl"
    lines = [json.dumps({"prompt": f"please translate {i} to french"}) for i in range(300)]
    foreign.write_text("\n".join(lines))
    done = _run("drift", "--ledger", foreign, "--model", folder / "m", "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout)[0]["alarm"]


def test_drift_reads_a_ledger_that_holds_scores_alone(folder: Path) -> None:
    rng = np.random.default_rng(0)
    ledger = folder / "ledger.jsonl"
    lines = [
        json.dumps({"score": float(s), "familiar": 0.5, "tier": "small"}) for s in rng.random(300)
    ]
    ledger.write_text("\n".join(lines))
    done = _run("drift", "--ledger", ledger, "--model", folder / "m", "--json")
    (window,) = json.loads(done.stdout)
    assert window["shift"] is None
    assert window["escalation_rate"] == 0.0
    assert window["alarm"]


def test_drift_reads_the_scores_of_a_ledger_whose_prompts_were_not_kept(folder: Path) -> None:
    ledger = folder / "kept.jsonl"
    ledger.write_text('{"prompt": null, "score": 0.5}\n' * 300)
    done = _run("drift", "--ledger", ledger, "--model", folder / "m", "--json")
    assert json.loads(done.stdout)[0]["shift"] is None


def test_drift_leaves_torn_lines_of_a_ledger_out(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = folder / "torn.jsonl"
    lines = ['{"score": 0.5, "familiar": 0.5, "tier": "small"}'] * 300
    ledger.write_text("\n".join([*lines[:10], '{"score": 0.', "", "[]", *lines[10:]]))
    done = _run("drift", "--ledger", ledger, "--model", folder / "m", "--json")
    (window,) = json.loads(done.stdout)
    assert window["prompts"] == 300
    assert [record.message for record in caplog.records] == [
        f"{ledger}:11: not a JSON object; 2 lines left out"
    ]


_BROKEN = {
    "BINARY": bytes(range(256)),
    "DEEP": b"[" * 200_000,
    "WORD": b'{"score": "high"}',
    "MIXED": b'{"score": 0.5}\n{"prompt": "Hello"}\n',
    "COUNT": b'{"prompt": 5}\n',
}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--data", "none.jsonl", "--out", "OUT"], "no such file"),
        (["train", "--data", "THREE", "--out", "OUT"], "three.jsonl: 3 distinct prompts"),
        (["train", "--data", "FEW", "--out", "OUT", "--objective", "x"], "--objective 'x'"),
        (["train", "--data", "FEW", "--out", "OUT", "--rungs", "tree"], "--rungs 'tree'"),
        (["calibrate", "--traffic", "FEW", "--budget", "0.05"], "give at least"),
        (["calibrate", "--traffic", "FEW"], "exactly one of"),
        (["evaluate", "--data", "FEW", "--model", "OUT"], "no manifest.json"),
        (["drift", "--ledger", "FEW"], "at least one window"),
        (["drift", "--ledger", "BINARY"], "binary.jsonl: not readable as UTF-8"),
        (["drift", "--ledger", "DEEP"], "deep.jsonl:1: not a JSON object"),
        (["drift", "--ledger", "WORD"], "word.jsonl:1: `score` is not a number"),
        (["drift", "--ledger", "MIXED"], "mixed.jsonl:2: texts and scores alone in one file"),
        (["drift", "--ledger", "COUNT"], "count.jsonl:1: neither `prompt` (text)"),
        (["train", "--data", ",", "--out", "OUT"], "--data names no file"),
        (["train", "--data", "FEW", "--out", "FEW"], "few.jsonl is not a folder"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    tmp_path: Path, arguments: list[str], message: str
) -> None:
    names = {
        "OUT": str(tmp_path / "out"),
        "THREE": str(_file(tmp_path / "three.jsonl", learnable(3))),
        "FEW": str(_file(tmp_path / "few.jsonl", learnable(80))),
    }
    for name, content in _BROKEN.items():
        (tmp_path / f"{name.lower()}.jsonl").write_bytes(content)
        names[name] = str(tmp_path / f"{name.lower()}.jsonl")
    done = _run(*[names.get(a, a) for a in arguments])
    assert done.exit_code == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_no_better_than_a_baseline_is_not_promoted(tmp_path: Path) -> None:
    rows = [Row(r.conversation, float(i % 2), 1.0) for i, r in enumerate(learnable(300))]
    path = _file(tmp_path / "noise.jsonl", rows)
    done = _run("train", "--data", path, "--out", tmp_path / "m", "--rungs", "lexical")
    assert done.exit_code == 1
    assert "not promoted: no better than" in done.stderr
    assert not (tmp_path / "m" / "manifest.json").exists()
