"""The GGUF reader gives Hugging Face's row order and refuses what it does not know."""

from pathlib import Path

import numpy as np
import pytest

from models.errors import CheckpointError
from models.gguf_source import GgufSource, unpermute_rope


def llama_cpp_permute(values: np.ndarray, heads: int) -> np.ndarray:
    """As in llama.cpp's convert_hf_to_gguf.py, `LlamaModel.permute`."""
    shape = values.shape
    halves = values.reshape(heads, 2, shape[0] // heads // 2, *shape[1:])
    return halves.swapaxes(1, 2).reshape(shape)


@pytest.mark.parametrize(("heads", "head_dim"), [(1, 4), (3, 8), (9, 64)])
def test_row_order_is_the_inverse_of_llama_cpp(heads: int, head_dim: int) -> None:
    values = np.arange(heads * head_dim * 5, dtype=np.float32).reshape(heads * head_dim, 5)
    assert np.array_equal(unpermute_rope(llama_cpp_permute(values, heads), heads), values)


def test_row_order_of_one_head_by_hand() -> None:
    rows = np.array([[0], [1], [2], [3], [4], [5]])  # pairs (0,1) (2,3) (4,5)
    assert unpermute_rope(rows, 1).ravel().tolist() == [0, 2, 4, 1, 3, 5]


@pytest.mark.parametrize("content", [b"", b"GGUF", b"not a model at all, just some text" * 9])
def test_a_file_that_is_no_gguf_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.gguf"
    path.write_bytes(content)
    with pytest.raises(
        CheckpointError, match=r"broken\.gguf is not a readable GGUF file"
    ) as caught:
        GgufSource(path)
    assert "\n" not in str(caught.value)
