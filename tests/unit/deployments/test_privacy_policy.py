"""What the policy lets go, what it masks, and that a mask comes off in the answer."""

import base64
import json
import random
from collections.abc import AsyncIterator, Mapping
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.privacy.cases import KINDS, PLACES, secret_of
from deployments.privacy.masks import Restorer
from deployments.privacy.policy import NOBODY, Policy, Subject
from deployments.privacy.releasable import Destination
from deployments.protocol.engine import EngineRequest
from deployments.protocol.errors import LocalOnlyConflict, PrivateDataRefused
from deployments.settings.privacy import PrivacyConfig
from deployments.upstream.restoring import restored

OUTSIDE = Destination("https://llm.example.com/v1", in_cluster=False)
INSIDE = Destination("http://10.0.0.7/v1", in_cluster=True)
CARD, MAIL = "4111 1111 1111 1111", "alice@example.com"


def policy(**config: Any) -> Policy:
    return Policy(PrivacyConfig.model_validate(config))


def chat(*texts: str, **fields: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text} for text in texts], **fields}


def asked(body: dict[str, Any], **more: Any) -> EngineRequest:
    return EngineRequest("chat", body, more.pop("request_id", "r1"), **more)


def released(judge: Policy, body: dict[str, Any], **more: Any) -> Any:
    return judge.release(asked(body, **more), body, OUTSIDE)


@pytest.mark.parametrize(
    ("config", "local_by", "refused_by"),
    [
        ({}, ("card", "email"), ()),
        ({"default_action": "ignore"}, (), ()),
        ({"actions": {"email": "mask"}}, ("card",), ()),
        ({"actions": {"email": "refuse"}}, (), ("email",)),
        ({"actions": {"card": "mask", "email": "mask"}}, (), ()),
    ],
)
def test_the_action_of_each_kind_decides(
    config: Any, local_by: tuple[str, ...], refused_by: tuple[str, ...]
) -> None:
    verdict = policy(**config).judge(chat(CARD, MAIL), "auto", NOBODY)
    # The first find after which none matters is enough to know.
    assert set(verdict.local_by) <= set(local_by) and bool(verdict.local_by) == bool(local_by)
    assert verdict.refused_by == refused_by


@pytest.mark.parametrize(
    ("subject", "model", "by"),
    [
        (Subject(key="k1"), "auto", ("key",)),
        (Subject(key="k2"), "auto", ()),
        (Subject(key="k2", local_only=True), "auto", ("key",)),
        (Subject(tenant="clinic"), "auto", ("tenant",)),
        (Subject(), "notes", ("model",)),
        (Subject(key="k1", tenant="clinic"), "notes", ("key", "tenant", "model")),
    ],
)
def test_whose_request_it_is_decides(subject: Subject, model: str, by: tuple[str, ...]) -> None:
    local = {"keys": ["k1"], "tenants": ["clinic"], "models": ["notes"]}
    assert policy(local=local).judge(chat("hello"), model, subject).local_by == by


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", [place for place in PLACES if place != "unknown field"])
def test_a_find_counts_wherever_it_stands(place: str, kind: str) -> None:
    body = PLACES[place](secret_of(kind, random.Random(f"{place}{kind}")))
    if place == "stop" and kind == "secret":
        pytest.skip("a stop sequence is cut, and then is no secret of that form")
    judge = policy(default_action="ignore", actions={kind: "local"})
    assert judge.judge(body, "auto", NOBODY).local_by == (kind,)
    with pytest.raises(LocalOnlyConflict):
        released(judge, body)


def test_what_must_stay_is_not_released_and_what_is_inside_may_be_sent_inside() -> None:
    body = chat(f"my card is {CARD}")
    with pytest.raises(LocalOnlyConflict):
        released(policy(default_action="ignore"), chat("hello"), local_only=True)
    inside = policy().release(asked(body, local_only=True), body, INSIDE)
    assert (inside.why, json.loads(inside.content)) == ("in_cluster", body)


def test_a_refusal_names_the_kind_and_never_the_value() -> None:
    with pytest.raises(PrivateDataRefused) as caught:
        released(policy(actions={"card": "refuse"}), chat(CARD))
    assert "card" in caught.value.message
    assert "4111" not in caught.value.message


