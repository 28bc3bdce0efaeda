"""A Messages request of Anthropic's as the chat that it means.

vLLM's own class makes the same translation, for vLLM only (its `anthropic/serving.py`).
"""

from typing import Any

import orjson

from deployments.protocol.anthropic_answer import AnthropicAnswer
from deployments.protocol.anthropic_fields import COUNT_FIELDS, MESSAGES_FIELDS, OWN_WORDS
from deployments.protocol.anthropic_schema import (
    AnthropicMessage,
    AnthropicTool,
    CountTokensRequest,
    ImageBlock,
    MessagesRequest,
    TextBlock,
    Thinking,
    ToolChoice,
    ToolResult,
    ToolUse,
)
from deployments.protocol.errors import InvalidRequest
from deployments.protocol.openai_request import ParsedRequest, without_nulls_of
from deployments.protocol.request_json import load_object
from deployments.protocol.translated import as_chat, checked

_CHOICES = {"auto": "auto", "any": "required", "none": "none"}


def parse_messages(raw: bytes) -> tuple[ParsedRequest, AnthropicAnswer]:
    """The chat in a body, and how its answer is told. Raises: `InvalidRequest`."""
    given = without_nulls_of(load_object(raw))
    request = checked(MessagesRequest, given, MESSAGES_FIELDS)
    chat = chat_fields(request) | {"max_completion_tokens": request.max_tokens}
    if given.get("stop_sequences"):
        chat["stop"] = given["stop_sequences"]
    if request.metadata and request.metadata.user_id is not None:
        chat["user"] = request.metadata.user_id
    parsed = as_chat("messages", given, chat, MESSAGES_FIELDS, OWN_WORDS)
    return parsed, AnthropicAnswer(parsed.model)


def parse_count(raw: bytes) -> ParsedRequest:
    """The chat whose tokens are to be counted. Raises: `InvalidRequest`."""
    given = without_nulls_of(load_object(raw))
    request = checked(CountTokensRequest, given, COUNT_FIELDS)
    # What is no part of a prompt may stand there all the same.
    kept = {n: value for n, value in given.items() if n in ("model", "chat_template_kwargs")}
    return as_chat("messages", kept, chat_fields(request), COUNT_FIELDS, OWN_WORDS)


def chat_fields(request: CountTokensRequest) -> dict[str, Any]:
    """What makes the prompt, and binds the answer."""
    fields: dict[str, Any] = {"messages": _messages(request)}
    if request.messages[-1].role == "assistant" and "tool_calls" not in fields["messages"][-1]:
        fields |= {"add_generation_prompt": False, "continue_final_message": True}
    if request.tools:
        fields["tools"] = list(map(_tool, request.tools))
    if request.tool_choice is not None:
        fields |= _choice(request.tool_choice, bool(request.tools))
    config = request.output_config
    if request.thinking is not None and request.thinking.type == "disabled":
        fields["reasoning_effort"] = "none"
    if config is not None and config.effort is not None:
        fields["reasoning_effort"] = config.effort
    form = (config.format if config is not None else None) or request.output_format
    if form is not None:
        schema = {"name": "answer", "schema": form.schema_}
        fields["response_format"] = {"type": "json_schema", "json_schema": schema}
    return fields


def _tool(tool: AnthropicTool) -> dict[str, Any]:
    function = {"name": tool.name, "description": tool.description, "strict": tool.strict,
                "parameters": tool.input_schema}  # fmt: skip
    return {"type": "function", "function": without_nulls_of(function)}


def _choice(choice: ToolChoice, has_tools: bool) -> dict[str, Any]:
    if choice.type == "tool":
        if not choice.name:
            raise InvalidRequest("Invalid 'tool_choice.name': it is missing.", "tool_choice.name")
        chosen: Any = {"type": "function", "function": {"name": choice.name}}
    else:
        chosen = _CHOICES[choice.type]
    fields: dict[str, Any] = {} if chosen == "auto" and not has_tools else {"tool_choice": chosen}
    return fields | ({"parallel_tool_calls": False} if choice.disable_parallel_tool_use else {})


