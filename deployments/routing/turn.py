"""Where in its conversation a request stands: a new turn of the user's, or tool results in one."""

from dataclasses import dataclass
from typing import Any

import orjson

from classifier.text import harness_wrote
from deployments.protocol.openai_request import ParsedRequest

TOOL_ROLES = ("tool", "function")


@dataclass(frozen=True, slots=True)
class Turn:
    """What routing must know of a conversation's end."""

    # What the classifier is to judge; None: the user's turn has no text, and an older one would
    # say nothing of it.
    scored: list[dict[str, Any]] | str | None
    # Whether the request only brings tool results back into a turn that is under way.
    continues: bool = False
    # What the user has said so far, as bytes that identify the turn. None: no tool loop can follow.
    said: bytes | None = None


def turn_of(request: ParsedRequest) -> Turn:
    """The turn of a request; a completion's prompt is a turn of its own."""
    conversation = request.conversation
    if isinstance(conversation, str):
        return Turn(conversation)
    conversation = _without_shown(conversation)
    at = _last_user(conversation)
    if at is None:
        return Turn(conversation)
    continues = _last_role(conversation) in TOOL_ROLES
    scored = conversation[: at + 1] if continues else conversation
    said = None
    if continues or request.body.get("tools") or request.body.get("functions"):
        # Only what the user said: clients rewrite their own system message and strip answers of
        # their reasoning between two steps of one loop.
        users = [message.get("content") for message in scored if _is_users(message)]
        said = orjson.dumps(users)
    return Turn(scored if _has_text(conversation[at]) else None, continues, said)


def _without_shown(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The messages without the pictures of a tool's results: a tool's message has no place for
    them, and clients show them as a user's message behind it."""
    before: list[dict[str, Any] | None] = [None, *messages]
    return [
        message
        for message, last in zip(messages, before, strict=False)
        if not (last and last.get("role") in TOOL_ROLES and _is_pictures(message))
    ]


def _is_pictures(message: dict[str, Any]) -> bool:
    parts = message.get("content")
    return (
        message.get("role") == "user"
        and isinstance(parts, list)
        and all(isinstance(part, dict) and part.get("type") == "image_url" for part in parts)
    )


def _last_user(messages: list[dict[str, Any]]) -> int | None:
    for at in range(len(messages) - 1, -1, -1):
        if _is_users(messages[at]):
            return at
    return None


def _last_role(messages: list[dict[str, Any]]) -> Any:
    """Whose the last message is, of those that are not a harness's: agents put reminders and the
    state of an editor beside tool results, as messages of the user or of the system."""
    for message in reversed(messages):
        role = message.get("role")
        if _is_users(message) or role not in ("user", "system", "developer"):
            return role
    return None


def _is_users(message: dict[str, Any]) -> bool:
    return message.get("role") == "user" and not harness_wrote(message.get("content"))


def _has_text(message: dict[str, Any]) -> bool:
    content = message.get("content")
    parts = content if isinstance(content, list) else [content]
    texts = (part.get("text") if isinstance(part, dict) else part for part in parts)
    return any(isinstance(text, str) and text.strip() for text in texts)