@pytest.mark.parametrize(
    ("pattern", "texts", "leave"),
    [
        ("diagnosis:.*", ["diagnosis: asthma", "and diagnosis: flu"], ["[OWN_1]", "and [OWN_2]"]),
        ("diagnosis:.*", ["F\u00fcr J: diagnosis: flu", "next"], ["F\u00fcr J: [OWN_1]", "next"]),
        (r"diagnosis:[^.]*", ["diagnosis: \u00e9", "a. b"], ["[OWN_1]", "a. b"]),
        (r"mrn\s*\d{7}", ["mrn", "1234567"], ["mrn", "1234567"]),
        (r"^P\d{7}$", ["look this up", "P1234567", "P12345678"],
         ["look this up", "[OWN_1]", "P12345678"]),
        ("Nummer f\u00fcr \\w+: KV\\d{6}", ["Nummer f\u00fcr J\u00f6rg: KV123456."], ["[OWN_1]."]),
        ("\u0421\u041d\u0418 \\d{3}", ["\u0441\u043d\u0438 112"], ["[OWN_1]"]),
        ("\uff08\\d{4}[\uff09\u3001]", ["\uff081234\uff09"], ["[OWN_1]"]),
        (r"\bx?\d*", ["ab 12"], ["ab [OWN_1]"]),
    ],
)  # fmt: skip
def test_a_pattern_of_the_operators_is_searched_in_each_text_as_it_looks(
    pattern: str, texts: list[str], leave: list[str]
) -> None:
    judge = policy(patterns={"own": pattern}, actions={"own": "mask"})
    leaving = released(judge, chat(*texts))
    assert [said["content"] for said in json.loads(leaving.content)["messages"]] == leave
    kept = policy(patterns={"own": pattern}).judge(chat(*texts), "auto", NOBODY).local_by
    assert kept == (("own",) if "OWN" in "".join(leave) else ())


def test_a_mask_is_the_same_wherever_its_find_stands_and_no_word_of_the_text() -> None:
    body = chat(f"{MAIL} and {MAIL}, not [EMAIL_1]", f"again {MAIL}, and b@example.com")
    leaving = released(policy(actions={"email": "mask"}), body)
    texts = [message["content"] for message in json.loads(leaving.content)["messages"]]
    assert texts == [
        "[EMAILX_1] and [EMAILX_1], not [EMAIL_1]",
        "again [EMAILX_1], and [EMAILX_2]",
    ]
    assert (leaving.why, leaving.kinds) == ("masked", {"email": 4})
    assert leaving.masks == {"[EMAILX_1]": MAIL, "[EMAILX_2]": "b@example.com"}


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(chat("hi", user=MAIL), id="a name is no text"),
        pytest.param(PLACES["property"](MAIL), id="a property of a schema"),
        pytest.param(PLACES["enum"](MAIL), id="a value that an answer must have"),
        pytest.param(chat("see bWFpbCB0byBhbGljZUBleGFtcGxlLmNvbSBub3c="), id="base64"),
    ],
)
def test_what_cannot_be_masked_where_it_stands_stays(body: Any) -> None:
    judge = policy(actions={"email": "mask"})
    assert judge.judge(body, "auto", NOBODY).local_by == ("email",)
    with pytest.raises(LocalOnlyConflict):
        released(judge, body)


@pytest.mark.parametrize(
    ("part", "kind"),
    [
        ({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}, "image"),
        ({"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA"}}, "opaque"),
    ],
)
def test_what_no_detector_reads_is_a_kind_of_its_own(part: Any, kind: str) -> None:
    body = {"messages": [{"role": "user", "content": [part]}]}
    assert policy(actions={kind: "local"}).judge(body, "auto", NOBODY).local_by == (kind,)
    assert policy(actions={kind: "ignore"}).judge(body, "auto", NOBODY).local_by == ()


