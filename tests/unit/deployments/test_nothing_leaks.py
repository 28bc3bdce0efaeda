"""No byte of a request that must stay arrives outside, down any path; the long run of the same is
`python -m bench.privacy.leak`."""

import asyncio
import random
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.privacy.cases import (
    ASKED,
    KINDS,
    LOCAL_BY,
    OWNERS,
    PLACES,
    SMALL,
    UPSTREAM,
    Case,
    secret_of,
)
from bench.privacy.leak import leaked
from bench.privacy.world import Outcome, World, world

MAIL = "alice@example.com"


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as running:
        yield running


def _world(runner: asyncio.Runner, **privacy: Any) -> Iterator[World]:
    context = world(**privacy)
    yield runner.run(context.__aenter__())
    runner.run(context.__aexit__(None, None, None))


@pytest.fixture(scope="module")
def strict(runner: asyncio.Runner) -> Iterator[World]:
    yield from _world(runner)


@pytest.fixture(scope="module")
def masking(runner: asyncio.Runner) -> Iterator[World]:
    yield from _world(runner, default_action="mask", actions={"opaque": "ignore"})


CASES = st.builds(
    lambda seed, **fields: Case(
        secret=secret_of(fields["local_by"], random.Random(seed)), **fields
    ),
    seed=st.integers(0, 2**32),
    local_by=st.sampled_from(LOCAL_BY),
    place=st.sampled_from(sorted(PLACES)),
    small=st.sampled_from(SMALL),
    upstream=st.sampled_from(UPSTREAM),
    asked=st.sampled_from(ASKED),
    score=st.sampled_from((0.1, 0.9)),
    stream=st.booleans(),
    min_tier_large=st.booleans(),
)
SHARED = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@settings(max_examples=200, deadline=None, suppress_health_check=SHARED)
@given(CASES)
def test_no_byte_of_a_request_that_must_stay_arrives_outside(
    runner: asyncio.Runner, strict: World, case: Case
) -> None:
    outcome = runner.run(strict.ask(case))
    assert not leaked(case, outcome), outcome.arrived[:200]


@pytest.mark.parametrize("upstream", ["answers", "answers json", "refuses once", "drops once"])
@pytest.mark.parametrize("small", ["full", "down", "broken", "too long", "says nothing"])
def test_the_same_request_arrives_where_nothing_makes_it_stay(
    runner: asyncio.Runner, strict: World, small: str, upstream: str
) -> None:
    # Else the test above would hold of a gateway that sends nothing at all.
    case = Case("", "user", "MarkedWord", small=small, upstream=upstream, score=0.1)
    outcome = runner.run(strict.ask(case))
    assert b"MarkedWord" in outcome.arrived
    assert outcome.tier == "large" and b"MarkedWord" in outcome.answer
    local = runner.run(strict.ask(Case("header", "user", "MarkedWord", small=small, score=0.1)))
    assert (local.arrived, local.connections) == (b"", 0)


def said_in(outcome: Outcome, stream: bool) -> str:
    """The text of an answer."""
    if not stream:
        choice = orjson.loads(outcome.answer)["choices"][0]
        return str(choice.get("text") or choice["message"]["content"])
    events = [orjson.loads(part[6:]) for part in outcome.answer.split(b"\n\n") if part]
    choices = [event["choices"][0] for event in events if event["choices"]]
    return "".join(c.get("text") or c.get("delta", {}).get("content") or "" for c in choices)


@settings(max_examples=40, deadline=None, suppress_health_check=SHARED)
@given(
    kind=st.sampled_from(KINDS),
    place=st.sampled_from(["system", "user", "part", "history", "tool result", "prompt"]),
    upstream=st.sampled_from(["answers", "answers json", "refuses once", "unknown field"]),
    stream=st.booleans(),
    seed=st.integers(0, 2**32),
)
def test_a_masked_find_stays_and_stands_in_the_answer(
    runner: asyncio.Runner,
    masking: World,
    kind: str,
    place: str,
    upstream: str,
    stream: bool,
    seed: int,
) -> None:
    secret = secret_of(kind, random.Random(seed))
    case = Case(kind, place, secret, upstream=upstream, asked="large", stream=stream)
    outcome = runner.run(masking.ask(case))
    assert outcome.error is None
    assert outcome.arrived and secret.encode() not in outcome.arrived
    assert secret in said_in(outcome, stream)
    assert secret not in outcome.written


def test_what_cannot_be_masked_goes_to_the_small_tier(
    runner: asyncio.Runner, masking: World
) -> None:
    outcome = runner.run(masking.ask(Case("email", "end user", MAIL)))
    assert (outcome.tier, outcome.arrived) == ("small", b"")


@pytest.mark.parametrize("local_by", [*KINDS, *OWNERS])
def test_what_must_stay_is_not_even_handed_to_the_tier_outside(
    runner: asyncio.Runner, strict: World, local_by: str
) -> None:
    # The door would stop most of these too, after a detour and in the client's time.
    secret = secret_of(local_by, random.Random(local_by))
    outcome = runner.run(strict.ask(Case(local_by, "user", secret)))
    assert '"tier": "large"' not in outcome.written
    assert outcome.tier == (None if local_by == "model" else "small")
