"""Where a request goes: tables that vary one fact at a time, and what holds for every input."""

from dataclasses import replace
from typing import Any, get_args

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from deployments.protocol.errors import (
    ContextLengthExceeded,
    DeadlineExceeded,
    EngineDead,
    EngineFailure,
    EngineKilled,
    InvalidRequest,
    LocalOnlyConflict,
    Overloaded,
    ServingError,
    TierUnavailable,
    all_errors,
)
from deployments.routing.cause import Cause
from deployments.routing.explain import would_change
from deployments.routing.route import Route, after_answer_check, after_failure, decide
from deployments.routing.signals import Asked, Policy, Signals, Tiers, TierState
from deployments.settings.app import Capability, Need, TierName

TEXT = frozenset[Need]({"tools", "json_schema", "logprobs"})
NEEDS: tuple[Need, ...] = (*get_args(Capability), "vllm")

sets = st.frozensets(st.sampled_from(NEEDS))
hosts = st.frozensets(st.sampled_from(["a.example", "b.example"]))
states = st.builds(
    TierState, up=st.booleans(), remote=st.booleans(), abilities=sets, media_hosts=hosts
)
tier_pairs = st.builds(Tiers, small=states, large=states)
askeds = st.builds(
    Asked,
    tier=st.sampled_from([None, "small", "large"]),
    min_tier_large=st.booleans(),
    local_only=st.booleans(),
    session_large=st.booleans(),
    needs=sets.map(lambda needs: dict.fromkeys(needs, "field")),
    media_hosts=hosts,
    turn_tier=st.sampled_from([None, "small", "large"]),
)
scores = st.none() | st.floats(0, 1)
failures = st.sampled_from(all_errors()).map(lambda cls: cls("failed"))


def tiers(small: dict[str, Any] | None = None, large: dict[str, Any] | None = None) -> Tiers:
    usual = {"up": True, "remote": False, "abilities": TEXT}
    return Tiers(TierState(**{**usual, **(small or {})}), TierState(**{**usual, **(large or {})}))


DOWN = {"up": False}
REMOTE = {"remote": True}
PLAIN: dict[str, Any] = {"abilities": frozenset()}
SEES: dict[str, Any] = {"abilities": TEXT | {"vision"}}


@pytest.mark.parametrize(
    ("score", "tier"),
    [
        (0.0, "small"),
        (0.6999, "small"),
        (0.7, "large"),
        (0.7001, "large"),
        (1.0, "large"),
        (None, "small"),
    ],
)
def test_a_score_at_the_threshold_goes_large(score: float | None, tier: TierName) -> None:
    assert decide(Signals(Asked(), tiers(), score), Policy(0.7, True)) == Route(
        tier, Cause.CLASSIFIER, True
    )


@pytest.mark.parametrize("score", [0.0, 1.0])
@pytest.mark.parametrize(("threshold", "at_one"), [(0.0, "large"), (1.0, "large"), (0.5, "large")])
def test_the_extreme_thresholds_are_no_special_case(
    score: float, threshold: float, at_one: TierName
) -> None:
    expected = at_one if score >= threshold else "small"
    assert decide(Signals(Asked(), tiers(), score), Policy(threshold, True)).tier == expected


