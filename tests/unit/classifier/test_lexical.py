"""The lexical rung's features, and that training and serving compute the same."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier import lexical
from classifier.judging.metrics import auroc
from classifier.lexical import Lexical
from classifier.ngrams import BLOCK, BUCKETS, buckets
from classifier.surface import NAMES, surface
from classifier.text import clean
from classifier.training.fit_lexical import fit_lexical
from tests.unit.classifier.made import learnable


@given(st.text(max_size=200).map(clean))
def test_buckets_are_distinct_and_each_block_keeps_its_range(text: str) -> None:
    words, grams = buckets(text)
    assert len(np.unique(words)) == len(words)
    assert np.all((words >= 0) & (words < BLOCK))
    assert np.all((grams >= BLOCK) & (grams < BUCKETS))


def test_word_order_and_spelling_are_seen() -> None:
    same, other = buckets("dog bites man")[0], buckets("man bites dog")[0]
    assert set(same) != set(other)
    assert len(np.intersect1d(buckets("integral")[1], buckets("integrals")[1])) > 10


@pytest.mark.parametrize("text", ["", "x", "?", "A. one\nB. two", "∑ x² ≤ 4", "a" * 2_500])
def test_surface_features_are_finite_and_as_many_as_their_names(text: str) -> None:
    found = surface(text)
    assert found.shape == (len(NAMES),)
    assert np.isfinite(found).all()


def test_surface_words_and_options_are_counted() -> None:
    found = dict(zip(NAMES, surface("Prove it.\nA. yes\nB. no"), strict=True))
    assert found["reasoning_words"] == pytest.approx(np.log1p(1))
    assert found["options"] == pytest.approx(np.log1p(2))


def _rows(count: int) -> tuple[list[str], np.ndarray, np.ndarray, np.ndarray]:
    texts = [f"{'prove' if i % 2 else 'greet'} item {i}" for i in range(count)]
    small = np.array([float(i % 2 == 0) for i in range(count)])
    labels = np.stack([small, np.ones(count)], axis=1)
    return texts, np.zeros((count, 4), np.float32), labels, np.ones(count)


def test_the_heads_learn_their_own_column_and_a_constant_column_stays_constant() -> None:
    arrays = fit_lexical(*_rows(80))
    unseen = ["prove item 900", "greet item 901"]
    logits = Lexical(arrays).logits(unseen, np.zeros((2, 4), np.float32))
    assert logits[0, 0] < 0 < logits[1, 0]
    assert logits[:, 1].tolist() == pytest.approx([4.0, 4.0])


def test_a_missing_column_is_left_at_even_odds() -> None:
    texts, vectors, labels, weights = _rows(40)
    labels[:, 1] = np.nan
    logits = Lexical(fit_lexical(texts, vectors, labels, weights)).logits(texts, vectors)
    assert np.all(logits[:, 1] == 0.0)


def test_weight_zero_rows_teach_nothing() -> None:
    texts, vectors, labels, weights = _rows(40)
    doubled = fit_lexical(
        texts * 2, np.tile(vectors, (2, 1)), np.r_[labels, 1 - labels], np.r_[weights, 0 * weights]
    )
    alone = fit_lexical(texts, vectors, labels, weights)
    assert np.allclose(
        doubled[lexical.HASHED].astype(float), alone[lexical.HASHED].astype(float), atol=0.02
    )


def test_shuffled_labels_teach_nothing() -> None:
    rows, fresh = learnable(400), learnable(500, seed=1)
    small = np.array([row.small for row in rows])
    texts = [str(row.conversation) for row in rows]
    right = np.array([row.small for row in fresh]) > 0.5
    found = []
    for seed in range(6):
        shuffled = np.random.default_rng(seed).permutation(small)
        labels = np.stack([shuffled, np.ones(len(rows))], axis=1)
        arrays = fit_lexical(
            texts, np.zeros((len(rows), 4), np.float32), labels, np.ones(len(rows))
        )
        logits = Lexical(arrays).logits(
            [str(row.conversation) for row in fresh], np.zeros((len(fresh), 4), np.float32)
        )
        found.append(auroc(logits[:, 0].astype(np.float64), right))
    assert np.mean(found) == pytest.approx(0.5, abs=0.06)
