"""No text takes a detector longer than its length warrants: one that did would hold a gateway."""

import re
import time
from collections.abc import Callable, Iterator
from re import _constants, _parser  # type: ignore[attr-defined]
from types import ModuleType
from typing import Any

import pytest

from deployments.privacy import (
    contacts,
    credentials,
    detectors,
    folding,
    issuers,
    masks,
    numbers,
    payload,
    randomness,
)
from deployments.privacy.policy import Policy
from deployments.privacy.releasable import Destination
from deployments.protocol.engine import EngineRequest
from deployments.settings.privacy import PrivacyConfig

MODULES = (
    *(contacts, credentials, detectors, folding, issuers),
    *(masks, numbers, payload, randomness),
)
SHORT_CHARS, DOUBLINGS = 2048, 3
# A doubling may treble the time: what is linear doubles it, what is quadratic makes it fourfold.
MOST = 3**DOUBLINGS
TRIES = 4
# Shorter times are of the clock and the machine, not of the text.
NOISE_S = 0.02
MASKING = Policy(
    PrivacyConfig(default_action="mask", actions={"image": "ignore", "opaque": "ignore"})
)
OUTSIDE = Destination("https://llm.example.com/v1", in_cluster=False)


def patterns(value: Any) -> Iterator[re.Pattern[Any]]:
    """Every pattern in a module, however it is kept."""
    if isinstance(value, re.Pattern):
        yield value
    elif isinstance(value, ModuleType):
        for part in vars(value).values():
            if not isinstance(part, ModuleType):
                yield from patterns(part)
    elif isinstance(value, dict):
        yield from patterns(list(value.values()))
    elif isinstance(value, tuple | list):
        for part in value:
            yield from patterns(part)


def written(parsed: Any, repeats: int) -> str:
    """A text as a pattern describes it, with its repetitions taken so often where they may be."""
    return "".join(_written(kind, given, repeats) for kind, given in parsed)


def _written(kind: Any, given: Any, repeats: int) -> str:
    if kind is _constants.LITERAL:
        return chr(given)
    if kind is _constants.IN:
        return _one_of(given)
    if "REPEAT" in str(kind):
        least, most, part = given
        return written(part, repeats) * int(min(max(least, repeats), most))
    inner: dict[Any, Callable[[], Any]] = {
        _constants.BRANCH: lambda: given[1][0],
        _constants.SUBPATTERN: lambda: given[3],
        _constants.ATOMIC_GROUP: lambda: given,
        _constants.ASSERT: lambda: given[1] if given[0] > 0 else (),
        _constants.ANY: lambda: [(_constants.LITERAL, ord("b"))],
    }
    return written(inner.get(kind, tuple)(), repeats)  # the others take no room


def _one_of(given: Any) -> str:
    """A character of a class: the last that it names, which are the odd ones."""
    kind, said = given[-1]
    if given[0][0] is _constants.NEGATE:
        return "b"
    if kind is _constants.LITERAL:
        return chr(said)
    if kind is _constants.RANGE:
        return chr(said[0])
    return {"CATEGORY_DIGIT": "1", "CATEGORY_SPACE": " "}.get(str(said), "a")


def adversarial(pattern: re.Pattern[Any]) -> set[str]:
    """What is repeated: beginnings of what the pattern describes, which nearly match it."""
    source = pattern.pattern
    text = source if isinstance(source, str) else source.decode()
    found: set[str] = set()
    for repeats in (1, 9):
        whole = written(_parser.parse(text, pattern.flags & re.VERBOSE), repeats)[:60]
        cuts = {3, len(whole) // 2, len(whole) - 1, len(whole)}
        beginnings = {whole[:cut] for cut in cuts if 0 < cut <= len(whole)}
        found |= {between + beginning for beginning in beginnings for between in ("", "-")}
    return found


def took_s(work: Callable[[], object]) -> float:
    """The time that the work takes in this thread."""
    started_s = time.thread_time()
    work()
    return time.thread_time() - started_s


def grows_like_its_length(work: Callable[[str], object], unit: str) -> bool:
    """Whether a text that is doubled some times takes no more than its share."""

    def text(chars: int) -> str:
        return (unit * (chars // len(unit) + 1))[:chars]

    short, long = text(SHORT_CHARS), text(SHORT_CHARS << DOUBLINGS)
    return any(
        took_s(lambda: work(long)) <= MOST * max(took_s(lambda: work(short)), NOISE_S / MOST)
        for _ in range(TRIES)
    )


def released(text: str) -> object:
    body = {"messages": [{"role": "user", "content": text}]}
    return MASKING.release(EngineRequest("chat", body, "r1"), body, OUTSIDE)


EVERY = {pattern.pattern: pattern for module in MODULES for pattern in patterns(module)}


@pytest.mark.parametrize("pattern", EVERY.values(), ids=lambda p: str(p.pattern)[:40])
def test_no_detector_takes_the_square_of_a_text(pattern: re.Pattern[Any]) -> None:
    for unit in adversarial(pattern):
        assert grows_like_its_length(released, unit), unit


@pytest.mark.parametrize(
    "unit",
    ["-eyJ", "\u00e9 a@b.co ", "a://b:c", "4 ", "+1 ", "\\u0041", "ab\n", "a@x.io ", "é1 212 "],
)
def test_no_find_takes_the_square_of_a_text(unit: str) -> None:
    assert grows_like_its_length(released, unit)
