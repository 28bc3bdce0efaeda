"""The trained check: it learns what shows, is calibrated, runs no code, and knows its model."""

import json
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from answer_check import artifact
from answer_check.artifact import AnswerCheckError
from answer_check.features import (
    QUESTION_NAMES,
    Beginning,
    logprob_features,
    lowest_window,
    text_features,
)
from answer_check.fitting import auroc, calibration_error
from answer_check.model import HEADS, claim_of, head_of, names_of
from answer_check.rows import Row, read_rows
from answer_check.training import train
from classifier import Score, load
from classifier.artifact import SHIPPED
from deployments.cli import app
from deployments.gateway.answer_text import Said
from deployments.gateway.judge import Judge
from deployments.protocol.chunk import Chunk, Usage
from deployments.protocol.openai_request import ParsedRequest, parse
from deployments.settings.app import AppConfig
from deployments.settings.config_mistake import ConfigError


def rows(count: int = 600, seed: int = 0) -> list[Row]:
    """Answers that are less likely where they are wrong, and questions that say a little."""
    rng = np.random.default_rng(seed)
    made = []
    for at in range(count):
        wrong = rng.random() < 0.3
        low = rng.normal(rng.normal(-1.3 if wrong else -0.8, 0.5), 0.6, 24)
        gain = float(np.clip(rng.normal(0.35 if wrong else 0.25, 0.2), -1, 1))
        made.append(
            Row(
                f"question {at}",
                "word " * 24,
                float(not wrong),
                1.0,
                tuple(float(min(0.0, value)) for value in low),
                "stop",
                f"group {at % 7}",
                gain,
                0.7,
            )
        )
    return made


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained artefact."""
    path = tmp_path_factory.mktemp("check")
    model, _ = train(rows(), "small-7b", "int4", 16, 0.05)
    artifact.write(path, model, {"rows": 600})
    return path


def test_whoever_loads_while_it_is_written_gets_the_old_one(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = artifact.read(folder)
    old = artifact.write(tmp_path, model, {"rows": 1})
    write, loaded = Path.open, []

    def open_and_load(path: Path, mode: str = "r", *others: Any, **more: Any) -> Any:
        opened = write(path, mode, *others, **more)
        if "w" in mode:  # as it stands between the opening and the writing
            loaded.append(artifact.read(tmp_path).artifact_id)
        return opened

    monkeypatch.setattr(Path, "open", open_and_load)
    new = artifact.write(tmp_path, model, {"rows": 2})
    assert loaded == [old.artifact_id]
    assert artifact.read(tmp_path).artifact_id == new.artifact_id != old.artifact_id
    assert [path.name for path in tmp_path.iterdir()] == [artifact.NAME]


def test_it_learns_what_shows_and_says_how_sure_it_is(folder: Path) -> None:
    model, fresh = artifact.read(folder), rows(2000, seed=1)
    labels = np.array([row.label for row in fresh])
    by_answer = np.array([model.probability(row.beginning(16)) for row in fresh])
    by_question = np.array([row.gain for row in fresh], np.float64)
    assert auroc(by_answer, labels) > auroc(by_question, labels) + 0.05
    assert calibration_error(by_answer, labels) < 0.05
    texts = [Beginning(row.answer, gain=row.gain, p_small=0.7) for row in fresh]
    bare = np.array([model.probability(text) for text in texts])
    assert auroc(bare, labels) < auroc(by_answer, labels)


def test_the_trained_budget_lies_over_the_threshold(folder: Path) -> None:
    model = artifact.read(folder)
    claims = np.array([model.claim(row.beginning(16)) for row in rows(2000, seed=2)])
    assert abs((claims >= 0.7).mean() - 0.05) < 0.03
    assert 0.0 <= claims.min() <= claims.max() <= 1.0


def test_what_is_written_is_what_is_read(folder: Path) -> None:
    trained, _ = train(rows(), "small-7b", "int4", 16, 0.05)
    read = artifact.read(folder)
    for row in rows(20, seed=3):
        assert read.probability(row.beginning(4)) == trained.probability(row.beginning(4))
    assert (read.served_model, read.quantisation, len(read.artifact_id)) == ("small-7b", "int4", 12)


BROKEN: dict[str, Any] = {
    "no JSON": lambda saved: "{",
    "a list": lambda saved: "[]",
    "another format": lambda saved: json.dumps({**saved, "format": 99}),
    "a head too few": lambda saved: json.dumps({**saved, "heads": {}}),
    "no model": lambda saved: json.dumps({k: v for k, v in saved.items() if k != "served_model"}),
    "not a number": lambda saved: json.dumps(saved).replace('"offset": ', '"offset": "x", "was": '),
    "infinity": lambda saved: json.dumps({**saved, "budget_probability": float("inf")}),
    "too large": lambda saved: " " * 1_000_001,
    "nested without end": lambda saved: "[" * 200_000,
    "null": lambda saved: "null",
    **{
        f"hold_tokens {value:.9}": lambda saved, value=value: json.dumps(saved).replace(
            '"hold_tokens": 16', f'"hold_tokens": {value}'
        )
        for value in ("0", "-3", "0.5", "1000000000", "1e308", "9" * 400, "NaN", "true", '"16"')
    },
}


@pytest.mark.parametrize("spoil", BROKEN.values(), ids=BROKEN)
def test_a_file_that_is_none_is_refused_in_one_line(
    folder: Path, tmp_path: Path, spoil: Any
) -> None:
    saved = json.loads((folder / artifact.NAME).read_text())
    (tmp_path / artifact.NAME).write_text(spoil(saved))
    with pytest.raises(AnswerCheckError) as caught:
        artifact.read(tmp_path)
    assert "\n" not in str(caught.value)


def test_the_folder_of_no_artefact_may_have_any_name(tmp_path: Path) -> None:
    for folder in (Path("a\0b"), tmp_path / ("a" * 300), tmp_path):
        with pytest.raises(AnswerCheckError):
            artifact.read(folder)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_an_artefact_from_another_editor_is_inspected(
    folder: Path, tmp_path: Path, encoding: str
) -> None:
    saved = (folder / artifact.NAME).read_text().replace("small-7b", "small[/b][red]")
    (tmp_path / artifact.NAME).write_text(saved, encoding=encoding)
    told = CliRunner().invoke(app, ["answer-check", "inspect", "--artifact", str(tmp_path)])
    assert told.exit_code == 0, told.output
    assert "small[/b][red]" in told.output


def test_no_artefact_is_written_that_could_not_be_read(folder: Path, tmp_path: Path) -> None:
    model = replace(artifact.read(folder), hold_tokens=10**9)
    with pytest.raises(AnswerCheckError, match="hold_tokens"):
        artifact.write(tmp_path / "new", model, {})
    assert not list(tmp_path.rglob(artifact.NAME))


def config(folder: Path, **small: Any) -> AppConfig:
    tier = {"model": "small-7b", "engine": {"kind": "simulated"}, **small}
    return AppConfig.model_validate({"small": tier, "answer_check": {"artifact": str(folder)}})


def test_an_artefact_runs_beside_its_own_model_only(folder: Path, tmp_path: Path) -> None:
    assert Judge(config(folder)).hold_tokens == 16
    with pytest.raises(ConfigError, match="'small-7b', the small tier serves 'other-7b'"):
        Judge(config(folder, model="other-7b"))
    assert Judge(config(folder, engine={"kind": "simulated", "max_model_len": 17}))
    with pytest.raises(ConfigError, match="holds 16 tokens, which does not fit max_model_len 16"):
        Judge(config(folder, engine={"kind": "simulated", "max_model_len": 16}))
    checkpoint = tmp_path / "model"
    checkpoint.mkdir()
    engine = {"kind": "vllm", "path": str(checkpoint)}
    for said, refused in (
        ({}, True),
        ({"quantization_config": {"quant_method": "gptq", "bits": 4}}, False),
        ({"quantization_config": {"quant_method": "gptq", "bits": 8}}, True),
        ({"quantization_config": {"config_groups": {"g": {"weights": {"num_bits": 4}}}}}, False),
        ({"quantization_config": {"quant_method": "fp8"}}, True),
    ):
        (checkpoint / "config.json").write_text(json.dumps(said))
        with pytest.raises(ConfigError, match="stored as") if refused else nullcontext():
            Judge(config(folder, engine=engine))
    with pytest.raises(ConfigError, match="No such file"):
        Judge(config(tmp_path))


def begun_as(classifier: str, gain: float) -> tuple[Said, list[Chunk], ParsedRequest, Score]:
    """An answer of 24 tokens in its middle, and a question's score."""
    text = b"The quick brown fox jumps over a lazy dog while two cats sleep in the sun"
    data = b'data: {"choices": [{"index": 0, "delta": {"content": "%s"}}]}\n\n' % text
    said = Said()
    said.take(data, stream=True)
    held = [Chunk(data, Usage(5, 16), True, logprobs=(-0.9,) * 16)]
    body = b'{"model": "auto", "messages": [{"role": "user", "content": "Hi"}], "stream": true}'
    return said, held, parse("chat", body), Score(0.5, 0.7, 1.0, gain, 1.0, None, classifier)


