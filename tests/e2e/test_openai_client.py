"""The official `openai` client against real INT4 weights on real vLLM, through real HTTP."""

import json
import time
from typing import Any

import httpx
import jsonschema
import openai
import pytest

from tests.endpoint import Endpoint, wait_until

pytestmark = pytest.mark.timeout(400)
FRANCE: list[Any] = [{"role": "user", "content": "What is the capital of France?"}]
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "maxLength": 20}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "maxLength": 20},
        "country": {"enum": ["France", "Spain"]},
    },
    "required": ["city", "country"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("model", "tier", "served"),
    [
        ("small", "small", "smollm2-135m-int4"),
        ("large", "large", "smollm2-135m"),
        ("smollm2-135m-int4", "small", "smollm2-135m-int4"),
    ],
)
def test_both_tiers_know_the_capital(
    client: openai.OpenAI, model: str, tier: str, served: str
) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model=model, messages=FRANCE, max_tokens=20, temperature=0
    )
    answer = raw.parse()
    assert "Paris" in (answer.choices[0].message.content or "")
    assert answer.model == served
    assert raw.headers["x-smallfirst-tier"] == tier
    assert raw.headers["x-smallfirst-cause"] == "client_model"
    assert answer.usage is not None
    assert answer.usage.prompt_tokens > 5


def test_auto_answers_a_plain_question_small_and_a_hard_one_large(client: openai.OpenAI) -> None:
    hard = (
        "Prove that the sum of the reciprocals of the primes diverges, then derive the asymptotic "
        "density of square-free integers and explain each step rigorously."
    )
    tiers = []
    for text in ("Thank you, that is all for today.", hard):
        raw = client.chat.completions.with_raw_response.create(
            model="auto", messages=[{"role": "user", "content": text}], max_tokens=8
        )
        assert 0 <= float(raw.headers["x-smallfirst-score"]) <= 1
        tiers.append(raw.headers["x-smallfirst-tier"])
    assert tiers == ["small", "large"]


def test_a_stream_says_the_same_as_the_document(client: openai.OpenAI) -> None:
    settings: dict[str, Any] = {"model": "small", "messages": FRANCE, "temperature": 0}
    whole = client.chat.completions.create(max_tokens=24, **settings)
    parts: list[str] = []
    usage = None
    with client.chat.completions.create(
        max_tokens=24, stream=True, stream_options={"include_usage": True}, **settings
    ) as events:
        for event in events:
            usage = event.usage or usage
            parts += [c.delta.content for c in event.choices if c.delta.content]
    assert "".join(parts) == whole.choices[0].message.content
    assert len(parts) > 2
    assert usage is not None and whole.usage is not None
    assert usage.completion_tokens == whole.usage.completion_tokens


def test_without_include_usage_no_event_carries_usage(client: openai.OpenAI) -> None:
    with client.chat.completions.create(
        model="small", messages=FRANCE, max_tokens=5, stream=True
    ) as events:
        assert all(event.choices and event.usage is None for event in events)


@pytest.mark.parametrize(
    "choice", ["required", {"type": "function", "function": {"name": "get_weather"}}]
)
def test_a_forced_tool_call_satisfies_its_schema(client: openai.OpenAI, choice: Any) -> None:
    answer = client.chat.completions.create(
        model="small",
        messages=[{"role": "user", "content": "What is the weather in Paris?"}],
        tools=[WEATHER],
        tool_choice=choice,
        max_tokens=120,
        temperature=0,
    )
    calls = answer.choices[0].message.tool_calls
    assert calls
    assert calls[0].type == "function"
    assert calls[0].function.name == "get_weather"
    jsonschema.validate(json.loads(calls[0].function.arguments), WEATHER["function"]["parameters"])


def test_a_json_schema_is_kept(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="small",
        messages=[{"role": "user", "content": "Where is Paris? Answer as JSON."}],
        response_format={"type": "json_schema", "json_schema": {"name": "place", "schema": SCHEMA}},
        max_tokens=120,
    )
    jsonschema.validate(json.loads(answer.choices[0].message.content or ""), SCHEMA)


def test_logprobs_n_stop_and_seed(client: openai.OpenAI) -> None:
    first, second = (
        client.chat.completions.create(
            model="small",
            messages=FRANCE,
            n=2,
            max_tokens=12,
            seed=7,
            logprobs=True,
            top_logprobs=2,
            temperature=1.0,
        )
        for _ in range(2)
    )
    assert len(first.choices) == 2
    logprobs = first.choices[0].logprobs
    assert logprobs is not None and logprobs.content
    assert len(logprobs.content[0].top_logprobs) == 2
    texts = [[c.message.content for c in answer.choices] for answer in (first, second)]
    assert texts[0] == texts[1]
    stopped = client.chat.completions.create(
        model="small", messages=FRANCE, temperature=0, max_tokens=20, stop=["Paris"]
    )
    assert "Paris" not in (stopped.choices[0].message.content or "")


def test_completions(client: openai.OpenAI) -> None:
    settings: dict[str, Any] = {"model": "small", "prompt": "Once upon a time", "temperature": 0}
    whole = client.completions.create(max_tokens=10, **settings)
    with client.completions.create(max_tokens=10, stream=True, **settings) as events:
        streamed = "".join(event.choices[0].text for event in events if event.choices)
    assert streamed == whole.choices[0].text != ""


