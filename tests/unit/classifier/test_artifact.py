"""A damaged, foreign or hostile folder is refused in one line before anything in it is used."""

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

import classifier
from classifier import ArtifactError
from classifier.artifact import FORMAT, SHIPPED, Arrays, open_artifact, write_artifact


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    copy = tmp_path / "artifact"
    shutil.copytree(SHIPPED, copy)
    return copy


def _manifest(folder: Path, **changes: object) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def _refused(folder: Path, message: str) -> None:
    with pytest.raises(ArtifactError, match=message) as caught:
        classifier.load(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["static.safetensors", "encoder.onnx", "lexical.safetensors"])
def test_one_flipped_byte_is_refused(folder: Path, name: str) -> None:
    path = folder / name
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)
    _refused(folder, "SHA-256 differs")


def test_a_file_of_another_size_is_refused_before_it_is_read(folder: Path) -> None:
    with (folder / "static.safetensors").open("ab") as file:
        file.write(b"x")
    _refused(folder, "bytes, .* expected")


def test_a_newer_format_is_refused(folder: Path) -> None:
    _manifest(folder, format=FORMAT + 1)
    _refused(folder, "upgrade smallfirst or train again")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1}', "\x80", "null", "[" * 9_999])
def test_a_broken_manifest_is_refused(folder: Path, text: str) -> None:
    (folder / "manifest.json").write_bytes(text.encode("latin-1"))
    _refused(folder, "manifest")


def test_a_huge_manifest_is_refused_unread(folder: Path) -> None:
    (folder / "manifest.json").write_text(" " * 3_000_000)
    _refused(folder, "larger than")


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    _refused(tmp_path / "nowhere", "no manifest.json")


@pytest.mark.parametrize("killed", [False, True])
def test_whoever_loads_between_two_writes_gets_the_old_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch, killed: bool
) -> None:
    (folder / "report.md").write_text("how it came about")
    old = open_artifact(folder)
    kept: dict[str, bytes | Arrays] = {name: old.read(name) for name in old.manifest["files"]}
    lexical = old.arrays("lexical.safetensors", {})
    files = kept | {"lexical.safetensors": {key: value * 2 for key, value in lexical.items()}}
    write, loaded = Path.write_bytes, []

    def write_and_load(path: Path, content: bytes) -> int:
        if killed and path.name == "manifest.json":
            raise KeyboardInterrupt
        done = write(path, content)
        found = open_artifact(folder)
        assert all(found.read(name) == kept[name] for name in kept)
        loaded.append(found.artifact_id)
        return done

    monkeypatch.setattr(Path, "write_bytes", write_and_load)
    manifest = {k: v for k, v in old.manifest.items() if k != "files"}
    if killed:
        with pytest.raises(KeyboardInterrupt):
            write_artifact(folder, manifest, files)
        assert open_artifact(folder).artifact_id == old.artifact_id
    else:
        made = write_artifact(folder, manifest, files)
        assert open_artifact(folder).artifact_id == made != old.artifact_id
    assert set(loaded) == {old.artifact_id}
    assert {path.name for path in folder.iterdir()} == {*kept, "manifest.json", "report.md"}


def _replace(folder: Path, name: str, content: bytes) -> None:
    """Replace a file and vouch for it, as somebody who wants to be believed would."""
    found = open_artifact(folder)
    kept = {n: found.read(n) for n in found.manifest["files"]} | {name: content}
    manifest = {k: v for k, v in found.manifest.items() if k != "files"}
    write_artifact(folder, manifest, kept)


def test_a_pickle_in_place_of_weights_is_refused(folder: Path) -> None:
    _replace(folder, "static.safetensors", pickle.dumps({"table": [1]}))
    _refused(folder, "not safetensors")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (np.zeros(7, np.int8), "table is"),
        (np.full((30_522, 64), np.nan, np.float32), "NaN or infinity"),
    ],
)
def test_wrong_arrays_are_refused(folder: Path, table: np.ndarray, message: str) -> None:
    scale = np.ones(30_522, np.float32)
    _replace(folder, "static.safetensors", save({"table": table, "scale": scale}))
    _refused(folder, message)


@pytest.mark.parametrize("content", [b"garbage", b"[]", b'{"model": {"vocab": {}}}'])
def test_a_tokeniser_that_is_none_is_refused(folder: Path, content: bytes) -> None:
    _replace(folder, "tokenizer.json", content)
    _refused(folder, "not a usable classifier")


def _graph(outputs: int, first_input: str = "ids", value: float = 0.1) -> bytes:
    onnx = pytest.importorskip("onnx", reason="the training extra is not installed")
    make, kinds = onnx.helper, onnx.TensorProto
    inputs = [
        make.make_tensor_value_info(name, kinds.INT64, [None, None])
        for name in (first_input, "mask")
    ]
    output = make.make_tensor_value_info("output", kinds.FLOAT, [None, outputs])
    values = make.make_tensor("value", kinds.FLOAT, [1, outputs], [value] * outputs)
    node = make.make_node("Constant", [], ["output"], value=values)
    graph = make.make_graph([node], "graph", inputs, [output])
    opset = [make.make_opsetid("", 17)]
    raw: bytes = make.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()
    return raw


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (lambda: b"garbage", "not a usable classifier"),
        (lambda: _graph(3), "two finite logits expected"),
        (lambda: _graph(2, first_input="other"), "not a usable classifier"),
        (lambda: _graph(2, value=float("nan")), "two finite logits expected"),
    ],
    ids=["garbage", "three outputs", "other inputs", "NaN"],
)
def test_a_graph_that_cannot_score_is_refused(
    folder: Path, graph: Callable[[], bytes], message: str
) -> None:
    _replace(folder, "encoder.onnx", graph())
    _refused(folder, message)


@pytest.mark.parametrize(
    "change",
    [
        {"unfamiliar": {"policy": "bogus", "quantiles": [i / 40 for i in range(41)]}},
        {"unfamiliar": {"policy": "score", "quantiles": ["x"]}},
        {"serving": "nothing"},
    ],
    ids=["policy", "quantiles", "rung"],
)
def test_a_manifest_that_makes_no_sense_is_refused(folder: Path, change: dict[str, object]) -> None:
    _manifest(folder, **change)
    _refused(folder, str(folder))


def test_a_map_that_leaves_the_scale_is_refused(folder: Path) -> None:
    rungs = json.loads((folder / "manifest.json").read_text())["rungs"]
    for rung in rungs.values():
        rung["map"][1] = [7.0 for _ in rung["map"][1]]
    _manifest(folder, rungs=rungs)
    _refused(folder, "scores 7.0")


def test_a_file_name_cannot_leave_the_folder(folder: Path) -> None:
    found = open_artifact(folder)
    entry = dict(found.manifest["files"]) | {"../secret": {"bytes": 1, "sha256": ""}}
    _manifest(folder, files=entry)
    with pytest.raises(ArtifactError, match="lists no file"):
        open_artifact(folder).read("../secret")


def test_a_copy_scores_the_same_under_the_same_id(folder: Path) -> None:
    assert classifier.load(folder).score("Why is the sky blue?") == classifier.load().score(
        "Why is the sky blue?"
    )


def test_the_shipped_artefact_fits_its_25_megabytes() -> None:
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) <= 25_000_000
