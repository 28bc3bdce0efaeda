"""Static sentence vectors: the mean of a table of word-piece vectors, in numpy alone.

One embedding serves the lexical model, familiarity, domains and drift, so those work on every
rung and without onnxruntime. The table is distilled from all-MiniLM-L6-v2 (``training.distil``).
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from classifier.ngrams import words

#: Longest piece of the WordPiece vocabulary that is worth a try, in characters.
_PIECE_CHARS = 18


class StaticEmbedding:
    """Vectors of word pieces, ``int8`` with one scale a row; weighted by rarity when distilled."""

    def __init__(
        self, vocabulary: Mapping[str, int], table: NDArray[np.int8], scale: NDArray[np.float32]
    ) -> None:
        self._vocabulary = vocabulary
        self._table = table
        self._scale = scale.astype(np.float32)
        self.dimensions = int(table.shape[1])

    def embed(self, text: str) -> NDArray[np.float32]:
        """Return the unit vector of a cleaned text, zeros where no word is known."""
        pieces = self.pieces(text)
        if not pieces:
            return np.zeros(self.dimensions, np.float32)
        vector = self._scale[pieces] @ self._table[pieces].astype(np.float32)
        norm = float(np.linalg.norm(vector))
        return vector / norm if norm > 0 else vector

    def pieces(self, text: str) -> list[int]:
        """Return the rows of a cleaned text's word pieces, in order."""
        found = words(text)
        # Most words are whole entries: looked up in one go, they cost no call each.
        whole = map(self._vocabulary.get, found)
        return [
            piece
            for word, known in zip(found, whole, strict=True)
            for piece in ((known,) if known is not None else self._split(word))
        ]

    def _split(self, word: str) -> list[int]:
        """Greedy longest match, as WordPiece does; an unmatched rest is left out."""
        found, start = [], 0
        word = word[:64]
        while start < len(word):
            prefix = "##" if start else ""
            for end in range(min(len(word), start + _PIECE_CHARS), start, -1):
                piece = self._vocabulary.get(prefix + word[start:end])
                if piece is not None:
                    found.append(piece)
                    start = end
                    break
            else:
                return found
        return found
