"""A request of another API as the chat that it becomes: checked as any chat, with errors in the
words of the API that was asked."""

from collections.abc import Mapping
from copy import copy
from dataclasses import replace
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from deployments.protocol.api import Api
from deployments.protocol.errors import InvalidRequest, ServingError
from deployments.protocol.openai_request import ParsedRequest, parse_fields, refuse
from deployments.protocol.request_fields import Field
from deployments.protocol.request_mistake import mistake
from deployments.protocol.request_schema import names

Checked = TypeVar("Checked", bound=BaseModel)
Raised = TypeVar("Raised", bound=ServingError)


def checked(schema: type[Checked], given: dict[str, Any], table: Mapping[str, Field]) -> Checked:
    """The request's own parts in their types. Raises: `InvalidRequest`."""
    refuse(given, table)
    try:
        return schema.model_validate(given)
    except ValidationError as error:
        raise mistake(error, frozenset(names(schema))) from None


def as_chat(
    api: Api, given: dict[str, Any], chat: dict[str, Any], table: Mapping[str, Field],
    own_words: Mapping[str, str],
) -> ParsedRequest:  # fmt: skip
    """The checked chat that stands for a request: its own fields of chat's names, and `chat`.

    Raises: `InvalidRequest`.
    """
    same = {
        name: value
        for name, value in given.items()
        if name in table and table[name].treatment in ("passed", "vllm", "openai", "ours")
    }
    if given.get("stream"):
        chat = {**chat, "stream_options": {"include_usage": True}}
    try:
        parsed = parse_fields("chat", {**same, **chat})
    except InvalidRequest as error:
        raise in_own_words(error, own_words) from None
    dropped = (name for name in given if name not in table or table[name].treatment == "ignored")
    return replace(
        parsed,
        api=api,
        needs={need: _own(param, own_words) for need, param in parsed.needs.items()},
        ignored=tuple(name for name in dropped if not _asks_nothing(name, given, table)),
    )


def in_own_words(error: Raised, own_words: Mapping[str, str]) -> Raised:
    """The error as the client knows its request: chat's parameters under the names it wrote."""
    if error.param is None:
        return error
    param = _own(error.param, own_words)
    said = copy(error)
    said.param = param
    said.message = error.message.replace(f"'{error.param}", f"'{param}")
    return said


def _own(param: str, own_words: Mapping[str, str]) -> str:
    """The client's name of a chat's parameter; places inside a renamed one are not the client's."""
    root = param.partition(".")[0].partition("[")[0]
    # A tool of the other APIs is its function.
    return own_words.get(root, param.replace(".function", "") if root == "tools" else param)


def _asks_nothing(name: str, given: dict[str, Any], table: Mapping[str, Field]) -> bool:
    return name in table and table[name].asks_nothing(given[name])
