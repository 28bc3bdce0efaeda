"""The shipped default scores anything, fast enough, the right way round."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

import classifier
from bench.classifier import authored, beside_data, conversations
from classifier import THRESHOLD, Classifier, Score, flatten


@pytest.fixture(scope="module")
def shipped() -> Iterator[Classifier]:
    yield classifier.load()


ODD = {
    "nul": "\0\0 what \0",
    "lone surrogate": "\ud800 hello \udfff",
    "right to left": "ما هي عاصمة فرنسا؟ \u202e abc",
    "binary": bytes(range(256)).decode("latin-1") * 20,
    "emoji": "🦊" * 300,
    "parentheses": "(" * 1_000_000,
    "one long word": "a" * 1_000_000,
    "five megabytes": "word " * 1_000_000,
    "unclosed tags": "<system-reminder>" * 50_000,
    "closed tags": "<system-reminder>x</system-reminder>y" * 30_000,
    "newlines": "x\n" * 500_000,
    "ligatures that expand": "\ufdfa" * 30_000,
    "combining marks": "e" + "\u0301" * 100_000,
}


@pytest.mark.parametrize("text", ODD.values(), ids=ODD.keys())
def test_an_odd_prompt_gets_a_score_in_bounded_work(shipped: Classifier, text: str) -> None:
    started = time.thread_time()
    score = shipped.score(text)
    assert 0.0 <= score.complexity <= 1.0
    # CPU time of this thread, ten times the bar: catches a quadratic step, not a busy machine.
    assert time.thread_time() - started < 0.2


@pytest.mark.parametrize("text", ["", "   ", "\n\t", "\u200b"])
def test_nothing_asked_is_nothing_to_gain(shipped: Classifier, text: str) -> None:
    assert shipped.score(text).complexity == 0.0


@pytest.mark.parametrize(
    "messages",
    [
        [],
        [{"role": "user"}],
        [{"role": "user", "content": None}],
        [{"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}],
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}],
        [{"role": 3, "content": 7, "unknown": object()}],
        ["not a mapping"],
    ],
)
def test_malformed_messages_never_raise(shipped: Classifier, messages: list[object]) -> None:
    assert isinstance(shipped.score(messages), Score)  # type: ignore[arg-type]  # on purpose


def test_a_single_user_message_scores_as_its_raw_prompt(shipped: Classifier) -> None:
    prompt = "How do I reset my password?"
    assert shipped.score([{"role": "user", "content": prompt}]) == shipped.score(prompt)


HARD_TURN = "Prove that every finite integral domain is a field, and say where it fails."


@pytest.mark.parametrize(
    "earlier",
    [
        [{"role": "system", "content": "You are the assistant of a hardware shop. " * 400}],
        [
            {"role": "user", "content": "Hi, I have a question about my homework."},
            {"role": "assistant", "content": "Sure, go ahead. I am happy to help you."},
        ],
    ],
    ids=["a system prompt of 4,000 tokens", "small talk"],
)
def test_what_came_before_does_not_swamp_a_hard_turn(
    shipped: Classifier, earlier: list[dict[str, str]]
) -> None:
    score = shipped.score([*earlier, {"role": "user", "content": HARD_TURN}])
    assert score == shipped.score(HARD_TURN)
    assert score.complexity >= THRESHOLD


ANSWER = "I went through the files, changed what was needed and kept the rest as it was. " * 16
EASY_TURN = "What are your opening hours?"


def after(task: str, *turns: str) -> list[dict[str, str]]:
    messages = [{"role": "user", "content": task}]
    for turn in turns:
        messages += [{"role": "assistant", "content": ANSWER}, {"role": "user", "content": turn}]
    return messages


@pytest.mark.parametrize(
    "turns",
    [
        ["looks good, commit it"],
        ["yes"],
        ["go on", "continue", "and now in Rust"],
        ["weiter"],
        ["Looks good to me, please merge it and then tag a release."],
    ],
)
def test_a_follow_up_keeps_the_complexity_of_its_task(
    shipped: Classifier, turns: list[str]
) -> None:
    hard = shipped.score(HARD_TURN).complexity
    assert shipped.score(after(HARD_TURN, *turns)).complexity == pytest.approx(hard, abs=0.1)
    assert shipped.score(after(EASY_TURN, *turns)).complexity < THRESHOLD


@pytest.mark.parametrize("turn", ["What is the capital of France?", "thanks!", "2+2?"])
def test_a_conversation_can_turn_easy(shipped: Classifier, turn: str) -> None:
    assert shipped.score(after(HARD_TURN, "go on", turn)) == shipped.score(turn)
    assert shipped.score(turn).complexity < THRESHOLD


@pytest.mark.parametrize(
    ("kind", "after_hard", "after_easy"),
    [
        ("follow-ups", (0.95, 1.0), (0.0, 0.05)),
        ("asking back", (0.95, 1.0), (0.0, 0.05)),
        ("topic changes, asked of you", (0.0, 0.15), (0.0, 0.1)),
        ("corrections", (0.9, 1.0), (0.0, 0.1)),
        ("topic changes", (0.0, 0.1), (0.0, 0.05)),
        ("thanks", (0.0, 0.25), (0.0, 0.0)),
    ],
)
def test_nearly_all_later_turns_go_where_a_person_would_send_them(
    shipped: Classifier,
    kind: str,
    after_hard: tuple[float, float],
    after_easy: tuple[float, float],
) -> None:
    for tasks, (least, most) in (("hard", after_hard), ("easy", after_easy)):
        asked = [
            conversations.chat(task, [turn], conversations.ANSWERS[0] * 7)
            for task in conversations.TASKS[tasks]
            for turn in conversations.TURNS[kind]
        ]
        large = [score.complexity >= THRESHOLD for score in shipped.score_batch(asked)]
        assert least <= sum(large) / len(large) <= most


@pytest.mark.parametrize("lines", [2, 5, 20])
def test_data_beside_a_question_does_not_decide_its_route(shipped: Classifier, lines: int) -> None:
    assert beside_data.sent_large(shipped, list(beside_data.prompts("hard", lines))) >= 0.9
    assert beside_data.sent_large(shipped, list(beside_data.prompts("bounded", lines))) <= 0.15


#: Short questions that no bench and no training holds: across domains, and bounded in their words.
ACROSS_DOMAINS = [
    "How does this regulatory change affect our supply chain pricing in Southeast Asian markets?",
    "How will the new fishing quotas affect our margins and our supplier contracts in Iceland?",
    "What would a weaker yen mean for our component costs and our pricing in Osaka?",
    "How does the sugar tax influence our beverage recipes and our retail strategy in Poland?",
    "What do the new drone rules imply for our delivery costs and our insurance in Texas?",
    "How might a rail strike in France affect our wine exports and our cash flow?",
    "How should we adapt our hiring and our offices to the new immigration law in Canada?",
    "What effect would higher lithium prices have on our scooter margins and our leasing offer?",
    "How does the ageing of our customers change our branch network and our deposit costs?",
]
BOUNDED_IN_THEIR_WORDS = [
    "What is the tax rate on sugar in Poland?",
    "When do the new fishing quotas start?",
    "How many branches do we have in Canada?",
    "Which rules apply to drones in Texas?",
    "Who handles insurance claims in Osaka?",
    "What is the price of lithium per kilogram?",
    "Where can I find the supplier contract for Iceland?",
    "Does the rail strike affect my train on Friday?",
    "How long does delivery to France take?",
    "What does our leasing offer cost per month?",
]


@pytest.mark.parametrize("result", conversations.TOOL_RESULTS)
def test_a_tool_result_does_not_move_the_score_of_its_task(
    shipped: Classifier, result: str
) -> None:
    for task in ("What are your opening hours?", "Prove that every finite domain is a field."):
        assert shipped.score(conversations.with_tool(task, result)) == shipped.score(task)


def test_short_questions_across_domains_go_large_and_bounded_ones_do_not(
    shipped: Classifier,
) -> None:
    def sent(prompts: list[str]) -> float:
        return sum(s.complexity >= THRESHOLD for s in shipped.score_batch(prompts)) / len(prompts)

    assert sent(ACROSS_DOMAINS[:1]) == 1.0
    assert sent(ACROSS_DOMAINS) >= 0.85
    assert sent(authored.HARD["ripple"] + authored.HARD["market"]) >= 0.85  # trained on by nothing
    assert sent(BOUNDED_IN_THEIR_WORDS + authored.EVERYDAY["business"]) <= 0.1


def test_an_image_after_a_hard_turn_is_nothing_asked(shipped: Classifier) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:x"}}
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": HARD_TURN},
        {"role": "user", "content": [image]},
    ]
    assert shipped.score(messages) == shipped.score("")


@pytest.mark.parametrize("at", [0, 30, 59], ids=["first", "middle", "last"])
def test_the_question_of_sixty_parts_is_read_wherever_it_stands(
    shipped: Classifier, at: int
) -> None:
    parts = [f"Note {i}: the shipment arrived on Tuesday and was signed for." for i in range(59)]
    parts.insert(at, HARD_TURN)
    content = [{"type": "text", "text": part} for part in parts]
    assert shipped.score([{"role": "user", "content": content}]).complexity >= THRESHOLD


def test_a_batch_gives_what_single_calls_give(shipped: Classifier) -> None:
    prompts = ["hi", "Prove that the square root of 2 is irrational.", "", "Translate: dog"]
    for alone, batched in zip(
        map(shipped.score, prompts), shipped.score_batch(prompts), strict=True
    ):
        assert batched.complexity == pytest.approx(alone.complexity, abs=1e-6)


def test_500_spaces_do_not_change_a_score(shipped: Classifier) -> None:
    prompt = "Derive the renormalisation flow and justify each step."
    padded = prompt.replace(" ", " " * 500, 1) + " " * 500
    assert shipped.score(padded) == shipped.score(prompt)
    assert flatten(padded) == flatten(prompt)  # so on every rung


@pytest.mark.parametrize(
    "prompt",
    [
        "hello!",
        "Summarize in one sentence: The meeting moved to Monday because of the holiday.",
        "Extract the invoice number from: Invoice 8812, total 40 EUR",
        "What are your opening hours?",
    ],
)
def test_everyday_work_stays_small(shipped: Classifier, prompt: str) -> None:
    assert shipped.score(prompt).complexity < THRESHOLD


@pytest.mark.parametrize(
    "prompt",
    [
        "Prove that every finite integral domain is a field, then find where finiteness is used.",
        "Design a consensus protocol that tolerates a region loss and prove that it is safe.",
    ],
)
def test_hard_reasoning_goes_large(shipped: Classifier, prompt: str) -> None:
    assert shipped.score(prompt).complexity >= THRESHOLD


def test_a_threshold_nothing_reaches_is_refused(shipped: Classifier) -> None:
    shipped.check_threshold(THRESHOLD)
    with pytest.raises(classifier.ArtifactError, match="reachable"):
        shipped.check_threshold(1.01)
