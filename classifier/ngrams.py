"""Word and byte n-grams hashed into a fixed table: the lexical model's vocabulary-free features.

Vectorised over the text, so the cost is bounded by its cap and no dictionary is shipped.
"""

import re
import zlib

import numpy as np
from numpy.typing import NDArray

#: Buckets of each block. 2**16 for words and 2**16 for byte n-grams make 0.5 MB of weights in
#: float16; the 15,000 training prompts hold about 60,000 distinct word n-grams.
BLOCK = 1 << 16
BUCKETS = 2 * BLOCK
_WORD = re.compile(r"[^\W_]+|[^\w\s]")
_MIX = np.uint32(2_654_435_761)  # Knuth's multiplicative hash, 2**32 / golden ratio
_SHIFT = np.uint32(16)


def words(text: str) -> list[str]:
    """Return the lower-case words and single punctuation marks of a cleaned text."""
    return _WORD.findall(text.lower())


def buckets(text: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the distinct buckets of a text's words (1, 2) and bytes (3 to 5), two sorted arrays.

    Word buckets lie in [0, BLOCK), byte buckets in [BLOCK, 2 * BLOCK).
    """
    hashed = np.fromiter((zlib.crc32(w.encode()) for w in words(text)), dtype=np.uint32)
    pairs = hashed[:-1] * _MIX + hashed[1:]
    word = np.unique(_fold(np.concatenate([hashed, pairs])))
    return word, np.unique(_fold(_byte_grams(f" {text.lower()} "))) + BLOCK


def _byte_grams(text: str) -> NDArray[np.uint32]:
    raw = np.frombuffer(text.encode(), dtype=np.uint8).astype(np.uint32)
    grams, rolling = [], raw
    for n in range(2, 6):
        rolling = rolling[: len(raw) - n + 1] * np.uint32(257) + raw[n - 1 :]
        if n > 2 and len(rolling):
            grams.append(rolling * np.uint32(2 * n + 1))
    return np.concatenate(grams) if grams else np.zeros(0, np.uint32)


def _fold(hashed: NDArray[np.uint32]) -> NDArray[np.int64]:
    return ((hashed * _MIX) >> _SHIFT).astype(np.int64)
