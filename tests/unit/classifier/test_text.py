"""What of a conversation is read, and what is left out."""

import time
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bench.classifier import authored, conversations
from classifier.asking import question_out_of_sight
from classifier.pasted import MARK, without_data
from classifier.text import (
    CONTEXT_CHARS,
    HEAD_CHARS,
    RAW_HEAD_CHARS,
    RAW_TAIL_CHARS,
    TAIL_CHARS,
    clean,
    flatten,
)

TASK = "Prove that every finite integral domain is a field."
ANSWER = "I went through it step by step and wrote down what is needed. " * 40


def user(*turns: str) -> list[dict[str, object]]:
    """A conversation of user turns with long answers between."""
    messages: list[dict[str, object]] = [{"role": "system", "content": "Be brief."}]
    for turn in turns:
        messages += [{"role": "user", "content": turn}, {"role": "assistant", "content": ANSWER}]
    return messages[:-1]


def test_a_follow_up_is_read_behind_its_task_without_the_answer() -> None:
    assert flatten(user(TASK, "looks good, commit it")) == f"{TASK}\nlooks good, commit it"


def test_what_may_be_new_is_read_before_what_it_may_continue() -> None:
    assert flatten(user(TASK, "stop the timer")) == f"stop the timer\n[user] {TASK}"


def test_a_turn_of_its_own_is_read_alone() -> None:
    assert flatten(user(TASK, "What is the capital of France?")) == "What is the capital of France?"
    assert flatten(user(TASK, "thanks!")) == "thanks!"


def test_follow_ups_in_a_row_reach_their_task() -> None:
    turns = ["yes", "add tests", "ok thanks", "weiter", *["go on"] * 20, "and now in Rust"]
    assert flatten(user("Hello!", "Who wrote Hamlet?", TASK, *turns)) == "\n".join(
        [TASK, "add tests", "and now in Rust"]
    )


def test_a_conversation_that_turned_easy_stays_easy() -> None:
    text = flatten(user(TASK, "go on", "Who wrote Hamlet?", "and when?"))
    assert text == "Who wrote Hamlet?\nand when?"


def test_a_long_task_leaves_room_for_its_follow_up() -> None:
    text = flatten(user("word " * 2_000 + "Why?", *["add tests"] * 30, "go on"))
    assert text.endswith("Why?\nadd tests\nadd tests\nadd tests\nadd tests\ngo on")
    assert len(text) <= 3_000


def test_where_no_turn_says_the_task_the_newest_context_is_read() -> None:
    messages = [
        {"role": "assistant", "content": "Here is the plan for the migration."},
        {"role": "user", "content": "go on"},
    ]
    assert flatten(messages) == "go on\n[assistant] Here is the plan for the migration."


@pytest.mark.parametrize("steps", [1, 200])
def test_tool_results_after_the_turn_do_not_push_it_out(steps: int) -> None:
    call: dict[str, object] = {"role": "assistant", "content": "Look.", "tool_calls": [{}]}
    result: dict[str, object] = {
        "role": "tool",
        "tool_call_id": "1",
        "content": "Prove Fermat's last theorem.",
    }
    assert flatten([*user(TASK, "fix it"), *[call, result] * steps]) == f"{TASK}\nfix it"


@pytest.mark.parametrize(
    "content",
    [None, "", " ", [], [{"type": "image_url", "image_url": {"url": "data:x"}}], [{"text": 7}]],
)
def test_a_last_turn_without_text_is_not_scored_by_an_older_one(content: object) -> None:
    assert flatten([*user(TASK), {"role": "user", "content": content}]) == ""


def test_a_turn_that_a_harness_wrote_is_passed_over() -> None:
    reminder = {"role": "user", "content": "<system-reminder>Prove it.</system-reminder>"}
    assert flatten([*user("Who wrote Hamlet?"), reminder]) == "Who wrote Hamlet?"


NARRATION = "The meeting was opened by Ilse. The budget was approved. Lunch was served at noon. "


@pytest.mark.parametrize("times", [6, 60, 300], ids=["1 kB", "10 kB", "50 kB"])
@pytest.mark.parametrize(
    "asked",
    [
        TASK,
        "Can you work out which of the two budgets is consistent with the minutes?",
        "Why was the budget approved before lunch and not after it?",
        "\u6cd5\u56fd\u7684\u9996\u90fd\u662f\u54ea\u91cc\uff1f",
        "I would like to understand how the two votes depend on each other.",
    ],
)
@pytest.mark.parametrize("around", ["\n\n{}\n\n", "{} "], ids=["own line", "in the line"])
def test_a_question_between_the_ends_is_put_first(times: int, asked: str, around: str) -> None:
    half = NARRATION * times
    text = flatten(half + around.format(asked) + half)
    assert text.startswith(f"{clean(asked)}\nThe meeting")
    assert len(text) <= 3_000


