"""Quantising a checkpoint: complete or absent, resumed where it stopped, measured and refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from models import quantise as quantise_module
from models.checkpoint import read_checkpoint
from models.errors import CheckpointError
from models.evaluation import Quality, load_weights, unpack_all
from models.int4 import Int4Scheme, Int4Weight, quantise
from models.quantise import Settings, projections, quantise_checkpoint, scheme_for
from models.sealed_folder import is_intact, manifest_of
from models.text_lines import TextLines

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "vocab_size": 64,
    "max_position_embeddings": 128,
    "torch_dtype": "bfloat16",
}
NO_LINES = TextLines([], [])


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "tokenizer.json").write_text("{}")
    (folder / "vocab.bpe").write_text("#version: 0.2\n")
    (folder / "modeling.py").write_text("")
    generator = torch.Generator().manual_seed(3)
    for layer in range(2):
        stem = f"model.layers.{layer}"
        tensors = {
            f"{stem}.self_attn.q_proj.weight": torch.randn(64, 64, generator=generator),
            f"{stem}.mlp.down_proj.weight": torch.randn(64, 96, generator=generator),
            f"{stem}.input_layernorm.weight": torch.ones(64),
        }
        save_file(
            {k: v.bfloat16() for k, v in tensors.items()}, folder / f"part-{layer}.safetensors"
        )
    save_file(
        {"model.embed_tokens.weight": torch.ones(64, 64).bfloat16()}, folder / "e.safetensors"
    )
    return folder


def run(source: Path, out: Path, **settings: Any) -> list[str]:
    steps: list[str] = []
    quantise_checkpoint(source, out, Settings(**settings), None, lambda s, _: steps.append(s))
    return steps


def test_projections_are_rounded_and_the_rest_is_kept(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(source, out)
    stored: dict[str, torch.Tensor] = {}
    for file in out.glob("*.safetensors"):
        stored |= load_file(file)
    plain = unpack_all(stored)
    original = load_file(source / "part-1.safetensors")
    name = "model.layers.1.mlp.down_proj.weight"
    assert torch.equal(plain[name], quantise(original[name], Int4Scheme(32)).dequantise())
    norm = "model.layers.1.input_layernorm.weight"
    assert torch.equal(plain[norm], original[norm])
    config = json.loads((out / "config.json").read_text())
    assert config["quantization_config"]["format"] == "pack-quantized"
    assert (out / "tokenizer.json").exists() and (out / "vocab.bpe").exists()
    assert not (out / "modeling.py").exists()
    assert is_intact(out)


def test_the_index_names_every_tensor(source: Path, tmp_path: Path) -> None:
    run(source, tmp_path / "out")
    assert read_checkpoint(tmp_path / "out").weights_bytes < read_checkpoint(source).weights_bytes


def test_the_manifest_says_from_what_and_how(source: Path, tmp_path: Path) -> None:
    run(source, tmp_path / "out", group_size=32)
    manifest = manifest_of(tmp_path / "out")
    assert manifest is not None
    assert set(manifest["source"]) >= {"config.json", "e.safetensors"}
    assert manifest["settings"]["group_size"] == 32


class Interrupt:
    """Stops the run like Ctrl-C when the given step begins."""

    def __init__(self, step: str) -> None:
        self.step = step

    def __call__(self, step: str, part: float) -> None:
        if step == self.step:
            raise KeyboardInterrupt


def test_an_interrupted_run_goes_on_where_it_stopped(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        quantise_checkpoint(source, out, Settings(), None, Interrupt("rounding rest"))
    assert not out.exists()
    rounded: list[torch.Tensor] = []

    def counted(weight: torch.Tensor, scheme: Int4Scheme) -> Int4Weight:
        rounded.append(weight)
        return quantise(weight, scheme)

    monkeypatch.setattr(quantise_module, "quantise", counted)
    run(source, out)
    assert rounded == [] and is_intact(out)


def test_other_settings_start_again(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        quantise_checkpoint(source, out, Settings(), None, Interrupt("rounding rest"))
    run(source, out, symmetric=True)
    config = json.loads((out / "config.json").read_text())
    assert config["quantization_config"]["config_groups"]["group_0"]["weights"]["symmetric"] is True
    name = "model.layers.0.mlp.down_proj.weight_zero_point"
    assert name not in load_file(out / "model-layer-00000.safetensors")


@pytest.mark.parametrize(("lost", "refused"), [(0.03, True), (0.01, False)])
def test_a_model_that_lost_too_much_is_not_written(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: float, refused: bool
) -> None:
    quality = {source: Quality(10.0, 0.5)}
    after = Quality(10.0 * (1 + lost), 0.5)
    monkeypatch.setattr(quantise_module, "evaluate", lambda path, *_: quality.get(path, after))
    out = tmp_path / "out"
    settings = Settings(max_regression=0.02)
    if refused:
        with pytest.raises(CheckpointError, match=r"lost 3\.0%, more than --max-regression 2\.0%"):
            quantise_checkpoint(source, out, settings, NO_LINES, lambda *_: None)
    else:
        quantise_checkpoint(source, out, settings, NO_LINES, lambda *_: None)
    assert out.exists() is not refused
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_accuracy_counts_as_a_loss_too() -> None:
    assert Quality(10.0, 0.5).regression(Quality(10.0, 0.75)) == 0.25
    assert Quality(9.0, 0.8).regression(Quality(10.0, 0.75)) == 0.0


def test_a_refused_method_leaves_nothing(source: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="needs --calibration"):
        run(source, tmp_path / "out", method="gptq")
    assert {path.name for path in tmp_path.iterdir()} == {"source"}


def test_a_model_without_a_tokenizer_is_one_line(source: Path, tmp_path: Path) -> None:
    # `tokenizer.json` is an empty object.
    with pytest.raises(CheckpointError, match="cannot evaluate source: ") as caught:
        lines = TextLines(["a text"], [])
        quantise_checkpoint(source, tmp_path / "out", Settings(), lines, lambda *_: None)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_damaged_weight_is_named_and_not_rounded(
    source: Path, tmp_path: Path, bad: float
) -> None:
    tensors = load_file(source / "part-1.safetensors")
    tensors["model.layers.1.mlp.down_proj.weight"][3, 5] = bad
    save_file(tensors, source / "part-1.safetensors")
    with pytest.raises(CheckpointError, match=r"down_proj\.weight' holds NaN or infinity"):
        run(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_output_below_a_file_is_one_line(source: Path) -> None:
    with pytest.raises(CheckpointError, match="Not a directory"):
        run(source, source / "config.json" / "out")


def test_a_taken_output_is_left_alone(source: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(CheckpointError, match="already there"):
        run(source, tmp_path / "out")


def test_a_quantised_source_is_refused(source: Path, tmp_path: Path) -> None:
    run(source, tmp_path / "out")
    with pytest.raises(CheckpointError, match="quantised already"):
        run(tmp_path / "out", tmp_path / "again")


def test_the_group_size_divides_every_matrix(source: Path) -> None:
    assert scheme_for(source, Settings()).group_size == 32  # 64 and 96 inputs
    with pytest.raises(CheckpointError, match="no group size"):
        scheme_for(source, Settings(group_size=128))


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device"),
        # What safetensors 0.8 raises on a full file system; not an OSError.
        SafetensorError("I/O error: No space left on device (os error 28)"),
    ],
)
def test_a_full_disk_is_one_line_and_nothing_half_written(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def full(_: object, path: Path, **__: object) -> None:
        path.write_text("half")
        raise error

    monkeypatch.setattr(quantise_module, "save_file", full)
    with pytest.raises(CheckpointError, match="No space left on device") as caught:
        run(source, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()
    assert {path.name for path in (tmp_path / ".out.quantising").iterdir()} == {"progress.json"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"architectures": ["MixtralForCausalLM"], "num_local_experts": 4},
            "MixtralForCausalLM is",
        ),
        ({"architectures": ["DeepseekV3ForCausalLM"]}, "DeepseekV3ForCausalLM is not rounded"),
        ({"architectures": ["UnknownForCausalLM"]}, "UnknownForCausalLM is not rounded here"),
        # With the defaults of its class for the images: a config may leave them out.
        (
            {"architectures": ["Gemma3ForConditionalGeneration"]},
            "Gemma3ForConditionalGeneration is not rounded here",
        ),
        ({"vision_config": {}}, "only decoders without experts and images"),
        ({"compression_config": {"quant_method": "x"}}, "is quantised already"),
    ],
)
def test_what_vllm_would_not_load_is_refused(
    source: Path, change: dict[str, Any], message: str
) -> None:
    (source / "config.json").write_text(json.dumps(CONFIG | change))
    with pytest.raises(CheckpointError, match=message):
        scheme_for(source, Settings())


def test_every_matrix_that_stays_is_ignored_by_name(source: Path, tmp_path: Path) -> None:
    """vLLM takes every `Linear` for rounded unless it is told otherwise."""
    extra = {"model.layers.0.mlp.gate.weight": torch.ones(4, 64).bfloat16()}
    save_file(extra, source / "extra.safetensors")
    run(source, tmp_path / "out")
    quantization = json.loads((tmp_path / "out" / "config.json").read_text())["quantization_config"]
    assert quantization["ignore"] == ["lm_head", "model.layers.0.mlp.gate"]


def test_phi_s_own_names_are_rounded() -> None:
    phi = CONFIG | {"architectures": ["PhiForCausalLM"]}
    names = projections(phi)
    assert {"model.layers.0.mlp.fc1.weight", "model.layers.1.self_attn.dense.weight"} <= names
    assert not any("gate" in name for name in names)


def test_mistral_s_file_beside_the_shards_is_not_rounded(source: Path, tmp_path: Path) -> None:
    save_file({"layers.0.wq.weight": torch.ones(64, 64)}, source / "consolidated.safetensors")
    run(source, tmp_path / "out")
    stored = [name for file in (tmp_path / "out").glob("*.safetensors") for name in load_file(file)]
    assert not any(".wq." in name for name in stored)


class Tied(torch.nn.Module):
    """An output matrix that is the embedding, as in small models."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = torch.nn.Embedding(4, 2)
        self.head = torch.nn.Linear(2, 4, bias=False)

    def tie_weights(self) -> None:
        self.head.weight = self.embed.weight


def test_a_model_is_judged_by_all_of_its_weights_or_not_at_all() -> None:
    """A weight left out would stay random, in the model before and in the one after alike."""
    model = Tied()
    load_weights(model, {"embed.weight": torch.ones(4, 2)})
    assert torch.equal(model.head.weight, torch.ones(4, 2))
    with pytest.raises(CheckpointError, match=r"without 'embed\.weight'"):
        load_weights(Tied(), {})
    fused = {"embed.weight": torch.ones(4, 2), "experts.0.w1.weight": torch.ones(2, 2)}
    with pytest.raises(CheckpointError, match=r"does not take 'experts\.0\.w1\.weight'"):
        load_weights(Tied(), fused)
