"""Rows that can be learned, for the tests of everything that learns."""

from collections.abc import Sequence

import numpy as np

from classifier.data.rows import Row

_EASY = ("status", "address", "invoice", "opening", "refund", "delivery", "password", "booking")
_HARD = ("prove", "derive", "reconcile", "optimise", "diagnose", "formalise", "simulate", "deduce")
_REST = ("order", "client", "north", "winter", "copper", "signal", "garden", "ledger", "orbit")
#: Words that say nothing of difficulty: what only the user's own labels can teach.
NEUTRAL = (
    ("granite", "basalt", "marble", "slate", "quartz", "flint", "chalk", "agate"),
    ("birch", "cedar", "maple", "willow", "alder", "hazel", "linden", "rowan"),
)


def learnable(
    count: int,
    seed: int = 0,
    flip: float = 0.1,
    kinds: tuple[Sequence[str], Sequence[str]] = (_EASY, _HARD),
) -> list[Row]:
    """Return rows whose words decide the outcome and whose lengths do not."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        is_hard = rng.random() < 0.4
        verbs = kinds[is_hard]
        words = [*rng.choice(verbs, 2), *rng.choice(_REST, int(rng.integers(6, 14)))]
        words += [str(n) for n in rng.integers(0, 10_000, 3)]
        noisy = rng.random() < flip
        rows.append(Row(" ".join(words), float(is_hard == noisy), 1.0))
    return rows
