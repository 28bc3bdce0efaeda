"""Reads one GGUF file as a Hugging Face checkpoint: configuration, weights, tokenizer.

Covers what the default model needs: the `llama` architecture with a byte-level BPE tokenizer of the
`smollm` kind. Anything else is refused by name.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from gguf import GGUFReader, dequantize

from models.errors import CheckpointError

# GGUF name inside a block -> Hugging Face name inside a layer.
# Source: gguf 0.19 `constants.MODEL_TENSORS[MODEL_ARCH.LLAMA]`, transformers `LlamaForCausalLM`.
LAYER_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
TOP_NAMES = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
CONTROL_TOKEN = 3  # gguf `TokenType.CONTROL`


class NamedTensor(NamedTuple):
    """One weight under its Hugging Face name, float32."""

    name: str
    values: torch.Tensor


class GgufSource:
    """An open GGUF file; `CheckpointError` if it is not one this module understands."""

    def __init__(self, path: Path) -> None:
        try:
            self._reader = GGUFReader(path)
        except (ValueError, OSError, IndexError, KeyError) as error:
            raise CheckpointError(f"{path.name} is not a readable GGUF file: {error}") from error
        architecture = self._field("general.architecture")
        if architecture != "llama":
            raise CheckpointError(f"{path.name}: architecture {architecture!r}, expected 'llama'")
        if self._field("tokenizer.ggml.pre") != "smollm":
            raise CheckpointError(f"{path.name}: only the 'smollm' tokenizer is understood")

    def _field(self, name: str) -> Any:
        field = self._reader.fields.get(name)
        if field is None:
            raise CheckpointError(f"GGUF key {name!r} is missing")
        return field.contents()

    @property
    def chat_template(self) -> str:
        """The model's own chat template, as its authors published it."""
        return str(self._field("tokenizer.chat_template"))

    def config(self) -> dict[str, Any]:
        """The `config.json` of the equivalent `LlamaForCausalLM`."""
        heads = int(self._field("llama.attention.head_count"))
        hidden = int(self._field("llama.embedding_length"))
        names = {tensor.name for tensor in self._reader.tensors}
        return {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "hidden_size": hidden,
            "intermediate_size": int(self._field("llama.feed_forward_length")),
            "num_hidden_layers": int(self._field("llama.block_count")),
            "num_attention_heads": heads,
            "num_key_value_heads": int(self._field("llama.attention.head_count_kv")),
            "head_dim": hidden // heads,
            "hidden_act": "silu",
            "attention_bias": False,
            "mlp_bias": False,
            "max_position_embeddings": int(self._field("llama.context_length")),
            "rms_norm_eps": round(float(self._field("llama.attention.layer_norm_rms_epsilon")), 9),
            "rope_theta": float(self._field("llama.rope.freq_base")),
            "vocab_size": int(self._field("llama.vocab_size")),
            "tie_word_embeddings": "output.weight" not in names,
            "bos_token_id": int(self._field("tokenizer.ggml.bos_token_id")),
            "eos_token_id": int(self._field("tokenizer.ggml.eos_token_id")),
            "pad_token_id": int(self._field("tokenizer.ggml.padding_token_id")),
            "torch_dtype": "bfloat16",
        }

    def tensors(self) -> Iterator[NamedTensor]:
        """Every weight, dequantised, under its Hugging Face name and in its row order."""
        heads = int(self._field("llama.attention.head_count"))
        kv_heads = int(self._field("llama.attention.head_count_kv"))
        for tensor in self._reader.tensors:
            values = np.array(dequantize(tensor.data, tensor.tensor_type), dtype=np.float32)
            part = tensor.name.split(".")
            if part[0] == "blk":
                name = f"model.layers.{part[1]}.{LAYER_NAMES[part[2]]}.{part[3]}"
                if part[2] in ("attn_q", "attn_k"):
                    values = unpermute_rope(values, heads if part[2] == "attn_q" else kv_heads)
            else:
                name = f"{TOP_NAMES[part[0]]}.{part[1]}"
            yield NamedTensor(name, torch.from_numpy(np.ascontiguousarray(values)))

    def tokenizer_json(self) -> dict[str, Any]:
        """The `tokenizer.json` of the byte-level BPE tokenizer, digits split one by one."""
        tokens: list[str] = self._field("tokenizer.ggml.tokens")
        kinds: list[int] = self._field("tokenizer.ggml.token_type")
        byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
        return {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [
                special_token(index, token)
                for index, (token, kind) in enumerate(zip(tokens, kinds, strict=True))
                if kind == CONTROL_TOKEN
            ],
            "normalizer": None,
            "pre_tokenizer": {
                "type": "Sequence",
                "pretokenizers": [
                    {"type": "Digits", "individual_digits": True},
                    byte_level | {"use_regex": True},
                ],
            },
            "post_processor": None,
            "decoder": byte_level | {"add_prefix_space": True, "use_regex": True},
            "model": {
                "type": "BPE",
                "dropout": None,
                "unk_token": None,
                "continuing_subword_prefix": None,
                "end_of_word_suffix": None,
                "fuse_unk": False,
                "byte_fallback": False,
                "ignore_merges": False,
                "vocab": {token: index for index, token in enumerate(tokens)},
                "merges": [merge.split(" ") for merge in self._field("tokenizer.ggml.merges")],
            },
        }

    def tokenizer_config(self) -> dict[str, Any]:
        """The `tokenizer_config.json`, chat template included."""
        tokens: list[str] = self._field("tokenizer.ggml.tokens")
        return {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "clean_up_tokenization_spaces": False,
            "model_max_length": int(self._field("llama.context_length")),
            "bos_token": tokens[self._field("tokenizer.ggml.bos_token_id")],
            "eos_token": tokens[self._field("tokenizer.ggml.eos_token_id")],
            "pad_token": tokens[self._field("tokenizer.ggml.padding_token_id")],
            "unk_token": tokens[self._field("tokenizer.ggml.unknown_token_id")],
            "chat_template": self.chat_template,
        }


def special_token(index: int, content: str) -> dict[str, Any]:
    """One `added_tokens` entry: matched verbatim, never split."""
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": index, "content": content, "special": True} | flags


def unpermute_rope(values: np.ndarray, heads: int) -> np.ndarray:
    """Rows in Hugging Face order (halves) from llama.cpp's order (pairs), per head.

    Source: the inverse of `LlamaModel.permute` in llama.cpp's `convert_hf_to_gguf.py`.
    """
    rows, columns = values.shape
    pairs = values.reshape(heads, rows // heads // 2, 2, columns)
    return pairs.swapaxes(1, 2).reshape(rows, columns)