def _messages(request: CountTokensRequest) -> list[dict[str, Any]]:
    system = request.system
    texts = [system] if isinstance(system, str) else [block.text for block in system or []]
    messages: list[dict[str, Any]] = []
    called: set[str] = set()
    for place, message in enumerate(request.messages):
        if message.role == "system" and not messages and (first := _texts(message)) is not None:
            texts += first  # templates want one system message
        elif isinstance(message.content, str):
            messages.append({"role": message.role, "content": message.content})
        elif message.role == "assistant":
            messages.append(_assistant(message, place, called))
        else:
            messages += _told(message, place, called)
    said = "\n\n".join(text for text in texts if text)
    return [{"role": "system", "content": said}, *messages] if said else messages


def _texts(message: AnthropicMessage) -> list[str] | None:
    """A message's texts, where it is nothing else."""
    if isinstance(message.content, str):
        return [message.content]
    texts = [block.text for block in message.content if isinstance(block, TextBlock)]
    return texts if len(texts) == len(message.content) else None


def _assistant(message: AnthropicMessage, place: int, called: set[str]) -> dict[str, Any]:
    """What the model thought, said and called: one message of a chat."""
    thoughts: list[str] = []
    texts: list[dict[str, Any]] = []
    calls: list[dict[str, Any]] = []
    for at, block in enumerate(message.content):
        if isinstance(block, TextBlock):
            texts.append({"type": "text", "text": block.text})
        elif isinstance(block, Thinking):
            thoughts.append(block.thinking)
        elif isinstance(block, ToolUse):
            called.add(block.id)
            function = {"name": block.name, "arguments": orjson.dumps(block.input).decode()}
            calls.append({"id": block.id, "type": "function", "function": function})
        elif isinstance(block, ImageBlock | ToolResult):
            raise _misplaced(place, at, "the assistant's turn has none of this type")
    told: dict[str, Any] = {"role": "assistant"}
    if texts or not calls:
        told["content"] = texts[0]["text"] if len(texts) == 1 else texts or ""
    if thoughts:
        told["reasoning"] = "\n".join(thoughts)
    return told | ({"tool_calls": calls} if calls else {})


def _told(message: AnthropicMessage, place: int, called: set[str]) -> list[dict[str, Any]]:
    """Tool results first, as they must follow their calls, then what the user says beside them."""
    results: list[dict[str, Any]] = []
    parts: list[dict[str, Any]] = []
    for at, block in enumerate(message.content):
        if isinstance(block, TextBlock):
            parts.append({"type": "text", "text": block.text})
        elif isinstance(block, ImageBlock):
            parts.append(_image(block))
        elif isinstance(block, ToolResult):
            if block.tool_use_id not in called:
                raise _misplaced(place, at, "its 'tool_use_id' names no 'tool_use' before it")
            results.append(_result(block))
            # A tool's message is text in OpenAI's chat.
            parts += [_image(b) for b in block.content or () if isinstance(b, ImageBlock)]
        else:
            raise _misplaced(place, at, f"the {message.role}'s turn has none of this type")
    plain = len(parts) == 1 and parts[0]["type"] == "text"
    told = {"role": message.role, "content": parts[0]["text"] if plain else parts}
    return [*results, told] if parts else results


def _result(block: ToolResult) -> dict[str, Any]:
    content = block.content
    texts = [part.text for part in content or () if isinstance(part, TextBlock)]
    text = content if isinstance(content, str) else "\n".join(texts)
    # A chat has no mark for it, and a model must know.
    if block.is_error and not text.lower().startswith("error"):
        text = f"Error: {text}"
    return {"role": "tool", "tool_call_id": block.tool_use_id, "content": text}


def _image(block: ImageBlock) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": block.url}}


def _misplaced(place: int, at: int, why: str) -> InvalidRequest:
    param = f"messages[{place}].content[{at}]"
    return InvalidRequest(f"Invalid '{param}': {why}.", param)
