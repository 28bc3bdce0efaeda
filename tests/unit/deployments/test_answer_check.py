"""What is wrong with an answer is seen in its bytes; what its client wished is not wrong."""

from typing import Any

import orjson
import pytest

from answer_check.question import asked_times
from answer_check.refusal import is_about_refusing, may_refuse, refuses
from answer_check.repetition import loops, may_loop
from answer_check.structure import is_json
from deployments.gateway.answer_check import Fault, fault_of, gave_up, is_plain, says_nothing
from deployments.gateway.answer_text import Said
from deployments.protocol.chunk import Chunk, Usage
from deployments.protocol.openai_request import ParsedRequest, parse

TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
OTHER = {"type": "function", "function": {"name": "g", "parameters": {"type": "object"}}}
NAMED = {"type": "function", "function": {"name": "f"}}
JSON_OBJECT = {"response_format": {"type": "json_object"}}
SCHEMA = {
    "type": "object",
    "properties": {"n": {"type": "integer"}, "who": {"enum": ["a", "b"]}},
    "required": ["n"],
    "additionalProperties": False,
}
JSON_SCHEMA = {
    "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}
}


def request(question: str = "Hi", **fields: Any) -> ParsedRequest:
    body = {"model": "auto", "messages": [{"role": "user", "content": question}], **fields}
    return parse("chat", orjson.dumps(body))


def chunk(finish: str | None = None, content: bool = False) -> Chunk:
    return Chunk(b"x", Usage(1, 1), content, finish)


# held chunks of a whole answer -> gave up, says nothing at all
WHOLE = {
    "ended at once": ([chunk(), chunk("stop")], True, False),
    "ended at once, in one chunk": ([chunk("stop")], True, False),
    "no choices": ([chunk()], True, True),
    "nothing": ([], True, True),
    "text": ([chunk(), chunk(content=True), chunk("stop")], False, False),
    "text that only the first chunk has": ([chunk(content=True), chunk("stop")], False, False),
    "its token limit": ([chunk(), chunk("length")], False, False),
    "filtered": ([chunk("content_filter")], False, False),
    "one of two choices has a reason": ([chunk("stop"), chunk("length")], False, False),
}


@pytest.mark.parametrize(("held", "given_up", "nothing"), WHOLE.values(), ids=WHOLE)
def test_an_answer_is_judged_by_its_chunks(
    held: list[Chunk], given_up: bool, nothing: bool
) -> None:
    assert gave_up(held, request()) is given_up
    assert says_nothing(held) is nothing


def test_an_answer_that_the_clients_stop_ended_is_its_own_doing() -> None:
    assert not gave_up([chunk("stop")], request(stop=["Hi"]))
    assert gave_up([chunk()], request(stop=["Hi"]))


def document(
    *messages: Any, finish: str = "stop", tokens: int = 5
) -> tuple[Said, list[Chunk], bool]:
    """A whole JSON answer of these choices: a text, or a message's fields."""
    choices = [
        {
            "index": at,
            "message": {"content": m} if isinstance(m, str) else m,
            "finish_reason": finish,
        }
        for at, m in enumerate(messages)
    ]
    data = orjson.dumps({"choices": choices})
    said = Said()
    said.take(data, stream=False)
    content = any(bool(m) for m in messages)
    return said, [Chunk(data, Usage(10, tokens), content, finish, done=True)], False