HARD_ASK = "Find the root cause, explain how the services interact, and design a fix."
DATA = {
    "log": [
        f"2024-05-01 12:{i:02d}:07 ERROR worker-{i % 4} timeout after {i} ms" for i in range(60)
    ],
    "syslog": [f"May {i + 1} 09:12:{i:02d} app svc[{i}]: queue above limit" for i in range(20)],
    "levels": [f"[WARN] retrying request {i} of session a" for i in range(9)],
    "CSV": ["id,price,day", *(f"{i},{i * 3.7:.2f},2024-01-{i + 1:02d}" for i in range(28))],
    "table": ["| id | item |", "|---|---|", *(f"| {i} | lamp |" for i in range(9))],
    "JSON": [f'{{"id": {i}, "status": "failed", "ms": {i}}}' for i in range(9)],
    "Python": [
        "Traceback (most recent call last):",
        *['  File "/app/a.py", line 3, in run', "    return step(x)"] * 5,
        "RuntimeError: lost after 64 retries",
    ],
    "Java": ["java.lang.IllegalStateException: closed", *["    at a.b.Pool.run(Pool.java:7)"] * 9],
    "hex": [f"{i * 16:08x}  de ad be ef 00 1{i % 9}" for i in range(9)],
    "one shape": [f"Row {i}: item {i * 7} sold at store {i % 5}." for i in range(60)],
}


@pytest.mark.parametrize("rows", DATA.values(), ids=DATA)
@pytest.mark.parametrize("form", ["{ask}\n\n{data}", "{data}\n\n{ask}"], ids=["above", "below"])
@pytest.mark.parametrize(
    "ask", [HARD_ASK, "Finde die Ursache und entwirf eine L\u00f6sung f\u00fcr uns."]
)
def test_data_beside_a_question_is_read_as_a_mark(rows: list[str], form: str, ask: str) -> None:
    text = flatten(form.format(ask=ask, data="\n".join(rows)))
    assert text == form.format(ask=ask, data=MARK).replace("\n\n", "\n")


@pytest.mark.parametrize("kind", ["log", "CSV", "one shape"])
def test_a_question_between_data_is_read_once_and_first(kind: str) -> None:
    half = "\n".join(DATA[kind] * 3)
    assert flatten(f"{half}\n{HARD_ASK}\n{half}").split("\n")[0] == HARD_ASK


@pytest.mark.parametrize(
    "text",
    [
        *("\n".join(rows[:20]) for rows in DATA.values()),
        "Log of the third of May\n" + "\n".join(DATA["log"][:5]),
        "Which of these is prime?\nA. 91, 92, 93\nB. 94, 95, 96\nC. 97, 98, 99",
        "Solve the system.\nx + 2y = 3\n4x + 5y = 6",
        "Rank these.\n1. Bergen, 3 days, by train\n2. Lyon, 4 days, by bus",
        "First, we bound the sum, then, with 3 terms, we are done.\nProve it, please, in full.",
        "What does it print?\nfor i in range(3):\nprint(i, 2, 3)\nprint(i, 4, 5)",
    ],
)
def test_language_and_data_without_a_question_are_read_as_they_are(text: str) -> None:
    assert flatten(text) == clean(text)


@pytest.mark.parametrize(
    "prompts",
    [*authored.EVERYDAY.values(), *authored.HARD.values(), *conversations.TURNS.values()],
)
def test_prompts_without_data_are_read_as_before(prompts: list[str]) -> None:
    assert all(without_data(clean(prompt)) == clean(prompt) for prompt in prompts)


@pytest.mark.parametrize("form", ["{ask}\n\n{text}", "{text}\n\n{ask}"], ids=["head", "tail"])
def test_an_instruction_at_an_end_outranks_questions_in_the_text(form: str) -> None:
    pasted = NARRATION * 6 + "\n\nCan you prove Fermat's last theorem?\n\n" + NARRATION * 6
    text = form.format(ask="Summarize the text.", text=pasted)
    assert flatten(text) == clean(text)


def test_a_text_that_asks_nothing_is_read_as_it_is() -> None:
    assert flatten(NARRATION * 30) == clean(NARRATION * 30)


def test_the_last_of_many_parts_is_read() -> None:
    parts = [{"type": "text", "text": f"Note {i}: signed for."} for i in range(200)]
    text = flatten([{"role": "user", "content": [*parts, {"type": "text", "text": TASK}]}])
    assert text.endswith(TASK)
    middle = [*parts, {"type": "text", "text": TASK}, *parts]
    assert flatten([{"role": "user", "content": middle}]).startswith(TASK)


def test_many_sentences_are_looked_through_in_linear_time() -> None:
    def cpu_s(text: str) -> float:
        started = time.thread_time()
        question_out_of_sight(text)
        return time.thread_time() - started

    for text in ("why? " * 3_000, "? . ! " * 2_500, "a" * 15_000, "Prove x.\n" * 1_650):
        once = min(cpu_s(text) for _ in range(3))
        # Four times the text: 4 where the time is linear, 16 where it is the square.
        assert min(cpu_s(text * 4) for _ in range(3)) < 12 * once + 0.01


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
            {"role": "user", "content": "go on"},
        ]
    )
    assert text.startswith("go on\n")
    assert len(text) < CONTEXT_CHARS


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
        ("fix it\n<file_content path='a.py'>prove()\n</file_content>", "fix it"),
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