VISION: dict[Need, str] = {"vision": "messages[0].content[1]"}
TOOLS: dict[Need, str] = {"tools": "tools"}
VLLM: dict[Need, str] = {"vllm": "top_k"}
HOST = frozenset({"a.example"})
SPEAKS_VLLM: dict[str, Any] = {"abilities": TEXT | {"vllm"}}
FETCHES: dict[str, Any] = {"media_hosts": HOST}
IN_SESSION = {"session_large": True}
IN_LOOP = {"turn_tier": "large"}
# what was asked, tiers, score, budget left -> tier, cause, may fall back
ROUTES = {
    "an easy prompt": ({}, {}, 0.1, True, ("small", "classifier", True)),
    "a hard prompt": ({}, {}, 0.9, True, ("large", "classifier", True)),
    "hard, no budget": ({}, {}, 0.9, False, ("small", "budget_exhausted", True)),
    "easy, no budget": ({}, {}, 0.1, False, ("small", "classifier", True)),
    "middling, in a large session": (IN_SESSION, {}, 0.55, True, ("large", "session", True)),
    "middling, in no session": ({}, {}, 0.55, True, ("small", "classifier", True)),
    "easy, in a large session": (IN_SESSION, {}, 0.49, True, ("small", "classifier", True)),
    "hard, in a large session": (IN_SESSION, {}, 0.9, True, ("large", "classifier", True)),
    "unscored, in a large session": (IN_SESSION, {}, None, True, ("large", "session", True)),
    "a session needs budget": (IN_SESSION, {}, 0.55, False, ("small", "budget_exhausted", True)),
    "tool results of a large turn": (IN_LOOP, {}, None, False, ("large", "tool_loop", True)),
    "tool results of a small turn": (
        {"turn_tier": "small", "session_large": True},
        {},
        None,
        True,
        ("small", "tool_loop", True),
    ),
    "tool results, large down": (
        IN_LOOP,
        {"large": DOWN},
        None,
        True,
        ("small", "large_unavailable", False),
    ),
    "tool results, large outside, local only": (
        {**IN_LOOP, "local_only": True},
        {"large": REMOTE},
        None,
        True,
        ("small", "local_only", False),
    ),
    "a hint beats the turn": (
        {"turn_tier": "small", "min_tier_large": True},
        {},
        None,
        True,
        ("large", "client_hint", False),
    ),
    "hint large": ({"min_tier_large": True}, {}, 0.1, True, ("large", "client_hint", False)),
    "hint large, no budget": (
        {"min_tier_large": True},
        {},
        0.1,
        False,
        ("large", "client_hint", False),
    ),
    "hint beats session": (
        {"min_tier_large": True, "session_large": True},
        {},
        0.1,
        True,
        ("large", "client_hint", False),
    ),
    "small by name": ({"tier": "small"}, {}, 0.9, True, ("small", "client_model", False)),
    "large by name": ({"tier": "large"}, {}, 0.1, False, ("large", "client_model", False)),
    "large by name, down": (
        {"tier": "large"},
        {"large": DOWN},
        0.1,
        True,
        ("large", "client_model", False),
    ),
    "small is down": ({}, {"small": DOWN}, 0.1, True, ("large", "small_unavailable", False)),
    "large is down": ({}, {"large": DOWN}, 0.9, True, ("small", "large_unavailable", False)),
    "both are down": ({}, {"small": DOWN, "large": DOWN}, 0.1, True, ("small", "classifier", True)),
    "a hint does not fall back": (
        {"min_tier_large": True},
        {"large": DOWN},
        0.1,
        True,
        ("large", "client_hint", False),
    ),
    "local only, large inside": (
        {"local_only": True},
        {},
        0.9,
        True,
        ("large", "classifier", True),
    ),
    "local only, large outside": (
        {"local_only": True},
        {"large": REMOTE},
        0.9,
        True,
        ("small", "local_only", False),
    ),
    "local only beats the session": (
        {"local_only": True, "session_large": True},
        {"large": REMOTE},
        0.1,
        True,
        ("small", "local_only", False),
    ),
    "local only, small outside": (
        {"local_only": True},
        {"small": REMOTE},
        0.1,
        True,
        ("large", "local_only", False),
    ),
    "local only, small down": (
        {"local_only": True},
        {"small": DOWN, "large": REMOTE},
        0.1,
        True,
        ("small", "local_only", False),
    ),
    "small cannot": ({"needs": VISION}, {"large": SEES}, 0.1, True, ("large", "capability", False)),
    "small cannot, no budget": (
        {"needs": VISION},
        {"large": SEES},
        0.1,
        False,
        ("large", "capability", False),
    ),
    "small does not speak vLLM": (
        {"needs": VLLM},
        {"large": SPEAKS_VLLM},
        0.1,
        True,
        ("large", "capability", False),
    ),
    "small must not fetch": (
        {"media_hosts": HOST},
        {"large": FETCHES},
        0.1,
        True,
        ("large", "capability", False),
    ),
    "both may fetch": (
        {"media_hosts": HOST},
        {"small": FETCHES, "large": FETCHES},
        0.1,
        True,
        ("small", "classifier", True),
    ),
    "large cannot": ({"needs": TOOLS}, {"large": PLAIN}, 0.9, True, ("small", "capability", False)),
}


@pytest.mark.parametrize(
    ("asked", "state", "score", "budget_left", "expected"), ROUTES.values(), ids=ROUTES
)
def test_a_request_goes(
    asked: Any,
    state: Any,
    score: float | None,
    budget_left: bool,
    expected: tuple[TierName, str, bool],
) -> None:
    route = decide(Signals(Asked(**asked), tiers(**state), score), Policy(0.7, budget_left))
    assert (route.tier, route.cause, route.may_fall_back) == expected