def test_only_the_scores_that_it_was_trained_on_are_weighed(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    artifact.write(tmp_path, replace(artifact.read(folder), classifier="known"), {})
    judge = Judge(config(tmp_path))

    def by(classifier: str, gain: float) -> float:
        return judge.judged(*begun_as(classifier, gain)).claim

    assert by("known", 0.9) > by("known", -0.9)
    assert not caplog.records
    said, held, request, _ = begun_as("known", 0.9)
    unscored = judge.judged(said, held, request, None).claim
    assert by("retrained", 0.9) == by("retrained", -0.9) == unscored
    (warned,) = caplog.records
    assert "known, not of retrained" in warned.getMessage()
    assert by("known", -0.9) < unscored < by("known", 0.9)


def test_what_is_not_known_of_a_question_counts_as_the_mean(folder: Path) -> None:
    model, row = artifact.read(folder), rows(1)[0]
    mean = dict(zip(names_of("beginning"), model.heads["beginning"].mean, strict=True))
    unknown = replace(row, gain=None, p_small=None).beginning(16)
    usual = replace(row, gain=mean["gain"], p_small=mean["p_small"]).beginning(16)
    assert model.probability(unknown) == pytest.approx(model.probability(usual), abs=1e-12)


def test_rows_without_a_score_teach_what_the_others_do() -> None:
    scored = rows(1000)
    half = [replace(r, gain=None, p_small=None) if at % 2 else r for at, r in enumerate(scored)]
    model, fitted = train(half, "m", "int4", 16, 0.05)
    assert fitted["beginning"].auroc > 0.7
    assert all(np.isfinite(head.weights).all() for head in model.heads.values())
    bare = [replace(r, gain=None, p_small=None) for r in scored]
    assert train(bare, "m", "int4", 16, 0.05)[0].heads["whole"].weights[-2:] == (0.0, 0.0)


def test_features_are_as_many_as_their_names_and_finite() -> None:
    for text in ("", "\n", "Paris.", "a" * 10_000):
        for logprobs in ((), (0.0,), (-1e9, float("-inf"), 0.5), (-0.1,) * 500):
            name, features = head_of(Beginning(text, logprobs))
            assert len(features) == len(names_of(name))
            assert np.isfinite(features[: -len(QUESTION_NAMES)]).all()
    assert lowest_window([-1.0], 8) == -1.0
    assert len(text_features(Beginning("x"))) + len(logprob_features([-1.0])) == 18


def test_claims_rise_with_probability() -> None:
    claims = [claim_of(p / 100, 0.3) for p in range(101)]
    assert claims == sorted(claims)
    assert (claims[0], claims[30], claims[100]) == (0.0, 0.7, 1.0)


def test_too_few_rows_are_refused() -> None:
    with pytest.raises(AnswerCheckError, match="at least"):
        train(rows(40), "m", "int4", 16, 0.05)


ROW = {"prompt": "q", "answer": "a", "logprobs": [-0.5], "small": 1, "gain": 0.1, "p_small": 0.5}


def saying(**fields: Any) -> str:
    return json.dumps({**ROW, **fields})


NO_SHARE: tuple[Any, ...] = ("x", float("nan"), float("inf"), 1e300, 10**400, [1], {}, -7)
UNFIT: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys(("gain", "p_small", "small", "large"), NO_SHARE),
    "logprobs": ([float("nan")], ["x"], [10**400], 5, [None], "ab"),
    "answer": (3, ["a"], {}),
    "prompt": (3, {}, True),
}


