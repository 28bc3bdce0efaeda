"""A word of another API is refused by name: it would be lost, and the answer be another one."""

from typing import Any

import orjson
import pytest

from deployments.protocol.api import Api
from deployments.protocol.apis import parse_call
from deployments.protocol.errors import InvalidRequest

MESSAGES = [{"role": "user", "content": "Hello"}]
BODIES: dict[Api, dict[str, Any]] = {
    "chat": {"messages": MESSAGES},
    "responses": {"input": "Hello"},
    "messages": {"messages": MESSAGES, "max_tokens": 5},
}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}


@pytest.mark.parametrize(
    ("api", "name", "value", "instead"),
    [
        ("chat", "max_output_tokens", 5, "max_completion_tokens"),
        ("chat", "system", "Be kind.", "messages"),
        ("chat", "instructions", "Be kind.", "messages"),
        ("chat", "stop_sequences", ["x"], "stop"),
        ("responses", "max_tokens", 5, "max_output_tokens"),
        ("responses", "max_completion_tokens", 5, "max_output_tokens"),
        ("responses", "response_format", SCHEMA, "text.format"),
        ("responses", "reasoning_effort", "low", "reasoning.effort"),
        ("responses", "guided_json", {"type": "object"}, "structured_outputs"),
        ("messages", "stop", ["x"], "stop_sequences"),
        ("messages", "response_format", SCHEMA, "output_config.format"),
        ("messages", "structured_outputs", {"choice": ["a"]}, "output_config.format"),
        ("messages", "guided_regex", "a+", "output_config.format"),
    ],
)
def test_another_apis_word_is_refused_with_the_right_one(
    api: Api, name: str, value: Any, instead: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_call(api, orjson.dumps({**BODIES[api], name: value}))
    assert caught.value.param == name
    assert f"'{instead}'" in caught.value.message


@pytest.mark.parametrize("api", ["responses", "messages"])
def test_more_than_one_answer_is_refused_where_there_is_one(api: Api) -> None:
    parse_call(api, orjson.dumps({**BODIES[api], "n": 1}))
    with pytest.raises(InvalidRequest) as caught:
        parse_call(api, orjson.dumps({**BODIES[api], "n": 2}))
    assert caught.value.param == "n"