# what was asked, tiers -> error
REFUSALS = {
    "local only names the outside model": (
        {"tier": "large", "local_only": True},
        {"large": REMOTE},
        LocalOnlyConflict,
    ),
    "local only with a hint to the outside": (
        {"min_tier_large": True, "local_only": True},
        {"large": REMOTE},
        LocalOnlyConflict,
    ),
    "local only needs what only the outside has": (
        {"needs": VISION, "local_only": True},
        {"large": SEES | REMOTE},
        LocalOnlyConflict,
    ),
    "local only, both outside": (
        {"local_only": True},
        {"small": REMOTE, "large": REMOTE},
        LocalOnlyConflict,
    ),
    "nobody speaks vLLM": ({"needs": VLLM}, {}, InvalidRequest),
    "nobody may fetch": ({"media_hosts": HOST}, {}, InvalidRequest),
    "the named model must not fetch": (
        {"tier": "small", "media_hosts": HOST},
        {"large": FETCHES},
        InvalidRequest,
    ),
    "a fetch would leave the cluster": (
        {"local_only": True, "media_hosts": HOST},
        {"small": FETCHES, "large": FETCHES},
        LocalOnlyConflict,
    ),
    "a fetch for a named model would leave the cluster": (
        {"tier": "small", "local_only": True, "media_hosts": HOST},
        {"small": FETCHES},
        LocalOnlyConflict,
    ),
    "nobody sees": ({"needs": VISION}, {}, InvalidRequest),
    "the named model does not see": (
        {"tier": "small", "needs": VISION},
        {"large": SEES},
        InvalidRequest,
    ),
    "the hinted model has no tools": (
        {"min_tier_large": True, "needs": TOOLS},
        {"large": PLAIN},
        InvalidRequest,
    ),
}


@pytest.mark.parametrize(("asked", "state", "error"), REFUSALS.values(), ids=REFUSALS)
def test_a_request_is_refused(asked: Any, state: Any, error: type[ServingError]) -> None:
    with pytest.raises(error) as caught:
        decide(Signals(Asked(**asked), tiers(**state), 0.1), Policy(0.7, True))
    assert type(caught.value) is error


@pytest.mark.parametrize(
    ("needs", "asked", "words"),
    [(VISION, {}, "image input"), (VLLM, {}, "only vLLM"), (VLLM, {"tier": "large"}, "only vLLM")],
)
def test_a_refusal_names_the_parameter_and_what_is_missing(
    needs: dict[Need, str], asked: dict[str, Any], words: str
) -> None:
    with pytest.raises(InvalidRequest, match=words) as caught:
        decide(Signals(Asked(needs=TOOLS | needs, **asked), tiers(), 0.1), Policy(0.7, True))
    assert [caught.value.param] == list(needs.values())
    assert str(caught.value.param) in caught.value.message
    assert "tool calls" not in caught.value.message


# tier, error, other tier's state -> next (tier, cause), or None: the error itself
FAILURES = {
    "small is full": ("small", Overloaded, {}, ("large", "small_saturated")),
    "small is gone": ("small", TierUnavailable, {}, ("large", "small_unavailable")),
    "small broke": ("small", EngineFailure, {}, ("large", "small_unavailable")),
    "large is full": ("large", Overloaded, {}, ("small", "large_unavailable")),
    "large is gone": ("large", TierUnavailable, {}, ("small", "large_unavailable")),
    "large broke": ("large", EngineFailure, {}, ("small", "large_unavailable")),
    "too long for small": ("small", ContextLengthExceeded, {}, ("large", "context_window")),
    "too long for large": ("large", ContextLengthExceeded, {}, None),
    "a wrong request": ("small", InvalidRequest, {}, None),
    "too late": ("small", DeadlineExceeded, {}, None),
    "small is full, large down": ("small", Overloaded, {"large": DOWN}, None),
    "large is gone, small down": ("large", TierUnavailable, {"small": DOWN}, None),
}


