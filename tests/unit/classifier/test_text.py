"""What of a conversation is read, and what is left out."""

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from classifier.text import (
    CONTEXT_CHARS,
    HEAD_CHARS,
    RAW_HEAD_CHARS,
    RAW_TAIL_CHARS,
    TAIL_CHARS,
    clean,
    flatten,
)


def test_the_last_user_turn_leads_and_earlier_turns_follow_with_their_role() -> None:
    text = flatten(
        [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Prove it for n = 5."},
            {"role": "assistant", "content": "Done."},
            {"role": "user", "content": "And for n = 7?"},
        ]
    )
    assert text.splitlines() == [
        "And for n = 7?",
        "[system] Be brief.",
        "[user] Prove it for n = 5.",
        "[assistant] Done.",
    ]


@pytest.mark.parametrize(
    "around",
    [
        "Please {} Thank you!",
        "I hope you are well. {}",
        "{} I hope this finds you well.",
        "Hello! Could you help me with this? {} Many thanks in advance.",
        "Hey there, quick one: {}\nThanks a lot.",
    ],
)
def test_courtesy_around_a_prompt_is_not_read(around: str) -> None:
    prompt = "What is the largest prime factor of 600851475143?"
    assert flatten(around.format(prompt)) == prompt
    assert flatten([{"role": "user", "content": around.format(prompt)}]) == prompt


@pytest.mark.parametrize(
    "prompt",
    [
        "Thanks, that solved it. Have a good weekend.",
        "Translate to French: many thanks",
        "Write a reply that ends with thank you",
        "Please help",
        "please please please",
    ],
)
def test_courtesy_that_is_the_prompt_is_kept(prompt: str) -> None:
    assert flatten(prompt) == prompt.strip()


@pytest.mark.parametrize(
    "turn",
    ["Which of these two functions is faster, and why?", "a" * 60],
    ids=["eight words", "sixty characters"],
)
def test_a_turn_that_stands_alone_is_read_alone(turn: str) -> None:
    earlier = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi!"}]
    assert flatten([*earlier, {"role": "user", "content": turn}]) == turn


def test_a_long_system_prompt_cannot_swamp_the_turn() -> None:
    text = flatten(
        [
            {"role": "system", "content": "policy " * 4_000},
            {"role": "user", "content": "hi"},
        ]
    )
    assert text.startswith("hi\n")
    assert len(text) < CONTEXT_CHARS


def test_the_newest_earlier_turns_win_the_context() -> None:
    turns = [{"role": "user", "content": f"question number {i} " * 5} for i in range(30)]
    text = flatten([*turns, {"role": "user", "content": "go on"}])
    assert "number 29" in text
    assert "number 3 " not in text


def test_parts_are_joined_and_images_left_out() -> None:
    parts = [
        {"type": "text", "text": "What is"},
        {"type": "image_url", "image_url": {"url": "data:secret"}},
        {"type": "text", "text": "this?"},
    ]
    assert flatten([{"role": "user", "content": parts}]) == "What is\nthis?"


@pytest.mark.parametrize(
    ("given_text", "kept"),
    [
        ("<system-reminder>be good</system-reminder>hello", "hello"),
        ("a<environment_context x='1'>cwd</environment_context>b", "ab"),
        ("<system-reminder>never closed", "<system-reminder>never closed"),
        ("<b>my own markup</b>", "<b>my own markup</b>"),
        ("x\u200by\ufeff", "xy"),
        ("one  \t two\n\n\nthree ", "one two\nthree"),
        ("ﬁne", "fine"),
    ],
)
def test_harness_and_invisible_text_are_stripped(given_text: str, kept: str) -> None:
    assert clean(given_text) == kept


def test_padding_costs_no_content() -> None:
    assert clean(" " * 300_000 + "the question" + " " * 300_000) == "the question"


def test_a_long_prompt_keeps_its_head_and_its_tail() -> None:
    text = clean("START " + "x" * 100_000 + " END")
    assert text.startswith("START")
    assert text.endswith("END")
    assert len(text) <= HEAD_CHARS + TAIL_CHARS + 1


LONG = st.text("ab .\n\t\u0301\u200b\ufdfa\x0b\u2028\ud800é<", min_size=40, max_size=200)


@given(LONG, st.integers(4_900, 25_000), st.integers(1, 12))
@example("ab ", 25_000, 5)  # the first look at the head holds too few characters
def test_cleaning_only_the_ends_gives_what_cleaning_all_gives(
    part: str, length: int, spaces: int
) -> None:
    part = part.replace(" ", " " * spaces)
    text = (part * (length // len(part) + 1))[:length]
    raw = _ends(text.strip(), RAW_HEAD_CHARS, RAW_TAIL_CHARS)
    whole = unicodedata.normalize("NFKC", raw.encode("utf-8", "replace").decode())
    whole = _ends(whole, RAW_HEAD_CHARS, RAW_TAIL_CHARS)
    whole = "".join("" if c == "\u200b" else " " if c == "\x0b" else c for c in whole)
    whole = "\n".join(filter(None, (" ".join(line.split()) for line in whole.splitlines())))
    assert clean(text) == _ends(whole, HEAD_CHARS, TAIL_CHARS)


def _ends(text: str, head: int, tail: int) -> str:
    return text if len(text) <= head + tail else f"{text[:head]}\n{text[-tail:]}"


@given(st.text(max_size=400))
def test_cleaning_twice_is_cleaning_once(text: str) -> None:
    once = clean(text)
    assert clean(once) == once
    once.encode("utf-8")
