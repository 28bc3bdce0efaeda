"""What the policy reads of long bodies, and that nobody else waits while it reads."""

import threading
from collections.abc import Sequence
from typing import Any

import pytest

from deployments.gateway.hints import Hints
from deployments.gateway.privacy_gate import PrivacyGate
from deployments.privacy.detectors import Found
from deployments.privacy.payload import SHORT_CHARS
from deployments.privacy.policy import NOBODY, Policy
from deployments.privacy.releasable import Destination
from deployments.privacy.slices import OVERLAP_CHARS, SLICE_CHARS, find_in_slices
from deployments.protocol.engine import EngineRequest
from deployments.protocol.errors import LocalOnlyConflict
from deployments.settings.app import AppConfig
from deployments.settings.privacy import PrivacyConfig
from tests.fakes import chat

OUTSIDE = Destination("https://llm.example.com/v1", in_cluster=False)
UPSTREAM = {"kind": "upstream", "base_url": "https://llm.example.com/v1", "model": "l"}
PRICES = {"usd_per_million_prompt_tokens": 1.0, "usd_per_million_completion_tokens": 1.0}
CONFIG = AppConfig.model_validate(
    {
        "small": {"model": "s", "engine": {"kind": "simulated"}},
        "large": {"model": "l", "engine": UPSTREAM, **PRICES},
    }
)
CARD = "4111 1111 1111 1111"
WORDS = "nothing to be found here\n"


def policy(**config: Any) -> Policy:
    return Policy(PrivacyConfig.model_validate(config))


def long(chars: int) -> str:
    return (WORDS * (chars // len(WORDS) + 1))[:chars]


@pytest.mark.parametrize(("chars", "beside"), [(100, False), (SHORT_CHARS + 1, True)])
async def test_a_long_body_is_judged_beside_the_event_loop(
    chars: int, beside: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[threading.Thread] = []
    judge = Policy.judge

    def noted(*args: Any) -> Any:
        threads.append(threading.current_thread())
        return judge(*args)

    monkeypatch.setattr(Policy, "judge", noted)
    gate = PrivacyGate(CONFIG)
    assert await gate.local_by(chat(long(chars)), Hints("r")) == ()
    assert [thread is not threading.main_thread() for thread in threads] == [beside]


MUCH = long(2**20 + 1)
PNG = "data:image/png;base64," + "iVBORw0KGgo" * 200_000
TOO_LONG: dict[str, tuple[dict[str, Any], Any, tuple[str, ...], tuple[str, ...]]] = {
    "one text": ({}, MUCH, ("opaque",), ()),
    "many texts": ({}, [MUCH[:1000]] * 1100, ("opaque",), ()),
    "names": ({}, {MUCH: 1}, ("opaque",), ()),
    "a file of text": ({}, "data:text/plain," + MUCH, ("opaque",), ()),
    "a text with a find": ({}, CARD + MUCH, ("opaque",), ()),
    "though what is opaque may leave": ({"actions": {"opaque": "allow"}}, MUCH, ("opaque",), ()),
    "though finds are masked": ({"actions": {"email": "mask"}}, MUCH, ("opaque",), ()),
    "where opaque is refused": ({"actions": {"opaque": "refuse"}}, MUCH, (), ("opaque",)),
    "where nothing is looked for": ({"default_action": "ignore"}, MUCH, (), ()),
    "within another bound": ({"max_text_chars": 2**21}, MUCH, (), ()),
    "beyond another bound": ({"max_text_chars": 99}, long(100), ("opaque",), ()),
    "a picture": ({}, PNG, (), ()),
    "just within": ({}, long(2**20 - 100), (), ()),
}


@pytest.mark.parametrize(("config", "content", "local", "refused"), TOO_LONG.values(), ids=TOO_LONG)
def test_what_is_too_long_to_be_read_stays(
    config: Any, content: Any, local: tuple[str, ...], refused: tuple[str, ...]
) -> None:
    if config.get("actions", {}).get("opaque") == "allow":
        config = config | {"audit_dir": "/x"}
    body = {"messages": [{"role": "user", "content": content}]}
    verdict = policy(**config).judge(body, "auto", NOBODY)
    assert (verdict.local_by, verdict.refused_by) == (local, refused)


def test_the_door_does_not_let_go_what_is_too_long_to_be_read() -> None:
    body = {"messages": [{"role": "user", "content": MUCH}]}
    with pytest.raises(LocalOnlyConflict, match="opaque"):
        policy().release(EngineRequest("chat", body, "r1"), body, OUTSIDE)


CUTS = (
    *range(SLICE_CHARS - OVERLAP_CHARS - 600, SLICE_CHARS + 600, 397),
    *range(SLICE_CHARS - 40, SLICE_CHARS + 8, 4),
)


@pytest.mark.parametrize(("kind", "secret"), [("email", "alice@example.com"), ("card", CARD)])
@pytest.mark.parametrize("words", [WORDS, "x" * 97], ids=["words", "no space"])
def test_what_stands_at_a_cut_is_masked_once_and_whole(words: str, kind: str, secret: str) -> None:
    judge = policy(default_action="ignore", actions={kind: "mask"})
    filling = words * (3 * SLICE_CHARS // len(words))
    for at in CUTS:
        body = {"messages": [{"content": f"{filling[:at]} {secret} {filling[at:]}"}]}
        let_go = judge.release(EngineRequest("chat", body, "r1"), body, OUTSIDE)
        content = let_go.content.decode()
        assert content.count(f"[{kind.upper()}_1]") == 1, at
        assert not any(part in content for part in secret.split()), at
        assert let_go.kinds == {kind: 1}, at


@pytest.mark.parametrize(
    "texts",
    [["a " * SLICE_CHARS * 3], ["1" * SLICE_CHARS * 3], ["ab"] * SLICE_CHARS, ["", "a"], []],
    ids=["words", "one word", "many texts", "short", "none"],
)
def test_no_pattern_gets_more_than_a_slice(texts: list[str]) -> None:
    given: list[int] = []

    def find(parts: Sequence[str]) -> list[Found]:
        given.append(sum(map(len, parts)))
        return [Found("k", n, 0, len(part)) for n, part in enumerate(parts)]

    found = list(find_in_slices(find, texts))
    assert max(given, default=0) <= SLICE_CHARS
    seen = [0] * len(texts)
    for f in found:
        assert f.start <= seen[f.text]
        seen[f.text] = max(seen[f.text], f.end)
    assert seen == list(map(len, texts))