@pytest.mark.parametrize(
    "begins",
    ["data:image/gif;base64,R0lGODlhAQABAAAAACw=", "data:image/png,", " data:image/png;base64,",
     "DATA:IMAGE/PNG;a=b;base64,AA", "data:application/pdf;base64,AAAA", "data:text/plain,",
     "data:,"],
)  # fmt: skip
@pytest.mark.parametrize("between", ["\n", " ", "? "])
def test_what_stands_behind_a_files_url_is_read_and_masked(begins: str, between: str) -> None:
    body = chat(f"{begins}{between}Whose is {MAIL}?")
    assert policy().judge(body, "auto", NOBODY).local_by == ("email",)
    leaving = released(policy(actions={"email": "mask"}), body)
    content = json.loads(leaving.content)["messages"][0]["content"]
    assert content == f"{begins}{between}Whose is [EMAIL_1]?"


@pytest.mark.parametrize("between", ["\n", "\r\n", "\n> ", "\n    ", "\\n"])
@pytest.mark.parametrize("width", [64, 70, 76])
def test_base64_is_read_over_its_line_ends(width: int, between: str) -> None:
    judge = policy(default_action="ignore", actions={"card": "local"})
    for offset in range(width * 3 // 4):
        encoded = base64.b64encode(f"{'x' * offset} on {CARD}, valid until May.".encode() * 2)
        lines = [encoded[at : at + width].decode() for at in range(0, len(encoded), width)]
        for behind in ("", f"{between}Thanks", "\n--next part"):
            body = chat(f"decode:{between}{between.join(lines)}{behind}")
            assert judge.judge(body, "auto", NOBODY).local_by == ("card",), (offset, behind)


def test_a_file_in_lines_is_as_unreadable_as_in_one() -> None:
    lines = base64.encodebytes(random.Random(1).randbytes(900)).decode()
    assert policy().judge(chat(f"look:\n{lines}"), "auto", NOBODY).local_by == ("opaque",)
    sums = "\n".join(random.Random(n).randbytes(32).hex() for n in range(40))
    assert policy().judge(chat(f"sums:\n{sums}"), "auto", NOBODY).local_by == ()


def test_token_ids_cannot_be_read_and_stay() -> None:
    assert policy().judge({"prompt": [[1, 2, 3]]}, "auto", NOBODY).local_by == ("opaque",)
    assert policy().judge({"prompt": ["a", "b"]}, "auto", NOBODY).local_by == ()


def test_a_file_that_is_text_is_read() -> None:
    data = "data:text/csv;base64,bmFtZSxtYWlsCmFsaWNlLGFsaWNlQGV4YW1wbGUuY29tCg=="
    body = {"messages": [{"role": "user", "content": [{"type": "file", "file": data}]}]}
    assert policy().judge(body, "auto", NOBODY).local_by == ("email",)


def test_a_number_is_read_as_its_digits() -> None:
    body = PLACES["enum"]("x")
    body["tools"][0]["function"]["parameters"] = {"const": 4111111111111111}
    assert policy().judge(body, "auto", NOBODY).local_by == ("card",)


def test_an_id_that_somebody_wrote_an_address_into_does_not_leave() -> None:
    judge = policy(patterns={"patient": r"pat-\d{6}"}, actions={"patient": "ignore"})
    assert released(judge, chat("hi"), request_id="pat-123456").request_id == "pat-123456"
    judge = policy(patterns={"patient": r"pat-\d{6}"})
    outside = released(judge, chat("hi"), request_id="pat-123456").request_id
    assert "123456" not in outside and len(outside) == 32


@settings(max_examples=80, deadline=None)
@given(
    kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=4),
    prose=st.text(st.characters(codec="utf-8"), max_size=60),
    cuts=st.lists(st.integers(0, 400), max_size=12),
    seed=st.integers(0, 2**32),
)
def test_masked_finds_stay_and_come_back_however_the_answer_is_cut(
    kinds: list[str], prose: str, cuts: list[int], seed: int
) -> None:
    chance = random.Random(seed)
    secrets = [secret_of(kind, chance) for kind in kinds]
    text = prose + "".join(f" ; {secret} ; {prose}" for secret in secrets)
    judge = policy(default_action="mask", actions={"image": "ignore", "opaque": "ignore"})
    leaving = released(judge, chat(text))
    said = json.loads(leaving.content)["messages"][0]["content"]
    assert not any(secret in said for secret in secrets)
    restorer = Restorer(leaving.masks)
    at = sorted({0, len(said), *(cut % (len(said) + 1) for cut in cuts)})
    pieces = [said[a:b] for a, b in pairwise(at)]
    assert "".join([*map(restorer.feed, pieces), restorer.end()]) == text