@pytest.mark.parametrize(("tier", "error", "state", "expected"), FAILURES.values(), ids=FAILURES)
def test_after_a_failure_the_other_tier_steps_in_where_it_can(
    tier: TierName, error: type[ServingError], state: Any, expected: tuple[TierName, str] | None
) -> None:
    route, failure = Route(tier, Cause.CLASSIFIER, True), error("failed")
    if expected is None:
        with pytest.raises(error) as caught:
            after_failure(route, failure, tiers(**state))
        assert caught.value is failure
    else:
        after = after_failure(route, failure, tiers(**state))
        assert (after.tier, after.cause, after.may_fall_back) == (*expected, False)


@given(failures, tier_pairs, st.sampled_from(Cause), st.sampled_from(["small", "large"]))
def test_a_route_that_may_not_fall_back_never_does(
    error: ServingError, state: Tiers, cause: Cause, tier: TierName
) -> None:
    assume(cause is not Cause.ANSWER_CHECK)
    route = Route(tier, cause, may_fall_back=False)
    assert after_answer_check(route, 1.0, state, Policy(0.7, True)) is None
    with pytest.raises(EngineKilled if isinstance(error, EngineDead) else type(error)):
        after_failure(route, error, state)


@pytest.mark.parametrize("tier", ["small", "large"])
def test_an_engine_that_died_under_a_request_sends_it_nowhere_else(tier: TierName) -> None:
    with pytest.raises(EngineKilled):
        after_failure(Route(tier, Cause.CLASSIFIER, True), EngineDead("died"), tiers())


def asked_tiers(
    asked: Asked, state: Tiers, score: float | None, budget: bool, errors: list[ServingError | None]
) -> list[Route]:
    """Every route that a request takes while these errors meet it; None: a failed answer check."""
    routes: list[Route] = []
    try:
        route: Route | None = decide(Signals(asked, state, score), Policy(0.7, budget))
        for error in errors:
            assert route is not None
            routes.append(route)
            route = (
                after_answer_check(route, 1.0, state, Policy(0.7, True))
                if error is None
                else after_failure(route, error, state)
            )
            if route is None:
                return routes
        assert route is not None
        routes.append(route)
    except ServingError:
        pass
    return routes


chains = st.lists(st.none() | failures, max_size=6)


@given(askeds, tier_pairs, scores, st.booleans(), chains)
def test_every_request_gets_a_route_or_our_error_from_at_most_two_tiers(
    asked: Asked, state: Tiers, score: float | None, budget: bool, errors: Any
) -> None:
    routes = asked_tiers(asked, state, score, budget, errors)
    # An answer that was to be bettered, and could not be, is asked for again.
    again = len(routes) == 3 and routes[1].cause is Cause.ANSWER_CHECK
    assert len(routes) <= 2 + again
    assert len({route.tier for route in routes}) == len(routes) - again


@given(askeds, tier_pairs, scores, st.booleans(), chains)
def test_a_local_only_request_never_leaves_by_any_chain_of_failures(
    asked: Asked, state: Tiers, score: float | None, budget: bool, errors: Any
) -> None:
    asked = replace(asked, local_only=True)
    for route in asked_tiers(asked, state, score, budget, errors):
        assert not state.state(route.tier).remote


@given(askeds, st.sampled_from(["small", "large"]), tier_pairs, scores, chains)
def test_a_named_model_is_the_only_one_asked(
    asked: Asked, tier: TierName, state: Tiers, score: float | None, errors: Any
) -> None:
    asked = replace(asked, tier=tier)
    assert {r.tier for r in asked_tiers(asked, state, score, True, errors)} <= {tier}


@given(askeds, tier_pairs, scores, st.booleans(), chains)
def test_no_tier_is_asked_for_what_it_cannot_do(
    asked: Asked, state: Tiers, score: float | None, budget: bool, errors: Any
) -> None:
    for route in asked_tiers(asked, state, score, budget, errors):
        assert state.state(route.tier).able(asked)


@given(askeds, tier_pairs, scores, st.booleans())
def test_a_hint_to_the_large_tier_never_goes_small(
    asked: Asked, state: Tiers, score: float | None, budget: bool
) -> None:
    asked = replace(asked, min_tier_large=True, tier=None, local_only=False)
    assert {r.tier for r in asked_tiers(asked, state, score, budget, [])} <= {"large"}


@given(askeds, tier_pairs, scores)
def test_a_dry_run_can_explain_every_route(asked: Asked, state: Tiers, score: float | None) -> None:
    try:
        decide(Signals(asked, state, score), Policy(0.7, True))
    except ServingError:
        return
    would_change(Signals(asked, state, score), Policy(0.7, True))


