"""`smallfirst plan` on the command line: figures for people and programs, one line for mistakes."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from deployments.commands.plan import app
from deployments.commands.plan_output import served_name
from deployments.settings.app import AppConfig, TierConfig, parse_app_config
from deployments.settings.vllm import VllmConfig

LLAMA = {
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
}
PROMISED = {
    "replicas_per_gpu", "gpu_share", "weights_bytes", "kv_bytes_per_token",
    "kv_cache_memory_bytes", "kv_tokens", "max_concurrency", "headroom_bytes", "binds",
}  # fmt: skip


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "llama" / "config.json"
    path.parent.mkdir()
    path.write_text(json.dumps(LLAMA))
    return path


def run(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["plan", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result.output if code == 0 else result.stderr


def as_json(*arguments: object) -> dict[str, Any]:
    document = json.loads(run(*arguments, "--json"))
    assert isinstance(document, dict)
    return document


def test_json_holds_what_is_promised(config: Path) -> None:
    document = as_json("--model", config, "--gpu", "l40s", "--int4", "--gpus", 2)
    assert document.keys() >= PROMISED
    assert document["kv_bytes_per_token"] == 131_072
    assert document["weights_estimated"] is True
    assert document["replicas"] == 2 * document["replicas_per_gpu"]
    assert "cuda_context_bytes" in document["assumed"]


def test_the_table_says_what_binds_and_what_is_assumed(config: Path) -> None:
    text = run("--model", config, "--gpu", "l40s", "--int4")
    assert "what binds" in text and "estimated" in text and "--calibration" in text


def test_the_emitted_block_holds_the_planned_settings(config: Path) -> None:
    arguments = ("--model", config, "--gpu", "l40s", "--int4", "--replicas-per-gpu", 2)
    block = yaml.safe_load(run(*arguments, "--emit", "serve_config"))["small"]
    document = as_json(*arguments)
    tier = TierConfig.model_validate(block)
    assert isinstance(tier.engine, VllmConfig)
    assert tier.gpu_share == document["gpu_share"] == 0.5
    assert tier.engine.kv_cache_memory_bytes == document["kv_cache_memory_bytes"]
    assert tier.engine.max_model_len == document["max_model_len"]
    assert tier.slots == tier.engine.max_num_seqs == document["max_num_seqs"]


def test_measured_overheads_replace_the_assumed_ones(config: Path, tmp_path: Path) -> None:
    measured = tmp_path / "l4.json"
    measured.write_text('{"cuda_graph_bytes": 0, "activation_bytes": 1000}')
    document = as_json("--model", config, "--gpu", "l40s", "--int4", "--calibration", measured)
    assert document["overheads"]["cuda_graph_bytes"] == 0
    assert document["overhead_bytes"] == 1000 + (512 << 20) + (307 << 20)
    assert "cuda_graph_bytes" not in document["assumed"]


def test_several_models_are_placed(config: Path) -> None:
    document = as_json("--model", config, "--model", config, "--gpu", "a100", "--int4")
    assert [len(gpu) for gpu in document["gpus"]] == [2]
    assert document["optimal"] is True


def test_the_emitted_block_serves_the_planned_kv_cache(config: Path) -> None:
    arguments = ("--model", config, "--gpu", "l40s", "--kv-dtype", "fp8")
    block = yaml.safe_load(run(*arguments, "--emit", "serve_config"))["small"]
    assert block["engine"]["extra_args"]["kv-cache-dtype"] == "fp8"
    assert as_json(*arguments)["kv_bytes_per_token"] == 131_072 // 2


@pytest.fixture
def adapters(tmp_path: Path) -> list[Path]:
    folders = []
    for name, rank in (("legal", 8), ("health", 12)):
        folder = tmp_path / name
        folder.mkdir()
        settings = {"peft_type": "LORA", "r": rank}
        (folder / "adapter_config.json").write_text(json.dumps(settings))
        folders.append(folder)
    return folders


def test_adapters_take_slots_beside_their_base_model(config: Path, adapters: list[Path]) -> None:
    arguments: list[object] = ["--model", config, "--gpu", "l40s", "--replicas-per-gpu", 1]
    plain = as_json(*arguments)
    arguments += [word for path in adapters for word in ("--model", path)]
    held = as_json(*arguments)
    # Two slots of rank 16, as vLLM allocates them (tests/e2e/test_architecture_truth.py).
    assert held["beside_bytes"] == 184_713_216
    assert held["overhead_bytes"] == plain["overhead_bytes"] + 184_713_216
    tier = TierConfig.model_validate(
        yaml.safe_load(run(*arguments, "--emit", "serve_config"))["small"]
    )
    assert isinstance(tier.engine, VllmConfig)
    assert (tier.engine.max_loras, tier.engine.max_lora_rank) == (2, 16)
    assert set(tier.adapters) == {"legal", "health"}


def test_adapters_need_one_base(config: Path, adapters: list[Path]) -> None:
    assert "exactly one base" in run("--model", adapters[0], "--gpu", "l4", code=2)
    two = ("--model", config, "--model", config, "--model", adapters[0])
    assert "exactly one base" in run(*two, "--gpu", "l4", code=2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"peft_type": "IA3"}, "only plain LoRA"),
        ({"peft_type": "LORA", "r": 0}, "'r' must be from 1 to 256, got 0"),
        ({"peft_type": "LORA", "r": 8, "use_dora": True}, "only plain LoRA"),
    ],
)
def test_an_adapter_that_cannot_be_served_is_named(
    config: Path, adapters: list[Path], settings: dict[str, Any], message: str
) -> None:
    (adapters[0] / "adapter_config.json").write_text(json.dumps(settings))
    text = run("--model", config, "--model", adapters[0], "--gpu", "l4", code=2)
    assert text.startswith("error: legal: ") and message in text


def test_several_models_need_gpus_enough(config: Path) -> None:
    two = ("--model", config, "--model", config, "--gpu", "24", "--int4")
    assert len(as_json(*two)["gpus"]) == 2
    text = run(*two, "--gpus", 1, code=2)
    assert text == "error: 2 GPUs are needed, 1 more than --gpus 1\n"
    assert "takes one model" in run(*two, "--emit", "serve_config", code=2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--gpu", "h10"], "did you mean 'h100'"),
        (["--gpu", "-4"], "GPU memory must be"),
        (["--gpu", "12"], "nearest that fits"),
        (["--gpu", "80", "--replicas-per-gpu", "9", "--int4"], "nearest that fits"),
        (["--gpu", "80", "--max-model-len", "200000"], "131072 tokens"),
        (["--gpu", "80", "--kv-dtype", "int3"], "use auto or fp8"),
        (["--gpu", "80", "--calibration", "nowhere.json"], "cannot read nowhere.json"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    config: Path, arguments: list[str], message: str
) -> None:
    text = run("--model", config, *arguments, code=2)
    assert message in text and text.startswith("error: ") and text.count("\n") == 1


@pytest.mark.parametrize(
    "option",
    ["--gpus", "--max-model-len", "--concurrency", "--block-size", "--replicas-per-gpu"],
)
@pytest.mark.parametrize("value", ["0", "-1"])
def test_sizes_below_one_are_refused(config: Path, option: str, value: str) -> None:
    text = run("--model", config, "--gpu", "l4", option, value, code=2)
    assert text == f"error: {option} must be at least 1, got {value}\n"


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--group-size", "-4", "error: --group-size must be at least 1, got -4"),
        ("--max-regression", "-0.1", "error: --max-regression must be at least 0, got -0.1"),
        ("--evaluate", "bad.jsonl", "error: bad.jsonl line 2 is not JSON"),
        ("--calibration", "bad.jsonl", "error: bad.jsonl line 2 is not JSON"),
    ],
)
def test_a_mistake_in_quantize_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str, value: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad.jsonl").write_text('{"text": "fine"}\n{"text": \n')
    result = CliRunner().invoke(app, ["quantize", "--model", "m", "--out", "o", option, value])
    assert (result.exit_code, result.stderr) == (2, message + "\n")


def test_an_unknown_calibration_key_is_named(config: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "c.json"
    wrong.write_text('{"cuda_contex_bytes": 1}')
    text = run("--model", config, "--gpu", "80", "--calibration", wrong, code=2)
    assert "cuda_contex_bytes" in text


@pytest.mark.parametrize("replicas", [1, 2, 3, 6, 7, 11])
def test_every_planned_share_is_accepted_by_the_config(config: Path, replicas: int) -> None:
    arguments = ("--model", config, "--gpu", "b200", "--int4", "--max-model-len", 2048)
    output = run(*arguments, "--replicas-per-gpu", replicas, "--emit", "serve_config")
    tier = TierConfig.model_validate(yaml.safe_load(output)["small"])
    assert replicas * round(tier.gpu_share * 10_000) <= 10_000


def test_a_batch_larger_than_serve_s_default_is_admitted(config: Path) -> None:
    arguments = ("--model", config, "--gpu", "h100", "--int4", "--max-model-len", 1024)
    tier = TierConfig.model_validate(
        yaml.safe_load(run(*arguments, "--emit", "serve_config"))["small"]
    )
    assert isinstance(tier.engine, VllmConfig)
    assert tier.slots == tier.engine.max_num_seqs > 32


@pytest.mark.parametrize(("share", "mend"), [(0.1429, 0.1428), (0.3, 0.3333), (0.334, 0.3333)])
def test_a_share_that_does_not_fit_k_times_is_refused_with_the_mend(
    config: Path, share: float, mend: float
) -> None:
    block = yaml.safe_load(run("--model", config, "--gpu", "b200", "--emit", "serve_config"))
    with pytest.raises(ValueError, match=f"use {mend}"):
        TierConfig.model_validate(block["small"] | {"gpu_share": share})


RESERVED = {"auto", "small", "large", AppConfig().large.model}


@given(
    st.text(st.characters(exclude_characters="/\0"), min_size=1) | st.sampled_from(sorted(RESERVED))
)
@settings(max_examples=200)
def test_every_folder_has_a_name_that_serve_admits(folder: str) -> None:
    name = served_name(folder, RESERVED)
    parse_app_config({"small": {"model": name, "engine": {"kind": "vllm"}}}, "a block")
    # What can be served as it is keeps its name.
    plain = folder.isascii() and folder.isprintable() and " " not in folder.strip("-")
    if plain and folder == folder.strip("-") and folder not in RESERVED:
        assert name == folder


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("my model", "my-model"),
        ("modèle", "modele"),
        ("模型", "model"),
        ("auto", "auto-2"),
        ("small", "small-2"),
        ("smollm2-135m", "smollm2-135m-2"),
        ("[red]", "[red]"),
        ("my-7b.int4", "my-7b.int4"),
    ],
)
def test_the_emitted_block_is_one_that_serve_admits(config: Path, folder: str, name: str) -> None:
    where = config.parent.rename(config.parent.parent / folder)
    path = where / "config.json"
    block = yaml.safe_load(run("--model", path, "--gpu", "b200", "--emit", "serve_config"))
    admitted = parse_app_config(block, "the block")
    assert admitted.small.model == name
    assert isinstance(admitted.small.engine, VllmConfig)
    assert admitted.small.engine.path == str(where)
    # The name is a name, no markup.
    assert folder in run("--model", path, "--gpu", "b200")


def test_adapters_get_names_of_their_own(config: Path, adapters: list[Path]) -> None:
    asked: list[object] = ["--model", config, "--gpu", "l40s", "--emit", "serve_config"]
    for adapter, folder in zip(adapters, ("llama", "llàma"), strict=True):
        there = config.parent / folder
        asked += ["--model", adapter.rename(there)]
    block = yaml.safe_load(run(*asked))
    assert set(parse_app_config(block, "the block").small.adapters) == {"llama-2", "llama-3"}


def test_a_block_that_serve_would_not_admit_is_refused(config: Path) -> None:
    asked = ("--model", config, "--gpu", "b200", "--max-model-len", 8, "--emit", "serve_config")
    text = run(*asked, code=2)
    assert "small.engine.max_model_len" in text and text.count("\n") == 1


@pytest.mark.parametrize("key", sorted({*LLAMA, "dtype", "layer_types", "sliding_window"}))
@pytest.mark.parametrize("value", [[], {}, [[1]], ["x"], {"a": []}, True, -1, 10**400, 1e308, 1.5])
def test_a_key_of_another_type_is_one_line(config: Path, key: str, value: Any) -> None:
    config.write_text(json.dumps(LLAMA | {key: value}))
    result = CliRunner().invoke(app, ["plan", "--model", str(config), "--gpu", "b200", "--json"])
    assert result.exit_code in (0, 2), result.exception
    if result.exit_code:
        assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("torch_dtype", ["bfloat16"]),
        ("tie_word_embeddings", "false"),
        ("attention_bias", "false"),
        ("use_sliding_window", 0),
        ("layer_types", 3),
        ("layer_types", [["full_attention"]]),
        ("layer_types", {"full_attention": 32}),
        ("hidden_size", 10**400),
    ],
)
def test_the_key_of_another_type_is_named(config: Path, key: str, value: Any) -> None:
    config.write_text(json.dumps(LLAMA | {key: value}))
    assert f"'{key}'" in run("--model", config, "--gpu", "b200", code=2)


DEEP = "[" * 100_000


def test_deep_json_is_one_line_wherever_it_stands(config: Path, tmp_path: Path) -> None:
    measured = tmp_path / "c.json"
    measured.write_text(DEEP)
    said = [run("--model", config, "--gpu", "80", "--calibration", measured, code=2)]
    weights = config.with_name("model.safetensors")
    weights.write_bytes(len(DEEP).to_bytes(8, "little") + DEEP.encode())
    said.append(run("--model", config.parent, "--gpu", "80", code=2))
    weights.with_name("model.safetensors.index.json").write_text(DEEP)
    said.append(run("--model", config.parent, "--gpu", "80", code=2))
    config.write_text(DEEP)
    said.append(run("--model", config, "--gpu", "80", code=2))
    asked = ["quantize", "--model", "m", "--out", "o", "--evaluate", str(measured)]
    said.append(CliRunner().invoke(app, asked).stderr)
    assert all(text.startswith("error: ") and text.count("\n") == 1 for text in said), said
