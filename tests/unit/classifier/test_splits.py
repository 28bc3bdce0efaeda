"""No prompt, however retyped, lies on both sides of a split."""

import numpy as np
import pytest

from classifier.data.splits import duplicate_clusters, split_by_cluster

BASE = (
    "A shop sells pens at three for two euros and notebooks at four euros each; how much do "
    "nine pens and five notebooks cost together when a ten percent discount applies to all"
)


@pytest.mark.parametrize(
    "copy",
    [
        BASE,
        BASE.upper(),
        BASE.replace(" ", "   "),
        BASE + "?",
        BASE.replace("euros each", "dollars each"),
        "",
    ],
    ids=["exact", "case", "space", "punctuation", "one word", "empty"],
)
def test_a_copy_lands_in_the_same_cluster(copy: str) -> None:
    others = [f"question {i} about topic {i * 7} and {i * 13}" for i in range(200)]
    clusters = duplicate_clusters([BASE if copy else "", *others, copy])
    assert clusters[0] == clusters[-1]
    assert len(np.unique(clusters)) == 201


def test_different_questions_stay_apart() -> None:
    texts = ["How do I reset my pin?", "How do I block my card?", "Where is the nearest branch?"]
    assert len(np.unique(duplicate_clusters(texts))) == 3


def test_parts_share_no_cluster_and_lose_no_row() -> None:
    clusters = np.repeat(np.arange(100), 3)
    parts = split_by_cluster(clusters, (0.7, 0.15, 0.15), seed=1)
    assert sorted(np.concatenate(parts).tolist()) == list(range(300))
    owners = [set(clusters[p]) for p in parts]
    assert not (owners[0] & owners[1] | owners[0] & owners[2] | owners[1] & owners[2])
    assert len(owners[0]) == 70


def test_the_seed_decides_the_split() -> None:
    clusters = np.arange(50)
    first, again = (split_by_cluster(clusters, (0.5, 0.5), seed=3)[0] for _ in range(2))
    other = split_by_cluster(clusters, (0.5, 0.5), seed=4)[0]
    assert first.tolist() == again.tolist() != other.tolist()


WORDS = [f"{a}{b}" for a in ("pa", "lo", "mi", "ter", "vu") for b in ("ra", "den", "sol", "ki")]
INSTRUCTIONS = [" ".join(np.random.default_rng(s).choice(WORDS, 250)) for s in range(50)]


def tickets(count: int, words: int) -> list[str]:
    """Short texts that differ in most words."""
    rng = np.random.default_rng(7)
    return [" ".join(f"w{n}" for n in rng.integers(0, 2_000, words)) for _ in range(count)]


@pytest.mark.parametrize(("instructions", "rows"), [(1, 500), (3, 500), (10, 500), (10, 100)])
@pytest.mark.parametrize("behind", [True, False])
@pytest.mark.parametrize("words", [2, 20])
def test_tickets_under_one_instruction_are_different_prompts(
    instructions: int, rows: int, behind: bool, words: int
) -> None:
    texts = [
        f"{t}\n{INSTRUCTIONS[i % instructions]}"
        if behind
        else f"{INSTRUCTIONS[i % instructions]}\n{t}"
        for i, t in enumerate(tickets(rows, words))
    ]
    copies = [text.upper() + "!" for text in texts[:30]]
    clusters = duplicate_clusters(texts + copies)
    assert len(np.unique(clusters)) == rows
    assert clusters[rows:].tolist() == clusters[:30].tolist()


def test_near_copies_under_one_instruction_still_fall_together() -> None:
    long = tickets(300, 40)
    texts = [f"{INSTRUCTIONS[0]}\n{text}" for text in long]
    changed = [text.rsplit(" ", 1)[0] + " thanks" for text in texts]
    clusters = duplicate_clusters(texts + changed)
    assert clusters[300:].tolist() == clusters[:300].tolist()
    assert len(np.unique(clusters)) == 300
