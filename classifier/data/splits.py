"""Splits rows so that nothing the model saw comes back in what judges it."""

import re
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]

_WORD = re.compile(r"\w+")
#: MinHash: 24 hashes in 12 bands of 2 find pairs of Jaccard .9 surely (1 - (1 - .81)**12 is
#: 1 - 2e-9) and of .5 in 97%, and verification keeps those above ``NEAR``.
_HASHES, _BANDS = 24, 12
NEAR = 0.8
_PRIME = np.uint64((1 << 31) - 1)
#: Fewer distinct prompts than this cannot be split three ways and judged.
LEAST_PROMPTS = 40
#: Word pairs in more distinct texts than this belong to a form, an instruction or the language:
#: copies are told by the others. Fewer where there are few texts, or the forms alone could leave
#: less than ``LEAST_PROMPTS`` clusters of them.
_FORM_TEXTS_LEAST, _FORM_TEXTS_MOST = 4, 12
#: A text with fewer pairs of its own is told by this many of its rarest. One pair of eight is 7 of
#: 9, less than ``NEAR``: "printer jammed" and "printer broken" under one instruction differ.
_RAREST = 8


def duplicate_clusters(texts: Sequence[str]) -> NDArray[np.int64]:
    """Return a cluster number per text: equal in words, or nearly equal in those of its own."""
    first: dict[bytes, int] = {}
    whole = [_shingles(text) for text in texts]
    same = [first.setdefault(shingles.tobytes(), i) for i, shingles in enumerate(whole)]
    telling = _telling([whole[i] for i in first.values()])
    parent = list(range(len(texts)))
    seen: dict[tuple[int, bytes], int] = {}
    own: dict[int, Hashes] = {}
    for i, mine in zip(first.values(), telling, strict=True):
        own[i] = mine
        for key in _band_keys(mine):
            other = seen.setdefault(key, i)
            if other != i and _jaccard(mine, own[other]) >= NEAR:
                parent[_root(parent, i)] = _root(parent, other)
    roots = np.array([_root(parent, i) for i in same])
    return np.unique(roots, return_inverse=True)[1].astype(np.int64)


def split_by_cluster(
    clusters: NDArray[np.int64], shares: Sequence[float], seed: int
) -> list[NDArray[np.int64]]:
    """Return row indices of each part; a cluster never lies in two parts."""
    order = np.random.default_rng(seed).permutation(int(clusters.max()) + 1)
    cuts = np.round(np.cumsum(shares)[:-1] * len(order)).astype(int)
    parts = np.split(order, cuts)
    return [np.flatnonzero(np.isin(clusters, part)) for part in parts]


def _shingles(text: str) -> Hashes:
    words = [zlib.crc32(w.encode()) for w in _WORD.findall(text.lower())]
    hashed = np.array(words or [zlib.crc32(text.strip().encode())], dtype=np.uint64)
    pairs = hashed[:-1] * np.uint64(31) + hashed[1:] if len(hashed) > 1 else hashed
    return np.unique(pairs % _PRIME)


def _telling(distinct: Sequence[Hashes]) -> list[Hashes]:
    """Return of each text the word pairs that few others have, or else its rarest ones."""
    most = min(max(len(distinct) // LEAST_PROMPTS, _FORM_TEXTS_LEAST), _FORM_TEXTS_MOST)
    pairs, texts = np.unique(np.concatenate(distinct), return_counts=True)
    return [_rare(mine, texts[np.searchsorted(pairs, mine)], most) for mine in distinct]


def _rare(shingles: Hashes, texts: NDArray[np.int64], most: int) -> Hashes:
    rare = shingles[texts <= most]
    if len(rare) >= _RAREST:
        return rare
    return shingles[np.sort(np.argsort(texts, kind="stable")[:_RAREST])]


def _band_keys(shingles: Hashes) -> list[tuple[int, bytes]]:
    rng = np.random.default_rng(0)
    a = rng.integers(1, 1 << 31, _HASHES, dtype=np.uint64)[:, None]
    b = rng.integers(0, 1 << 31, _HASHES, dtype=np.uint64)[:, None]
    lowest = ((a * shingles[None, :] + b) % _PRIME).min(1)
    bands = lowest.reshape(_BANDS, -1)
    return [(i, band.tobytes()) for i, band in enumerate(bands)]


def _jaccard(a: Hashes, b: Hashes) -> float:
    shared = len(np.intersect1d(a, b, assume_unique=True))
    return shared / (len(a) + len(b) - shared)


def _root(parent: list[int], i: int) -> int:
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i
