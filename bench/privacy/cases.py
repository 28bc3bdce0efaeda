"""Requests with a secret in any place of any shape, and the path that each is to take."""

import random
import re
import string
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bench.privacy.identifiers import NUMBERS, email, phone, secret, valid

# By what a request must stay: its header, the whole application, its key, its tenant, the model
# that it asks for, a detector; or nothing, so that the recorder is seen to record.
OWNERS = ("header", "config", "key", "tenant", "model")
KINDS = ("card", "iban", "us_ssn", "gb_nhs", "in_aadhaar", "email", "phone", "secret")
LOCAL_BY = (*OWNERS, *KINDS, "")
SMALL = ("answers", "says nothing", "full", "down", "broken", "too long")
UPSTREAM = ("answers", "answers json", "refuses once", "drops once", "unknown field", "down")
KNOWN_BY_FORM = {
    "card": re.compile(r".+"),
    "iban": re.compile(r".+"),
    "us_ssn": re.compile(r"[\d-]{11}"),
    "gb_nhs": re.compile(r"[\d ]{12}"),
    "in_aadhaar": re.compile(r"[\d ]{14}"),
}
ASKED = ("auto", "small", "large")

Body = dict[str, Any]
_TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


def _chat(*messages: Body, **fields: Any) -> Body:
    return {"messages": [*messages, {"role": "user", "content": "Go on."}], **fields}


def _called(arguments: str, result: str) -> Body:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": arguments}}
    return _chat(
        {"role": "user", "content": "Look it up."},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": result},
        tools=[_TOOL],
    )


def _with_schema(schema: Body, description: str = "d") -> Body:
    function = {"name": "f", "description": description, "parameters": schema}
    return _chat(tools=[{"type": "function", "function": function}])


def _object(properties: Body) -> Body:
    return {"type": "object", "properties": properties}


PLACES: dict[str, Callable[[str], Body]] = {
    "system": lambda s: _chat({"role": "system", "content": f"Know that {s}."}),
    "developer": lambda s: _chat({"role": "developer", "content": s}),
    "user": lambda s: _chat({"role": "user", "content": f"It is {s}, remember it."}),
    "part": lambda s: _chat({"role": "user", "content": [{"type": "text", "text": s}]}),
    "history": lambda s: _chat({"role": "assistant", "content": f"You said {s}"}),
    "tool result": lambda s: _called("{}", s),
    "arguments": lambda s: _called('{"x": "' + s.replace('"', '\\"') + '"}', "ok"),
    "description": lambda s: _with_schema(_object({}), s),
    "enum": lambda s: _with_schema(_object({"a": {"enum": [s]}})),
    "property": lambda s: _with_schema(_object({s: {"type": "string"}})),
    "end user": lambda s: _chat(user=s),
    "stop": lambda s: _chat(stop=[s[:120]]),
    "prediction": lambda s: _chat(prediction={"type": "content", "content": s}),
    "metadata": lambda s: _chat(metadata={"note": s}),
    "unknown field": lambda s: _chat(my_own={"deep": [s]}),
    "response format": lambda s: _chat(
        response_format={
            "type": "json_schema",
            "json_schema": {"name": "n", "schema": _object({"a": {"const": s}})},
        }
    ),
    "prompt": lambda s: {"prompt": f"Complete: {s}"},
    "prompts": lambda s: {"prompt": ["one", s]},
}


@dataclass(frozen=True, slots=True)
class Case:
    """One request, why it must stay, and what happens to it on its way."""

    local_by: str
    place: str
    # What must not arrive.
    secret: str
    small: str = "answers"
    upstream: str = "answers"
    asked: str = "auto"
    score: float = 0.9
    stream: bool = False
    min_tier_large: bool = False

    @property
    def body(self) -> Body:
        """The request."""
        return {
            "model": self.asked_model,
            "max_tokens": 8,
            "stream": self.stream,
            **PLACES[self.place](self.secret),
        }

    @property
    def asked_model(self) -> str:
        """The name that it asks for."""
        return "big" if self.local_by == "model" else self.asked


def marked(chance: random.Random) -> str:
    """A word that is in no other request."""
    return "Marked" + "".join(chance.choices(string.ascii_letters, k=16))


def secret_of(local_by: str, chance: random.Random) -> str:
    """What a request that must stay for this reason holds."""
    makers: dict[str, Callable[[random.Random], str]] = {
        "email": email, "phone": phone, "secret": secret
    }  # fmt: skip
    if local_by in makers:
        return makers[local_by](chance)
    if local_by in NUMBERS:
        while not KNOWN_BY_FORM[local_by].fullmatch(value := valid(local_by, chance)):
            pass  # written in a way that only the word before it would give away
        return value
    return marked(chance)


def drawn(chance: random.Random) -> Case:
    """One case by chance."""
    local_by = chance.choice(LOCAL_BY)
    return Case(
        local_by=local_by,
        place=chance.choice(list(PLACES)),
        secret=secret_of(local_by, chance),
        small=chance.choice(SMALL),
        upstream=chance.choice(UPSTREAM),
        asked=chance.choice(ASKED),
        score=chance.random(),
        stream=chance.random() < 0.5,
        min_tier_large=chance.random() < 0.2,
    )