@pytest.mark.parametrize(
    ("asked", "score", "expected"),
    [
        (
            {},
            0.2,
            [
                "a threshold at or below 0.200 (now 0.700)",
                "the header x-smallfirst-min-tier: large",
            ],
        ),
        (
            {},
            0.9,
            ["a threshold above 0.900 (now 0.700)", "the header x-smallfirst-local-only: true"],
        ),
        ({"tier": "small"}, None, ['model "auto" would let the score decide']),
        (
            IN_SESSION,
            0.55,
            [
                "a threshold above 0.750 (now 0.700)",
                "the header x-smallfirst-local-only: true",
                "another x-smallfirst-session",
            ],
        ),
        (
            IN_SESSION,
            0.8,
            ["a threshold above 1.000 (now 0.700)", "the header x-smallfirst-local-only: true"],
        ),
        (
            IN_SESSION,
            0.3,
            [
                "a threshold at or below 0.500 (now 0.700)",
                "the header x-smallfirst-min-tier: large",
            ],
        ),
        # What stays in the cluster, or its key bars, no header sends out.
        ({"local_only": True}, 0.9, []),
        ({"barred": {"large": Cause.BUDGET_EXHAUSTED}}, 0.9, []),
        ({"min_tier_large": True}, 0.2, []),
    ],
)
def test_a_dry_run_says_what_would_change_the_route(
    asked: Any, score: float | None, expected: list[str]
) -> None:
    signals = Signals(Asked(**asked), tiers(large=REMOTE), score)
    assert would_change(signals, Policy(0.7, True)) == expected


def test_a_dry_run_names_the_cap_that_keeps_a_request_small() -> None:
    signals = Signals(Asked(), tiers(large=REMOTE), 0.9)
    assert would_change(signals, Policy(0.7, False)) == [
        "room under the cap, escalation.max_rate",
        "the header x-smallfirst-min-tier: large",
    ]


@pytest.mark.parametrize(
    ("tier", "may_fall_back", "state", "expected"),
    [
        ("small", True, {}, Route("large", Cause.ANSWER_CHECK, False)),
        ("small", False, {}, None),
        ("large", True, {}, None),
        ("small", True, {"large": DOWN}, None),
    ],
)
def test_an_empty_small_answer_goes_large_where_large_can_answer(
    tier: TierName, may_fall_back: bool, state: Any, expected: Route | None
) -> None:
    route = Route(tier, Cause.CLASSIFIER, may_fall_back)
    assert after_answer_check(route, 1.0, tiers(**state), Policy(0.7, True)) == expected


@pytest.mark.parametrize(
    ("claim", "policy", "kept"),
    [
        (0.7, Policy(0.7, True), False),
        (0.6999, Policy(0.7, True), True),
        (1.0, Policy(0.7, False), True),
        (1.0, Policy(1.001, True), True),
    ],
)
def test_an_answers_claim_is_held_against_the_same_threshold_and_cap(
    claim: float, policy: Policy, kept: bool
) -> None:
    route = Route("small", Cause.CLASSIFIER, may_fall_back=True)
    assert (after_answer_check(route, claim, tiers(), policy) is None) is kept


@given(askeds, tier_pairs, scores, st.booleans(), sets)
def test_needing_more_never_leads_down(
    asked: Asked, state: Tiers, score: float | None, budget: bool, more: frozenset[Need]
) -> None:
    """Floors only go up: what a large model answered, it answers with a need more, or nobody."""
    usual = replace(asked, tier=None)
    needier = replace(usual, needs={**usual.needs, **dict.fromkeys(more, "field")})
    routes = []
    for one in (usual, needier):
        try:
            routes.append(decide(Signals(one, state, score), Policy(0.7, budget)))
        except ServingError:
            return
    first, then = routes
    if first.tier == "large" and state.large.able(needier):
        assert then.tier == "large"


def test_what_must_stay_and_names_an_image_outside_is_not_left_to_quality() -> None:
    here = TierState(up=True, remote=False, abilities=frozenset(), media_hosts=HOST)
    tiers = Tiers(here, here)
    assert Signals(Asked(media_hosts=HOST), tiers, 0.9).open
    refused = Signals(Asked(media_hosts=HOST, local_only=True), tiers, 0.9)
    assert not refused.open
    with pytest.raises(LocalOnlyConflict):
        decide(refused, Policy(0.7, affords=True))