@pytest.mark.parametrize(
    "line",
    [
        *(saying(**{key: value}) for key, values in UNFIT.items() for value in values),
        *(saying(gain=True), saying(gain=1.5), "[" * 200_000),
        *('{"small": ' + "9" * 5000 + "}", "null", "[]", "prompt,answer"),
    ],
    ids=lambda line: line[-60:],
)
def test_a_row_that_is_none_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(f"{saying()}\n\n{line}\n")
    with pytest.raises(AnswerCheckError, match=r"rows\.jsonl:3: ") as caught:
        read_rows([path])
    assert "\n" not in str(caught.value)


def test_a_row_is_a_line_whatever_it_says(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    rows = [{**ROW, "answer": "a\u2028b\u0085c"}, {**ROW, "answer": None, "logprobs": [-np.inf]}]
    text = "\r\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    path.write_text(text, encoding="utf-8-sig")
    assert [row.answer for row in read_rows([path])] == ["a\u2028b\u0085c", ""]
    path.write_text(text, encoding="utf-16")
    with pytest.raises(AnswerCheckError, match="not UTF-8"):
        read_rows([path])


def test_the_commands_train_evaluate_and_inspect(tmp_path: Path) -> None:
    data = tmp_path / "rows.jsonl"
    lines = [
        {
            "prompt": row.question,
            "answer": row.answer,
            "logprobs": row.logprobs,
            "small": row.small,
            "gain": row.gain,
            "p_small": row.p_small,
        }
        for row in rows(300)
    ]
    data.write_text("\n".join(map(json.dumps, lines)))
    assert len(read_rows([data])) == 300
    to, run = tmp_path / "out", CliRunner().invoke
    train_on = ["answer-check", "train", "--data", str(data), "--out", str(to), "--model", "m"]
    made = run(app, train_on)
    assert made.exit_code == 0, made.output
    assert set(artifact.read(to).heads) == set(HEADS)
    judged = run(
        app,
        ["answer-check", "evaluate", "--data", str(data), "--artifact", str(to), "--json"],
    )
    assert json.loads(judged.output)["beginning"]["auroc"] > 0.7
    told = run(app, ["answer-check", "inspect", "--artifact", str(to), "--json"])
    assert json.loads(told.output)["served_model"] == "m"
    assert json.loads(told.output)["classifier"] == ""
    data.write_text('{"prompt": "x"}')
    assert run(app, train_on).exit_code == 2


def test_the_classifier_that_serves_scores_the_questions(tmp_path: Path) -> None:
    data, to, run = tmp_path / "rows.jsonl", tmp_path / "out", CliRunner().invoke
    lines = [{"prompt": f"q {at}", "answer": r.answer, "small": r.small, "logprobs": r.logprobs}
             for at, r in enumerate(rows(150))]  # fmt: skip
    data.write_text("\n".join(map(json.dumps, lines)))
    options = ["--data", str(data)]
    train_on = ["answer-check", "train", *options, "--out", str(to), "--model", "m"]
    made = run(app, [*train_on, "--classifier", str(SHIPPED)])
    assert made.exit_code == 0, made.output
    model = artifact.read(to)
    assert model.classifier == load(SHIPPED).artifact_id
    judge_by = ["answer-check", "evaluate", *options, "--artifact", str(to)]
    assert run(app, judge_by).exit_code == 0
    artifact.write(to, replace(model, classifier="another"), {})
    refused = run(app, judge_by)
    assert refused.exit_code == 2
    assert "name its folder with --classifier" in refused.output
    missing = run(app, [*train_on, "--classifier", str(tmp_path / "none")])
    assert missing.exit_code == 2
    assert missing.output.count("\n") == 1


@pytest.mark.parametrize(
    "odd",
    [
        {"gain": "x"},
        {"gain": float("nan")},
        {"gain": 1e300},
        {"p_small": [1]},
        {"p_small": True},
        {"prompt": 5},
        {"prompt": None, "messages": [1]},
        {"small": 10**400},
        {"logprobs": [10**400]},
    ],
)
def test_a_row_of_another_type_is_named(tmp_path: Path, odd: dict[str, object]) -> None:
    data = tmp_path / "rows.jsonl"
    data.write_text(json.dumps({"prompt": "Hi", "answer": "Hello", "small": 1} | odd))
    with pytest.raises(AnswerCheckError, match=r"rows\.jsonl:1: "):
        read_rows([data])
    data.write_text("[" * 100_000)
    with pytest.raises(AnswerCheckError, match=r"rows\.jsonl:1: "):
        read_rows([data])
