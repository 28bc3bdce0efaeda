"""vLLM's own request fields, through HTTP, to real vLLM: kept, or refused in one line."""

import json
from typing import Any

import httpx
import openai
import pytest

from tests.endpoint import Endpoint

pytestmark = pytest.mark.timeout(400)
ASK: list[Any] = [{"role": "user", "content": "Is the sky blue? Answer at length."}]
# One word, so that no white space of a small model fills the answer before its end.
CITY = {"enum": ["Paris", "Rome"]}


def said(client: openai.OpenAI, **fields: Any) -> str:
    answer = client.chat.completions.create(
        model="small",
        messages=ASK,
        max_tokens=20,
        extra_body=fields,
    )
    return answer.choices[0].message.content or ""


@pytest.mark.parametrize(
    ("fields", "allowed"),
    [
        ({"structured_outputs": {"choice": ["yes", "no"]}}, {"yes", "no"}),
        ({"guided_choice": ["up", "down"]}, {"up", "down"}),
        ({"structured_outputs": {"regex": "(red|green)"}}, {"red", "green"}),
        ({"guided_regex": "(red|green)"}, {"red", "green"}),
        ({"structured_outputs": {"grammar": 'root ::= "left" | "right"'}}, {"left", "right"}),
        ({"guided_grammar": 'root ::= "left" | "right"'}, {"left", "right"}),
    ],
)
def test_a_constraint_is_kept(
    client: openai.OpenAI, fields: dict[str, Any], allowed: set[str]
) -> None:
    assert said(client, **fields) in allowed


@pytest.mark.parametrize(
    "fields",
    [
        {"structured_outputs": {"json": CITY}},
        {"structured_outputs": {"json": json.dumps(CITY)}},
        {"guided_json": CITY},
    ],
)
def test_a_schema_is_kept(client: openai.OpenAI, fields: dict[str, Any]) -> None:
    assert json.loads(said(client, **fields)) in ("Paris", "Rome")


def post(endpoint: Endpoint, **fields: Any) -> httpx.Response:
    body = {"model": "small", "messages": ASK, "max_tokens": 3, **fields}
    return httpx.post(f"{endpoint.url}/v1/chat/completions", json=body, timeout=120)


def test_what_openai_allows_is_answered(endpoint: Endpoint) -> None:
    greedy = post(endpoint, temperature=0).json()["choices"][0]["message"]["content"]
    assert post(endpoint, top_p=0).json()["choices"][0]["message"]["content"] == greedy
    several = post(endpoint, temperature=0, n=3).json()["choices"]
    assert [choice["message"]["content"] for choice in several] == [greedy] * 3
    turns = [*ASK, {"role": "assistant", "content": "Yes.", "tool_calls": None, "refusal": None}]
    assert post(endpoint, messages=[*turns, *ASK]).status_code == 200


def test_ids_and_logprobs_come_back(endpoint: Endpoint) -> None:
    answer = post(endpoint, return_token_ids=True, prompt_logprobs=1).json()
    assert len(answer["choices"][0]["token_ids"]) == 3
    assert answer["prompt_logprobs"]
    only = post(endpoint, allowed_token_ids=[42], return_token_ids=True).json()
    assert set(only["choices"][0]["token_ids"]) == {42}


def test_usage_comes_in_every_event_where_asked(endpoint: Endpoint) -> None:
    for each in (True, False):
        options = {"include_usage": True, "continuous_usage_stats": each}
        text = post(endpoint, stream=True, stream_options=options).text
        lines = text.splitlines()
        events = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
        counted = [event for event in events if event.get("usage")]
        assert counted == (events if each else events[-1:])


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"structured_outputs": {"regex": "(ACME"}}, "structured_outputs"),
        ({"allowed_token_ids": [2**30]}, "allowed_token_ids"),
        ({"truncate_prompt_tokens": 2**30}, "truncate_prompt_tokens"),
    ],
)
def test_a_refusal_of_the_engine_is_one_line(
    endpoint: Endpoint, fields: dict[str, Any], param: str
) -> None:
    answer = post(endpoint, **fields)
    error = answer.json()["error"]
    assert answer.status_code == 400
    assert error["param"] in (param, None)
    assert "ACME" not in error["message"] and "\n" not in error["message"]
