"""Distils the static table: what MiniLM makes of each word piece alone, reduced and weighted.

Method: Model2Vec (Minish Lab, 2024): encode every vocabulary entry alone, project on the
principal components, weight by rarity. Training time only; the table lives in the artefact.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer

from classifier.embedding import StaticEmbedding
from classifier.training.base_weights import source
from classifier.training.minilm import load_minilm

#: 64 int8 dimensions are 2 MB for 30,522 pieces, which leaves room for the encoder in 25 MB.
DIMENSIONS = 64
_BATCH = 2_048
#: Smooth inverse frequency (Arora et al., ICLR 2017): weight a / (a + p(word)).
_SIF = 1e-3


def distil(corpus: Sequence[str]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Return the table [pieces, DIMENSIONS] and its row scales; ``corpus`` says what is rare."""
    vectors = _encode_vocabulary()
    centred = vectors - vectors.mean(0)
    _, _, components = np.linalg.svd(centred[:: max(len(centred) // 8_192, 1)], full_matrices=False)
    reduced = centred @ components[:DIMENSIONS].T
    reduced /= np.maximum(np.linalg.norm(reduced, axis=1, keepdims=True), 1e-6)
    reduced *= _rarity(corpus)[:, None]
    scale = np.maximum(np.abs(reduced).max(1), 1e-8) / 127.0
    return np.round(reduced / scale[:, None]).astype(np.int8), scale.astype(np.float32)


def _encode_vocabulary() -> NDArray[np.float32]:
    model, size = load_minilm(), 30_522
    ids = torch.stack([torch.full((size,), 101), torch.arange(size), torch.full((size,), 102)], 1)
    mask = torch.ones_like(ids)
    with torch.inference_mode():
        parts = [model(i, m) for i, m in zip(ids.split(_BATCH), mask.split(_BATCH), strict=True)]
    vectors: NDArray[np.float32] = torch.cat(parts).numpy()
    return vectors


def _rarity(corpus: Sequence[str]) -> NDArray[np.float32]:
    vocabulary = Tokenizer.from_file(str(source() / "tokenizer.json")).get_vocab()
    blank = np.zeros((len(vocabulary), 1))
    pieces = StaticEmbedding(vocabulary, blank.astype(np.int8), blank[:, 0].astype(np.float32))
    counts: Counter[int] = Counter()
    for text in corpus:
        counts.update(pieces.pieces(text))
    share = np.array([counts[i] for i in range(len(vocabulary))]) / max(counts.total(), 1)
    weight: NDArray[np.float32] = (_SIF / (_SIF + share)).astype(np.float32)
    return weight