def streamed(text: str, done: bool = False) -> tuple[Said, list[Chunk]]:
    """The beginning of a streamed answer, one word an event."""
    said, held = Said(), []
    for at, word in enumerate(text.split(" ")):
        delta = {"content": word if at == 0 else f" {word}"}
        event = {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
        data = b"data: " + orjson.dumps(event) + b"\n\n"
        said.take(data, stream=True)
        held.append(Chunk(data, Usage(10, at + 1), True))
    if done:
        held.append(Chunk(b"", Usage(10, len(held)), finish_reason="stop", done=True))
    return said, held


def call(arguments: str, name: str = "f") -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {"content": None, "tool_calls": [{"id": "1", "type": "function", "function": function}]}


# message, fields of the request, finish reason -> fault
DOCUMENTS: dict[str, tuple[Any, dict[str, Any], str, Fault | None]] = {
    "an answer": ("Paris.", {}, "stop", None),
    "one letter": ("B", {}, "stop", None),
    "white space": (" \n\t ", {}, "stop", Fault.EMPTY),
    "white space before the client's stop": ("\n", {"stop": ["x"]}, "stop", None),
    "one word again and again": ("the " * 30, {}, "length", Fault.REPETITION),
    "exclamation marks": ("!" * 40, {}, "length", Fault.REPETITION),
    "a loop of a sentence": (
        "It depends. " + "The sky is blue because of light. " * 8, {"max_tokens": 5}, "length",
        Fault.REPETITION,
    ),
    "a list": ("1. One\n2. Two\n3. Three\n4. Four\n5. Five\n6. Six", {}, "stop", None),
    "a table's ruler": ("| a | b | c |\n|---|---|---|\n| 1 | 2 | 3 |", {}, "stop", None),
    "a matrix": ("[[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]", {}, "stop", None),
    "laughter": ("Haha, that is funny. Here is why: ha ha.", {}, "stop", None),
    "a refusal": ("I'm sorry, but I can't assist with that.", {}, "stop", Fault.REFUSAL),
    "a refusal of a model": (
        "As an AI language model, I cannot provide that.", {}, "stop", Fault.REFUSAL
    ),
    "a refusal in its own field": ({"content": None, "refusal": "No."}, {}, "stop", Fault.REFUSAL),
    "a refusal in German": ("Es tut mir leid, aber ich kann das nicht.", {}, "stop", Fault.REFUSAL),
    "an apology that answers": ("I'm sorry to hear that. Try to rest.", {}, "stop", None),
    "a no": ("I can't see why not. It is 4.", {}, "stop", None),
    "what cannot be": ("Unfortunately, the train leaves at 5.", {}, "stop", None),
    "JSON": ('{"a": 1}', JSON_OBJECT, "stop", None),
    "JSON that is cut": ('{"a": ', JSON_OBJECT, "stop", Fault.BROKEN_JSON),
    "JSON that the client cut": (
        '{"a": ', JSON_OBJECT | {"max_tokens": 5}, "length", None
    ),
    "prose for JSON": ("Here you are", JSON_OBJECT, "stop", Fault.BROKEN_JSON),
    "an array for an object": ("[1]", JSON_OBJECT, "stop", Fault.BROKEN_JSON),
    "JSON of the schema": ('{"n": 1, "who": "a"}', JSON_SCHEMA, "stop", None),
    "JSON without a key": ('{"who": "a"}', JSON_SCHEMA, "stop", Fault.BROKEN_JSON),
    "JSON with a key too many": ('{"n": 1, "x": 2}', JSON_SCHEMA, "stop", Fault.BROKEN_JSON),
    "JSON of another type": ('{"n": "1"}', JSON_SCHEMA, "stop", Fault.BROKEN_JSON),
    "JSON outside the choices": ('{"n": 1, "who": "c"}', JSON_SCHEMA, "stop", Fault.BROKEN_JSON),
    "a tool call": (call('{"x": 1}'), {"tools": TOOLS}, "tool_calls", None),
    "a tool call without arguments": (call(""), {"tools": TOOLS}, "tool_calls", None),
    "a broken tool call": (call('{"x": '), {"tools": TOOLS}, "tool_calls", Fault.BROKEN_TOOL_CALL),
    "a tool nobody has": (call("{}", "g"), {"tools": TOOLS}, "tool_calls", Fault.BROKEN_TOOL_CALL),
    "no call where one was to come": (
        "Sure.", {"tools": TOOLS, "tool_choice": "required"}, "stop", Fault.BROKEN_TOOL_CALL
    ),
    "no call of the tool that was named": (
        "Sure.", {"tools": TOOLS, "tool_choice": NAMED}, "stop", Fault.BROKEN_TOOL_CALL
    ),
    "a call of another tool than was named": (
        call("{}", "g"), {"tools": [*TOOLS, OTHER], "tool_choice": NAMED}, "stop",
        Fault.BROKEN_TOOL_CALL,
    ),
    "a call of the tool that was named": (
        call("{}"), {"tools": [*TOOLS, OTHER], "tool_choice": NAMED}, "stop", None
    ),
    "a call where one was to come": (
        call("{}"), {"tools": TOOLS, "tool_choice": "required"}, "tool_calls", None
    ),
    "words where a call may come": (
        "Sure.", {"tools": TOOLS, "tool_choice": "auto"}, "stop", None
    ),
    "a forced call that the client cut": (
        "S", {"tools": TOOLS, "tool_choice": "required", "max_tokens": 5}, "length", None
    ),
    "a tool call left in the text after a thought": (
        '<think>f</think><tool_call>{"name": "f"', {"tools": TOOLS}, "stop", Fault.BROKEN_TOOL_CALL
    ),
    "a tool call left in the text": (
        '<tool_call>{"name": "f"', {"tools": TOOLS}, "stop", Fault.BROKEN_TOOL_CALL
    ),
    "the client's limit": ("One two", {"max_tokens": 5}, "length", None),
    "the newer name of the limit": ("One two", {"max_completion_tokens": 5}, "length", None),
    "the window": ("One two", {}, "length", Fault.CUT_BY_WINDOW),
    "the window before the limit": ("One two", {"max_tokens": 50}, "length", Fault.CUT_BY_WINDOW),
}  # fmt: skip


@pytest.mark.parametrize(
    ("message", "fields", "finish", "fault"), DOCUMENTS.values(), ids=DOCUMENTS
)
def test_a_whole_answer_has(
    message: Any, fields: dict[str, Any], finish: str, fault: Fault | None
) -> None:
    said, held, _ = document(message, finish=finish)
    assert fault_of(said, held, request(**fields)) is fault


# what has come of a stream, fields -> fault
BEGINNINGS: dict[str, tuple[str, dict[str, Any], Fault | None]] = {
    "a beginning": ("The capital of France is", {}, None),
    "one word": ("Paris", {}, None),
    "the same word": ("the the the the the the the the", {}, Fault.REPETITION),
    "a refusal": ("I'm sorry, but I can't help with", {}, Fault.REFUSAL),
    "prose for JSON": ("Sure! Here is", JSON_OBJECT, Fault.BROKEN_JSON),
    "half of JSON": ('{"a": [1,', JSON_OBJECT, None),
}


@pytest.mark.parametrize(("text", "fields", "fault"), BEGINNINGS.values(), ids=BEGINNINGS)
def test_a_beginning_has(text: str, fields: dict[str, Any], fault: Fault | None) -> None:
    said, held = streamed(text)
    assert fault_of(said, held, request(**fields)) is fault


@pytest.mark.parametrize("unit", ["!", "a", "好", "。", "\uff01", "😀", "?", "ha", " the"])
def test_one_token_again_and_again_shows_in_sixteen(unit: str) -> None:
    for finish in (None, "length"):
        said, held = Said(), []
        for at in range(1, 17):
            delta = {"delta": {"content": unit}, "finish_reason": finish if at == 16 else None}
            data = b"data: " + orjson.dumps({"choices": [delta]}) + b"\n\n"
            said.take(data, stream=True)
            held.append(Chunk(data, Usage(10, at), True))
            assert not is_plain(said, held, request(stream=True))
        assert fault_of(said, held, request(stream=True)) is Fault.REPETITION


@pytest.mark.parametrize("unit", ["0", "1 ", "-", "=", "─", "| ", "|---", "0, ", "#", ".", "  "])
def test_what_is_drawn_or_counted_may_stand_there_sixteen_times(unit: str) -> None:
    said, held = streamed(unit * 16)
    assert fault_of(said, held, request(stream=True)) in (None, Fault.EMPTY)
    said, held, _ = document("Here:\n" + unit * 16)
    assert fault_of(said, held, request()) is None


LABELS = "Classify these reviews, one label a line:"
# question, answer -> whether it is a loop although it ended by itself
RIGHT_OFTEN: dict[str, tuple[str, str, bool]] = {
    "labels": (LABELS, "positive\n" * 12, False),
    "many labels": (LABELS + "\nGood." * 90, "positive\n" * 90, False),
    "labels without end": (LABELS + "\nGood." * 12, "positive\n" * 90, True),
    "a table": ("Make a table", "| a | b |\n|---|---|\n" + "| yes | yes |\n" * 10, False),
    "what was asked for": ("Say hello ten times", "hello " * 10, False),
    "a number in figures": ("Write fifty A's, that is 50", "A" * 50, False),
    "votes": ("Yes or no?", "yes, " * 15 + "yes", False),
    "ticked boxes": ("Tick them", "- [x]\n" * 12, False),
    "bases": ("A repeat, please", "GATA" * 10, False),
    "closing tags": ("Close it", "</div>" * 10, False),
    "a sentence that was asked for": (
        "Write 'I will not be late again' twelve times", "I will not be late again.\n" * 12, False
    ),
    "a sentence": ("Why is it blue?", "The sky is blue because of light. " * 8, True),
    "a year is no number of times": ("Who won in 1969?", "no " * 90, True),
    "one sign": ("Hi", "!" * 200, True),
    "white space behind it": ("How many?", "Four." + "\n" * 40, False),
}  # fmt: skip


@pytest.mark.parametrize(("question", "answer", "loop"), RIGHT_OFTEN.values(), ids=RIGHT_OFTEN)
def test_what_ended_by_itself_may_have_said_one_thing_often(
    question: str, answer: str, loop: bool
) -> None:
    said, held, _ = document(answer)
    assert fault_of(said, held, request(question)) is (Fault.REPETITION if loop else None)
    said, held, _ = document(answer, finish="length")
    assert fault_of(said, held, request(question, max_tokens=5)) is (
        Fault.REPETITION if loops(answer) else None
    )


def test_a_beginning_with_a_label_on_each_line_is_no_loop_yet() -> None:
    for labels, fault in ((8, None), (40, Fault.REPETITION)):
        said, held = streamed("positive\n" * labels)
        assert fault_of(said, held, request(LABELS)) is fault
    said, held = streamed("I am sure that it is good\n" * 8)
    assert fault_of(said, held, request(LABELS)) is Fault.REPETITION


# text, fields, finish reason -> fault
BLANK: dict[str, tuple[str, dict[str, Any], str, Fault | None]] = {
    "lines to the limit": ("\n" * 300, {"max_tokens": 5}, "length", Fault.EMPTY),
    "lines to the window": ("\n" * 300, {}, "length", Fault.EMPTY),
    "spaces before the client's stop": (" " * 40, {"stop": ["x"]}, "stop", Fault.EMPTY),
    "no width": ("\u200b", {}, "stop", Fault.EMPTY),
    "a byte order mark": ("\ufeff", {}, "stop", Fault.EMPTY),
    "no width to the limit": ("\u200b" * 40, {"max_tokens": 5}, "length", Fault.EMPTY),
    "a short line that the client cut": ("\n\n", {"max_tokens": 5}, "length", None),
    "JSON that trails off": (
        "{" + "\n" * 300, JSON_OBJECT | {"max_tokens": 5}, "length", Fault.REPETITION
    ),
    "JSON that trails off between two keys": (
        '{"n": 1,' + " \n" * 300, JSON_OBJECT | {"max_tokens": 5}, "length", Fault.REPETITION
    ),
    "text that trails off": ("Answer:" + "\n" * 400, {"max_tokens": 5}, "length",
                             Fault.REPETITION),
    "a thought and no answer": ("<think>Hm, hard. I am not sure of it.</think>\n", {}, "stop",
                                Fault.EMPTY),
    "a thought that the client cut": ("<think>Hm, hard.", {"max_tokens": 5}, "length", None),
}  # fmt: skip


@pytest.mark.parametrize(("text", "fields", "finish", "fault"), BLANK.values(), ids=BLANK)
def test_white_space_is_no_answer(
    text: str, fields: dict[str, Any], finish: str, fault: Fault | None
) -> None:
    said, held, _ = document(text, finish=finish)
    assert fault_of(said, held, request(**fields)) is fault


def test_of_several_choices_all_must_be_at_fault() -> None:
    refusal = "I'm sorry, but I can't assist with that."
    for choices, fault in (((refusal, "Paris."), None), ((refusal, refusal), Fault.REFUSAL)):
        said, held, _ = document(*choices)
        assert fault_of(said, held, request(n=2)) is fault


@pytest.mark.parametrize(
    ("reasons", "fault"),
    [
        (("length", "length"), Fault.CUT_BY_WINDOW),
        (("length", "stop"), None),
        (("stop", "length"), None),
        (("length",), None),  # the other one never came
    ],
)
def test_of_several_choices_the_window_must_have_cut_all(
    reasons: tuple[str, ...], fault: Fault | None
) -> None:
    choices = [
        {"index": at, "message": {"content": f"It is {at}"}, "finish_reason": reason}
        for at, reason in enumerate(reasons)
    ]
    data = orjson.dumps({"choices": choices})
    said = Said()
    said.take(data, stream=False)
    held = [Chunk(data, Usage(10, 50), True, reasons[-1], done=True)]
    assert fault_of(said, held, request(n=2)) is fault


def test_an_estimate_says_nothing_of_the_window() -> None:
    said, held, _ = document("One two", finish="length")
    for estimated, fault in ((False, Fault.CUT_BY_WINDOW), (True, None)):
        told = [held[0]._replace(estimated=estimated)]
        assert fault_of(said, told, request(max_tokens=50)) is fault


@pytest.mark.parametrize(
    "question",
    [
        "Write a polite refusal letter",
        "Translate: I'm sorry, but I can't",
        "Decline this invitation",
        "Translate into English: Perdón, eso no lo hago",
        "Correct the grammar: sorry but I are not able assist with that",
        "Please correct my text",
        "Rewrite it politely: no help from us",
        "Draft an answer to this customer",
        "Übersetze ins Englische: Dabei helfe ich nicht",
        "Traduis en anglais ceci",
        "Is 'I am unable to assist' good English?",
        "What does 'leider' mean?",
        "把这句话翻译成英文",
    ],
)
def test_a_refusal_that_was_asked_for_is_an_answer(question: str) -> None:
    said, held, _ = document("I'm sorry, but I can't assist with that.")
    assert is_about_refusing(question)
    assert fault_of(said, held, request(question)) is None


def test_a_book_in_a_question_is_not_searched() -> None:
    book = "The sky cannot be seen 900 times. " * 100_000
    for question, wanted in (("Rewrite: " + book, True), (book + "Rewrite it", True)):
        assert is_about_refusing(question) is wanted
    assert not is_about_refusing("a" * 5000 + book[:3000].replace("cannot", "can") + "a" * 5000)
    assert asked_times("a" * 5000 + " 900 " + "a" * 5000) == 1
    assert asked_times("Ten times: " + "a" * 50_000) == 10


@pytest.mark.parametrize(
    ("question", "fault"),
    [
        ("{} Write a polite refusal letter.", None),
        ("Write a polite refusal letter to this applicant: {}", None),
        ("{} Write a polite refusal letter. {}", Fault.REFUSAL),
        ("{} What is the capital?", Fault.REFUSAL),
    ],
)
def test_the_ends_of_a_long_question_tell_what_is_asked(question: str, fault: Fault | None) -> None:
    asked = question.format(*["It was a dark night. " * 100_000] * 2)
    said, held, _ = document("I'm sorry, but I can't assist with that.")
    assert fault_of(said, held, request(asked)) is fault


@pytest.mark.parametrize(
    "question", ["What is the correct answer?", "How tall is it?", "Fix my code", "质数有哪些"]
)
def test_a_refusal_that_nobody_asked_for_is_none(question: str) -> None:
    said, held, _ = document("I'm sorry, but I can't assist with that.")
    assert fault_of(said, held, request(question)) is Fault.REFUSAL


@pytest.mark.parametrize(
    "answer",
    [
        "Als KI-Sprachmodell kann ich Texte übersetzen.",
        "Извините, я ошибся: ответ 4.",
        "죄송합니다. 정답은 4입니다.",
        "Sorry, ik kan het morgen doen.",
        "I am unable to access my account since Monday.",
        "We can't access our files.",
        "Unfortunately, I cannot attend the meeting.",
        "I'm sorry I cannot come tomorrow.",
        "Unfortunately, we can't change the past, says the author.",
        "I can't help but agree: 4",
        "I can't help noticing a bug in line 3.",
        "I cannot help falling in love with you.",
        "As an AI, I can't help but be curious: why?",
        "Unfortunately, I couldn't agree more",
        "Sorry, I couldn't resist: here's a pun",
        "I'm sorry, but I can't find errors in your text; it is correct",
        "Unfortunately, I could not find any error: the total is 42.",
        "We cannot share a common factor, so gcd is 1",
        "We could not support the hypothesis (p = 0.3).",
        "Unfortunately, I don't have enough apples: 3 are missing.",
        "I cannot give up, he said.",
        "I can't do this anymore, she said.",
        "As an assistant manager, I cannot approve this.",
        "As a language model researcher, I can't complain.",
        "I'm afraid of heights.",
        "That's not something you see every day.",
        "Leider kann ich am Montag nicht kommen.",
        "Je ne peux pas venir lundi.",
        "No puedo ir mañana.",
        "我不能同意更多",
        "<think>I can't help with that? I can.</think>Paris.",
    ],
)
def test_what_only_sounds_like_a_refusal_is_an_answer(answer: str) -> None:
    said, held, _ = document(answer)
    assert fault_of(said, held, request()) is None


def test_bytes_of_another_shape_say_nothing_and_break_nothing() -> None:
    for data in (b"", b"x", b"[]", b'{"choices": 3}', b'{"choices": [null, {"message": 7}]}'):
        said = Said()
        said.take(data, stream=False)
        said.take(b"data: " + data + b"\n\n", stream=True)
        held = [Chunk(data, Usage(1, 1), True, "stop", done=True)]
        assert fault_of(said, held, request()) in (None, Fault.EMPTY)


def test_a_long_text_is_searched_in_bounded_time() -> None:
    assert loops("ab" * 200_000)
    assert not loops("".join(chr(97 + i * i % 26) for i in range(5000)) + " end")
    assert not refuses("x" * 200_000)


@pytest.mark.parametrize("depth", [1, 10, 2000])
def test_deep_json_is_read_without_a_stack(depth: int) -> None:
    schema: Any = {"type": "array"}
    for _ in range(depth):
        schema = {"type": "array", "items": schema}
    assert is_json("[" * 20 + "]" * 20, schema) is (depth >= 1)


INTEGER, USER = {"type": "integer"}, {"$ref": "#/$defs/U"}
AGE = {"type": "object", "properties": {"age": INTEGER}, "required": ["age"]}
NESTED = {"type": "object", "properties": {"u": USER}, "$defs": {"U": AGE}}
TREE = {
    "type": "object",
    "properties": {"v": INTEGER, "next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}},
    "required": ["v"],
}
PAIR = {"type": "array", "prefixItems": [INTEGER], "items": {"type": "string"}}
# document, schema -> whether it has the shape
SHAPES: dict[str, tuple[str, Any, bool]] = {
    "the first items apart": ('[1, "a", "b"]', PAIR, True),
    "a wrong first item": ('["a", "a"]', PAIR, False),
    "a wrong later item": ("[1, 2]", PAIR, False),
    "fewer than the first items": ("[]", PAIR, True),
    "no more than the first items": ("[1, 2]", {"prefixItems": [INTEGER], "items": False}, False),
    "a list of items": ('[1, "a"]', {"items": [INTEGER]}, True),
    "a wrong one in a list of items": ('["a"]', {"items": [INTEGER]}, False),
    "what a reference leads to": ('{"u": {"age": 3}}', NESTED, True),
    "not what a reference leads to": ('{"u": {"age": "old"}}', NESTED, False),
    "a key that only the reference wants": ('{"u": {}}', NESTED, False),
    "a reference that leads nowhere": ('{"u": 1}', {"properties": {"u": USER}}, True),
    "a reference to elsewhere": ("1", {"$ref": "https://example.com/s"}, True),
    "an anchor": ("1", {"$ref": "#a", "type": "integer"}, True),
    "a name with a slash": ("1", {"$ref": "#/$defs/a~1b", "$defs": {"a/b": AGE}}, False),
    "a tree": ('{"v": 1, "next": {"v": 2, "next": null}}', TREE, True),
    "a tree with a wrong leaf": ('{"v": 1, "next": {"v": "x"}}', TREE, False),
    "one of the alternatives": ("null", {"anyOf": [{"type": "array"}, {"type": "null"}]}, True),
    "none of the alternatives": (
        '{"n": "x"}', {"anyOf": [{"type": "array"}, {"type": "null"}]}, False
    ),
    "none of exclusive alternatives": ("1", {"oneOf": [{"type": "array"}]}, False),
    "not all of all": ('{"age": 1}', {"allOf": [AGE, {"required": ["name"]}]}, False),
    "other keys of a wrong type": ('{"a": "x"}', {"additionalProperties": INTEGER}, False),
    "a reference to itself": ("1", {"$ref": "#"}, True),
    "alternatives without end": ("1", {"allOf": [{"$ref": "#"}] * 2}, True),
    "NaN": ('{"n": NaN}', None, False),
    "infinity": ("[-Infinity]", {"type": "array"}, False),
}  # fmt: skip


@pytest.mark.parametrize(("text", "schema", "fits"), SHAPES.values(), ids=SHAPES)
def test_json_has_the_shape_of_its_schema(text: str, schema: Any, fits: bool) -> None:
    assert is_json(text, schema) is fits


REFUSALS = [
    "Als KI-Sprachmodell kann ich keine Meinung haben.",
    "En tant qu'IA, je ne peux pas faire cela.",
    "Como modelo de lenguaje, no puedo hacer eso.",
    "作为一个人工智能\uff0c我无法回答这个问题。",
    "Прошу прощения, но я не могу помочь.",
    "Извините, я не могу ответить.",
    "Het spijt me, maar ik kan u daar niet mee helpen.",
    "죄송합니다. 도와드릴 수 없습니다.",
    "죄송하지만 그 요청은 도와드릴 수 없습니다.",
    "**I\u2019m sorry, but I can't help with that.",
    "I am truly sorry, as an assistant, I cannot do that.",
    "We apologize, we are unable to",
    "My apologies, but I will not",
    "Apologies, I must decline",
    "Unfortunately,\n\nI do not have access",
    "Regrettably, we can't",
    "Sorry, I won't",
    "As an AI language model, I can't",
    "As a large assistant I cannot",
    "I can't assist with that.",
    "We  are not able to provide",
    "I don't feel comfortable to write",
    "Es tut mir leid, aber ich kann",
    "Je suis désolé, mais je ne peux",
    "Désolée, je ne suis",
    "Lo siento, pero no puedo",
    "Desculpe, mas não posso",
    "Sinto muito, não posso",
    "很抱歉\uff0c我无法",
    "抱歉\uff0c我不能",
    "申し訳ありませんが、お答えできません",
    "すみません、できません",
    "申し訳ありませんが、その質問には答えられません。",
    "申し訳ございませんが、お手伝いできません。",
    "我无法回答这个问题",
    "我不能为您提供这些信息",
    "Es tut mir leid, dabei kann ich nicht helfen.",
    "Tut mir sehr leid, aber ich kann das nicht.",
    "Leider kann ich das nicht beantworten.",
    "Ich kann dir dabei nicht weiterhelfen.",
    "Je ne peux pas vous aider.",
    "Malheureusement, je ne peux pas répondre",
    "No puedo ayudarte",
    "Lo lamento, pero no puedo",
    "Não posso ajudar com isso.",
    "Mi dispiace, ma non posso aiutarti.",
    "I'm sorry, but I'm not going to help",
    "I'm afraid I can't help with that",
    "I regret that I cannot help",
    "I apologize for any inconvenience, but I cannot help with it",
    "Sorry, that's not something I can help with",
    "That is not something I am able to assist with.",
    "I'm an AI language model and cannot provide legal advice.",
    "I\u2019m just an AI and can't do that.",
    "As an AI developed by somebody, I can't",
    "I must decline",
    "I have to respectfully decline",
    "I won't be able to help with that",
    "I'm unable to directly assist with that",
    "I cannot and will not help",
    "Sorry, I can't.",
    "\u201cI\u2019m sorry, but I can\u2019t assist with that.\u201d",
    "\u00ab Je ne peux pas vous aider. \u00bb",
    "`I can't assist with that.`",
    "> I can't help with that",
    "[I'm sorry, but I can't help with that.]",
    "<think>\n\n</think>\n\nI'm sorry, but I can't help with that.",
    "<think>It is a question.</think>I must decline.",
]


@pytest.mark.parametrize("text", REFUSALS)
def test_every_beginning_of_a_refusal_may_become_one(text: str) -> None:
    assert refuses(text)
    for length in range(len(text) + 1):
        assert may_refuse(text[:length]), text[:length]


@pytest.mark.parametrize(
    "unit", ["!", "the ", "no, ", "ha", "I am. ", "0 ", "好", "a", "。", "😀", "哈哈"]
)
def test_every_beginning_of_a_loop_may_become_one_once_its_unit_was_said_twice(unit: str) -> None:
    text = unit * 40
    assert loops(text)
    for length in range(2 * len(unit.strip()) + (" " in unit), len(text)):
        assert may_loop(text[:length]), text[:length]


# A beginning, fields of the request -> whether nothing is left to wait for
PLAIN: dict[str, tuple[str, dict[str, Any], bool]] = {
    "an answer": ("Paris is", {}, True),
    "an answer in another script": ("巴黎 是", {}, True),
    "one word": ("Paris", {}, False),
    "signs": ("! !", {}, False),
    "white space": (" \n", {}, False),
    "one word twice": ("the the", {}, False),
    "what a refusal begins with": ("I am", {}, False),
    "a document": ('{"n": 1', JSON_OBJECT, False),
    "by a schema": ('{"n": 1', JSON_SCHEMA, False),
    "with tools": ("Paris is", {"tools": TOOLS}, False),
    "one of two": ("Paris is", {"n": 2}, False),
}


@pytest.mark.parametrize(("text", "fields", "plain"), PLAIN.values(), ids=PLAIN)
def test_a_beginning_is_plain_where_no_fault_can_begin_so(
    text: str, fields: dict[str, Any], plain: bool
) -> None:
    said, held = streamed(text)
    assert is_plain(said, held, request(stream=True, **fields)) is plain
