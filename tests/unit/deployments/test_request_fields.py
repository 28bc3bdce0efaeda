"""No field of a request vanishes in silence: the table knows every field of OpenAI's and vLLM's own
classes, and the parser does with each what the table says."""

import ast
import typing
from importlib import util
from pathlib import Path

import orjson
import pytest
from openai.types import completion_create_params
from openai.types.chat import completion_create_params as chat_create_params

from deployments.protocol.engine import Endpoint
from deployments.protocol.errors import InvalidRequest
from deployments.protocol.openai_request import parse
from deployments.protocol.request_fields import FIELDS, VLLM_ONLY
from deployments.protocol.request_schema import SCHEMAS
from tests.request_bodies import CASES, ENDPOINTS, NEEDED, body


def vllm_fields(endpoint: Endpoint) -> set[str]:
    """The fields of vLLM's request class."""
    name = {"chat": "ChatCompletionRequest", "completions": "CompletionRequest"}[endpoint]
    folder = {"chat": "chat_completion", "completions": "completion"}[endpoint]
    return class_fields(f"openai/{folder}", name)


def class_fields(folder: str, name: str) -> set[str]:
    """The fields of one of vLLM's classes, read from its source: importing vLLM takes 20 s."""
    spec = util.find_spec("vllm")
    assert spec is not None
    root = Path((spec.submodule_search_locations or [""])[0])
    source = (root / "entrypoints" / folder / "protocol.py").read_text(encoding="utf-8")
    (found,) = (
        node
        for node in ast.parse(source).body
        if isinstance(node, ast.ClassDef) and node.name == name
    )
    targets = [node.target for node in found.body if isinstance(node, ast.AnnAssign)]
    names = {target.id for target in targets if isinstance(target, ast.Name)}
    return {field for field in names if not field.startswith("_")}


def openai_fields(endpoint: Endpoint) -> set[str]:
    """The parameters of OpenAI's client."""
    module = {"chat": chat_create_params, "completions": completion_create_params}[endpoint]
    classes = (module.CompletionCreateParamsStreaming, module.CompletionCreateParamsNonStreaming)
    return {name for cls in classes for name in typing.get_type_hints(cls)}


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_every_field_of_vllm_and_openai_is_in_the_table(endpoint: Endpoint) -> None:
    theirs = vllm_fields(endpoint) | openai_fields(endpoint)
    assert len(theirs) > 50
    assert theirs - FIELDS[endpoint].keys() == set()


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_the_table_says_truly_whose_a_field_is(endpoint: Endpoint) -> None:
    vllms, openais = vllm_fields(endpoint), openai_fields(endpoint)
    for name, field in FIELDS[endpoint].items():
        if field.treatment == "vllm":
            assert name in vllms - openais, name
        if field.treatment == "passed":
            assert name in vllms & openais, name
        if field.treatment == "openai":
            assert name in openais - vllms, name
            assert field.why, name


def test_what_is_refused_or_dropped_has_its_reason() -> None:
    for table in FIELDS.values():
        for name, field in table.items():
            assert field.why or field.treatment in ("passed", "vllm"), name


@pytest.mark.parametrize(("endpoint", "name"), CASES)
def test_the_parser_does_what_the_table_says(endpoint: Endpoint, name: str) -> None:
    treatment = FIELDS[endpoint][name].treatment
    given = body(endpoint, name)
    assert given[name] is not None, "the test lacks a value"
    raw = orjson.dumps(given)
    if treatment == "refused":
        with pytest.raises(InvalidRequest) as caught:
            parse(endpoint, raw)
        assert caught.value.param == name
        return
    parsed = parse(endpoint, raw)
    passed = treatment in ("passed", "vllm", "openai")
    assert parsed.body.get(name) == (given[name] if passed else None)
    assert (name in parsed.ignored) is (treatment == "ignored")
    if treatment == "vllm":
        assert parsed.needs["vllm"] == name
    if treatment in ("passed", "openai"):
        assert "vllm" not in parsed.needs


OURS = {
    "model": ("model", "auto"),
    "guided_json": ("structured_outputs", {"json": {"type": "object"}}),
    "guided_regex": ("structured_outputs", {"regex": "a+"}),
    "guided_choice": ("structured_outputs", {"choice": ["a"]}),
    "guided_grammar": ("structured_outputs", {"grammar": "root ::= 'a'"}),
    "guided_whitespace_pattern": (
        "structured_outputs",
        {"json": {"type": "object"}, "whitespace_pattern": " "},
    ),
}


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_what_the_gateway_handles_is_handled(endpoint: Endpoint) -> None:
    ours = {name for name, field in FIELDS[endpoint].items() if field.treatment == "ours"}
    assert ours == OURS.keys()
    for name, (becomes, expected) in OURS.items():
        parsed = parse(endpoint, orjson.dumps(body(endpoint, name)))
        assert parsed.model == "auto"
        assert becomes == "model" or parsed.body[becomes] == expected
        assert becomes == "model" or parsed.needs == {"vllm": "structured_outputs"}


@pytest.mark.parametrize(("endpoint", "name"), CASES)
def test_null_and_a_value_that_asks_nothing_are_absent(endpoint: Endpoint, name: str) -> None:
    if name in ("model", "messages", "prompt"):
        return
    field = FIELDS[endpoint][name]
    for nothing in (None, *field.neutral):
        given = body(endpoint, name) | {name: nothing}
        parsed = parse(endpoint, orjson.dumps(given))
        assert name not in parsed.body
        beside = {n for n in NEEDED.get(name, {}) if not n.startswith("guided")}
        assert set(parsed.needs.values()) <= {*beside, "structured_outputs"}


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_every_field_that_is_passed_on_has_a_type(endpoint: Endpoint) -> None:
    typed = set(SCHEMAS[endpoint].model_fields)
    passed = {
        name
        for name, field in FIELDS[endpoint].items()
        if field.treatment in ("passed", "vllm", "openai")
    }
    assert passed - typed == set()


def test_what_only_vllm_knows_differs_by_endpoint() -> None:
    assert "echo" in VLLM_ONLY["chat"] and "echo" not in VLLM_ONLY["completions"]
    assert "response_format" in VLLM_ONLY["completions"] - VLLM_ONLY["chat"]