def test_models_are_listed_with_the_stand_in_named(client: openai.OpenAI) -> None:
    models = {model.id: model for model in client.models.list()}
    assert {"auto", "small", "large", "smollm2-135m-int4", "smollm2-135m"} == set(models)
    assert models["smollm2-135m"].model_extra["stand_in"] is True  # type: ignore[index]  # our own field


@pytest.mark.parametrize("key", ["max_tokens", "max_completion_tokens"])
def test_a_limit_beyond_the_window_is_what_the_prompt_leaves_of_it(
    client: openai.OpenAI, key: str
) -> None:
    long = [{"role": "user", "content": "hi " * 1990}]
    create: Any = client.chat.completions.with_raw_response.create
    # Checked, an answer that the window may cut goes to the large tier.
    unchecked = {"x-smallfirst-answer-check": "off"}
    answer = create(**{"model": "auto", "messages": long, key: 4096}, extra_headers=unchecked)
    assert answer.headers["x-smallfirst-tier"] == "small"
    usage = answer.parse().usage
    assert usage.prompt_tokens > 1900
    assert usage.total_tokens <= 2048


@pytest.mark.parametrize(
    ("change", "error", "code"),
    [
        ({"model": "gpt-9"}, openai.NotFoundError, "model_not_found"),
        ({"temperature": -1}, openai.BadRequestError, "invalid_request"),
        ({"max_tokens": 0}, openai.BadRequestError, "invalid_request"),
        ({"messages": []}, openai.BadRequestError, "invalid_request"),
        ({"messages": [{"role": "user", "content": "hi " * 9000}]}, openai.BadRequestError,
         "context_length_exceeded"),
        ({"messages": [{"role": "user", "content": "a"}] * 10_000}, openai.BadRequestError,
         "context_length_exceeded"),
        ({"logit_bias": {"999999": 1}}, openai.BadRequestError, "invalid_request"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)  # fmt: skip
def test_a_bad_request_gets_openais_error_and_the_next_one_works(
    client: openai.OpenAI, change: dict[str, Any], error: type[openai.APIStatusError], code: str
) -> None:
    with pytest.raises(error) as raised:
        client.chat.completions.create(**{"model": "auto", "messages": FRANCE, **change})
    assert raised.value.code == code
    assert "Traceback" not in raised.value.message
    assert client.chat.completions.create(model="small", messages=FRANCE, max_tokens=2).choices


@pytest.mark.parametrize("stream", [True, False])
def test_cancelling_stops_the_engine(
    client: openai.OpenAI, endpoint: Endpoint, stream: bool
) -> None:
    settings: dict[str, Any] = {
        "model": "small",
        "messages": FRANCE,
        "max_tokens": 1900,
        "extra_body": {"ignore_eos": True},
    }
    before = len(endpoint.records())
    if stream:
        events = client.chat.completions.create(stream=True, **settings)
        for _ in range(3):
            next(events)
        events.close()
    else:
        with pytest.raises(openai.APITimeoutError):
            client.with_options(timeout=2).chat.completions.create(**settings)
    wait_until(lambda: len(endpoint.records()) > before, 30, "a ledger line")
    assert endpoint.records()[-1]["outcome"] == "cancelled"
    # A stopped engine is idle: a short request is not slowed by the 1,900 tokens.
    started_s = time.monotonic()
    client.chat.completions.create(model="small", messages=FRANCE, max_tokens=2)
    assert time.monotonic() - started_s < 30


def test_the_deadline_gives_504(endpoint: Endpoint) -> None:
    answer = httpx.post(
        f"{endpoint.url}/v1/chat/completions",
        json={"model": "small", "messages": FRANCE, "max_tokens": 1900, "ignore_eos": True},
        headers={"x-request-timeout-seconds": "1.5"},
        timeout=60,
    )
    assert answer.status_code == 504
    assert answer.json()["error"]["code"] == "deadline_exceeded"


def test_the_ledger_has_a_line_a_request_and_no_text(
    client: openai.OpenAI, endpoint: Endpoint
) -> None:
    secret = "xylophone-4711"
    before = len(endpoint.records())
    client.chat.completions.create(
        model="auto", messages=[{"role": "user", "content": secret}], max_tokens=3
    )
    wait_until(lambda: len(endpoint.records()) > before, 20, "a ledger line")
    record = endpoint.records()[-1]
    assert record["outcome"] == "ok"
    assert record["completion_tokens"] > 0
    assert record["ttft_ms"] > 0
    assert secret not in json.dumps(record)


def test_no_prompt_reaches_a_log(endpoint: Endpoint, client: openai.OpenAI) -> None:
    secret = "quetzalcoatl-8255"
    client.chat.completions.create(
        model="small", messages=[{"role": "user", "content": secret}], max_tokens=3
    )
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(
            model="small", messages=[{"role": "user", "content": secret * 2000}]
        )
    logs = next((endpoint.output.parent / "r").rglob("session_latest")) / "logs"
    texts = [p for p in logs.rglob("*") if p.is_file() and p.suffix in (".log", ".out", ".err")]
    assert len(texts) > 5
    assert not [p.name for p in texts if secret in p.read_text(errors="ignore")]
