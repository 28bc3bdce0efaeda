"""What asks for tokens and not for an answer: vLLM's `/tokenize` and `/detokenize`."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

from pydantic import Field, StrictBool, StrictStr, ValidationError

from deployments.protocol.engine import Purpose
from deployments.protocol.errors import InvalidRequest
from deployments.protocol.messages import Checked
from deployments.protocol.openai_request import (
    ParsedRequest,
    parse_fields,
    refuse,
    without_nulls_of,
)
from deployments.protocol.request_fields import FIELDS
from deployments.protocol.request_json import load_object
from deployments.protocol.request_mistake import mistake
from deployments.protocol.request_schema import TokenIds, names
from deployments.settings.app import Need

# Of a chat's fields those that its prompt is made of.
PROMPT_FIELDS = frozenset(
    {"messages", "tools", "chat_template_kwargs", "add_generation_prompt"}
    | {"continue_final_message", "add_special_tokens"}
)


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """A request that costs no generation. Its `repr` holds nothing of the client's."""

    model: str = field(repr=False)
    purpose: Purpose
    body: dict[str, Any] = field(repr=False)
    # As a chat's: an engine fetches a prompt's images to count them, too.
    needs: Mapping[Need, str] = field(default_factory=dict)
    media_hosts: frozenset[str] = field(default=frozenset(), repr=False)


class _Text(Checked):
    model: Annotated[StrictStr, Field(min_length=1)] = "auto"
    prompt: StrictStr
    add_special_tokens: StrictBool = True
    return_token_strs: StrictBool = False


class _Strings(Checked):
    model: Annotated[StrictStr, Field(min_length=1)] = "auto"
    return_token_strs: StrictBool = False


class _Tokens(Checked):
    model: Annotated[StrictStr, Field(min_length=1)] = "auto"
    tokens: TokenIds


def parse_tokenize(raw: bytes) -> TokenRequest:
    """A text, or a chat whose prompt is to be seen as tokens. Raises: `InvalidRequest`."""
    given = without_nulls_of(load_object(raw))
    if "messages" not in given:
        text = _checked(_Text, given)
        return TokenRequest(text.model, "tokenize", text.model_dump(exclude={"model"}))
    if "prompt" in given:
        raise InvalidRequest("'prompt' cannot be set beside 'messages'.", "prompt")
    refuse(given, FIELDS["chat"])
    strings = _checked(_Strings, given)
    kept = {name: value for name, value in given.items() if name in PROMPT_FIELDS}
    chat = counted(parse_fields("chat", {**kept, "model": strings.model}))
    return replace(chat, body={**chat.body, "return_token_strs": strings.return_token_strs})


def parse_detokenize(raw: bytes) -> TokenRequest:
    """Tokens whose text is wanted. Raises: `InvalidRequest`."""
    tokens = _checked(_Tokens, without_nulls_of(load_object(raw)))
    return TokenRequest(tokens.model, "detokenize", {"tokens": tokens.tokens})


def counted(chat: ParsedRequest) -> TokenRequest:
    """The prompt of a checked chat."""
    body = {name: value for name, value in chat.body.items() if name in PROMPT_FIELDS}
    return TokenRequest(chat.model, "tokenize", body, chat.needs, chat.media_hosts)


def _checked(schema: Any, given: dict[str, Any]) -> Any:
    try:
        return schema.model_validate(given)
    except ValidationError as error:
        raise mistake(error, frozenset(names(schema))) from None