class Answered:
    """An upstream's answer to what was masked, as a document or in pieces of some characters."""

    def __init__(self, content: str, arguments: str, chars: int) -> None:
        self._content, self._arguments, self._chars = content, arguments, chars

    async def aiter_bytes(self) -> AsyncIterator[bytes]:
        if not self._chars:
            said = {"content": self._content, "tool_calls": [self._call(self._arguments)]}
            choice = {"index": 0, "message": said, "finish_reason": "stop"}
            yield json.dumps({"choices": [choice]}).encode()
            return
        for at in range(0, max(len(self._content), len(self._arguments)), self._chars):
            piece = self._content[at : at + self._chars]
            call = self._call(self._arguments[at : at + self._chars])
            choice = {"index": 0, "delta": {"content": piece, "tool_calls": [call]}}
            yield b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"
        last = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
        yield b"data: " + json.dumps(last).encode() + b"\n\n"

    def _call(self, arguments: str) -> dict[str, Any]:
        return {"index": 0, "function": {"name": "f", "arguments": arguments}}


async def restored_texts(masks: Mapping[str, str], content: str, chars: int) -> tuple[str, str]:
    """Content and arguments of an answer that says `content`, and calls a tool with its masks."""
    answer = Answered(content, json.dumps({"to": " ".join(masks)}), chars)
    read = restored(answer.aiter_bytes(), masks, is_stream=chars > 0)
    raw = b"".join([part async for part in read])
    lines = raw.splitlines() if chars else [raw]
    texts, arguments = "", ""
    for line in filter(None, lines):
        choice = json.loads(line.removeprefix(b"data: "))["choices"][0]
        said = choice.get("delta") or choice.get("message") or {}
        texts += said.get("content") or ""
        for call in said.get("tool_calls") or ():
            arguments += call["function"].get("arguments") or ""
    return texts, arguments


@pytest.mark.parametrize("chars", [0, 1, 7])
@pytest.mark.parametrize("ascii_only", [True, False])
@pytest.mark.parametrize("value", ["j\u00fcrgen@m\u00fcller.de", "o'brien/x@example.com"])
async def test_a_find_in_a_tools_history_comes_back_as_it_was_meant(
    value: str, ascii_only: bool, chars: int
) -> None:
    call = {"to": value, "as": "\u00e9"}
    written = json.dumps(call, ensure_ascii=ascii_only).replace("/", "\\/")
    function = {"name": "f", "arguments": written}
    body = chat(f"Who is {value}?")
    body["messages"] += [
        {
            "role": "assistant",
            "tool_calls": [{"id": "1", "type": "function", "function": function}],
        },
        {"role": "tool", "tool_call_id": "1", "content": written},
    ]
    masks = released(policy(actions={"email": "mask"}), body).masks
    assert masks == {"[EMAIL_1]": value}
    content, arguments = await restored_texts(masks, "[EMAIL_1] it is: [EMAIL_1]", chars)
    assert content == f"{value} it is: {value}"
    assert json.loads(arguments) == {"to": value}


@pytest.mark.parametrize("chars", [0, 1, 5])
@pytest.mark.parametrize(
    ("answer", "is_json"),
    [
        ('{"note": "[NOTE_1]"}', True), (' [\n{"note": "[NOTE_1]"}]', True),
        ('["[NOTE_1]"]', True), ('```json\n{"note": "[NOTE_1]"}\n```', True),
        ("[NOTE_1], she said", False), ('"[NOTE_1]", she said', False), ("[1] [NOTE_1]", False),
    ],
)  # fmt: skip
async def test_an_original_is_escaped_where_the_answer_is_json(
    answer: str, is_json: bool, chars: int
) -> None:
    value = 'say "hi" to C:\\x\tnow'
    said = json.dumps(value)[1:-1] if is_json else value
    content, arguments = await restored_texts({"[NOTE_1]": value}, answer, chars)
    assert content == answer.replace("[NOTE_1]", said)
    assert json.loads(arguments) == {"to": value}
