"""A few examples name a domain; what is none of them stays unnamed."""

import pytest

import classifier
from classifier.errors import DataError

EXAMPLES = {
    "cards": [
        "My card was declined",
        "I lost my debit card",
        "Order a new credit card",
        "The card machine swallowed my card",
        "Activate my card",
        "What is the limit on my card?",
    ],
    "travel": [
        "Book a flight to Rome",
        "I need a hotel near the airport",
        "Change my train ticket",
        "Do I need a visa for Japan?",
        "Rent a car in Lisbon",
        "What is the luggage allowance?",
    ],
}


@pytest.fixture(scope="module")
def model() -> classifier.Classifier:
    return classifier.load(domains=EXAMPLES)


@pytest.mark.parametrize(
    ("prompt", "domain"),
    [
        ("please block my credit card", "cards"),
        ("which hotel is closest to the train station and airport", "travel"),
        ("Prove that the harmonic series diverges.", None),
        ("Write a function that merges two sorted lists.", None),
        ("I lost my umbrella", None),  # nearer to "I lost my debit card" than to anything else
        ("Renew my library loan", None),
    ],
)
def test_a_prompt_gets_its_domain_or_none(
    model: classifier.Classifier, prompt: str, domain: str | None
) -> None:
    assert model.score(prompt).domain == domain


def test_domains_do_not_change_the_score(model: classifier.Classifier) -> None:
    prompt = "Book a flight to Rome"
    assert model.score(prompt).complexity == classifier.load().score(prompt).complexity


def test_too_few_examples_are_refused() -> None:
    with pytest.raises(DataError, match="at least 4 different examples"):
        classifier.load(domains={"cards": ["one", "one", "one", "one"]})
