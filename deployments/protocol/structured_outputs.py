"""vLLM's `structured_outputs`: one constraint on the answer, and the older names it had."""

from typing import Annotated, Any

import orjson
from pydantic import (
    AfterValidator,
    Field,
    StrictBool,
    Tag,
    model_validator,
)

from deployments.protocol.errors import InvalidRequest
from deployments.protocol.messages import Checked
from deployments.protocol.request_json import MAX_DEPTH, too_deep
from deployments.protocol.request_mistake import branch_by, must, text_or_object

MAX_CHOICES = 1024
CONSTRAINTS = ("json", "regex", "choice", "grammar", "json_object", "structural_tag")
# vLLM's names before 0.12 -> the field of `structured_outputs`.
GUIDED = {
    "guided_json": "json",
    "guided_regex": "regex",
    "guided_choice": "choice",
    "guided_grammar": "grammar",
    "guided_whitespace_pattern": "whitespace_pattern",
}


def _schema_text(text: str) -> str:
    if too_deep(text):
        raise must(f"it is nested more than {MAX_DEPTH} levels deep")
    try:
        schema = orjson.loads(text)
    except ValueError:
        raise must("a string must hold a JSON schema") from None
    if not isinstance(schema, dict):
        raise must("a string must hold a JSON schema")
    return text


def _pattern(text: str) -> str:
    if not text.strip() or "\0" in text:
        raise must("it must not be empty, nor hold a NUL")
    return text


_FIELDS = frozenset(CONSTRAINTS) | {
    "whitespace_pattern",
    "disable_any_whitespace",
    "disable_additional_properties",
}
Pattern = Annotated[str, AfterValidator(_pattern)]


class StructuredOutputs(Checked):
    """Exactly one constraint, with vLLM's options."""

    # The attribute cannot be named as the field is: pydantic's models have a `json`.
    json_: (
        Annotated[
            Annotated[Annotated[str, AfterValidator(_schema_text)], Tag("<text>")]
            | Annotated[dict[str, Any], Tag("<object>")],
            branch_by(text_or_object, "it must be a JSON schema"),
        ]
        | None
    ) = Field(None, alias="json")
    regex: Pattern | None = None
    choice: (
        Annotated[
            list[Annotated[str, Field(min_length=1)]],
            Field(min_length=1, max_length=MAX_CHOICES, fail_fast=True),
        ]
        | None
    ) = None
    grammar: Pattern | None = None
    json_object: StrictBool | None = None
    structural_tag: Annotated[str, AfterValidator(_schema_text)] | None = None
    whitespace_pattern: Annotated[str, Field(min_length=1)] | None = None
    disable_any_whitespace: StrictBool = False
    disable_additional_properties: StrictBool = False

    @model_validator(mode="before")
    @classmethod
    def _known(cls, value: Any) -> Any:
        # pydantic would report every single field of a million that it does not know.
        if isinstance(value, dict) and value.keys() - _FIELDS:
            raise must("it has a field that is none of vLLM's")
        return value

    @model_validator(mode="after")
    def _one(self) -> "StructuredOutputs":
        given = [self.json_, self.regex, self.choice, self.grammar, self.structural_tag]
        if sum(value is not None for value in given) + (self.json_object is True) != 1:
            raise must(f"it must hold exactly one of {', '.join(CONSTRAINTS)}")
        if self.json_object is False:
            raise must("json_object must be true, or left out")
        return self


def with_older_names(body: dict[str, Any]) -> dict[str, Any]:
    """The body with `guided_*` said as `structured_outputs`.

    Raises: `InvalidRequest` where a request says both, or two constraints.
    """
    given = {name: body[name] for name in GUIDED if body.get(name) is not None}
    if not given:
        return body
    first = next(iter(given))
    if body.get("structured_outputs") is not None:
        raise InvalidRequest(f"'{first}' and 'structured_outputs' cannot both be set.", first)
    constraint = {GUIDED[name]: value for name, value in given.items()}
    if len(constraint.keys() & set(CONSTRAINTS)) != 1:
        raise InvalidRequest("Set exactly one of the guided_* constraints.", first)
    rest = {name: value for name, value in body.items() if name not in GUIDED}
    return {**rest, "structured_outputs": constraint}
