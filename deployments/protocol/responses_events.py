"""The items of a response, and the events that tell them, in OpenAI's order."""

from collections.abc import Sequence
from typing import Any

from deployments.protocol.answer_parts import Part, Step
from deployments.protocol.api import event
from deployments.protocol.responses_tools import custom_input

# By kind of part: what stands before an item's id, and what its events are called.
_PREFIX = {"reasoning": "rs", "text": "msg", "refusal": "msg", "call": "fc"}
_SAYS = {"reasoning": "reasoning_text", "text": "output_text", "refusal": "refusal"}


class Events:
    """Numbers events, and knows which calls are of custom tools."""

    def __init__(self, custom: frozenset[str]) -> None:
        self._custom = custom
        self._number = 0

    def event(self, name: str, /, **fields: Any) -> bytes:
        """The next event."""
        told = event(name, {"sequence_number": self._number, **fields})
        self._number += 1
        return told

    def told(self, step: Step, status: str) -> bytes:
        """A part's step as events; `status` is the item's where it ends."""
        if step.what == "open":
            return self._opened(step.part)
        if step.what == "close":
            return self._closed(step.part, status)
        if step.part.kind == "call":
            return self._arguments(step)
        extra = {"logprobs": _brief(step.logprobs)} if step.part.kind == "text" else {}
        name = f"response.{_SAYS[step.part.kind]}.delta"
        return self.event(name, **_in_content(step.part), delta=step.text, **extra)

    def item(self, part: Part, status: str) -> dict[str, Any]:
        """A part as an item of `output`."""
        kind, text = part.kind, part.text
        if kind == "reasoning":
            thought = [_content(part, text)] if text else []
            about = {"type": "reasoning", "summary": [], "content": thought}
        elif kind == "call":
            about = self._call(part, text)
        else:
            said = [_content(part, text)] if text else []
            about = {"type": "message", "role": "assistant", "content": said}
        return {"id": _id(part, part.name in self._custom), **about, "status": status}

    def _call(self, part: Part, arguments: str) -> dict[str, Any]:
        if part.name in self._custom:
            told = {"type": "custom_tool_call", "input": custom_input(arguments)}
        else:
            told = {"type": "function_call", "arguments": arguments}
        return {**told, "call_id": part.call_id, "name": part.name}

    def _opened(self, part: Part) -> bytes:
        empty = Part(part.kind, part.index, part.name, part.call_id, key=part.key)
        item = self.item(empty, "in_progress")
        added = self.event("response.output_item.added", output_index=part.index, item=item)
        if part.kind == "call":
            return added
        content = self.event(
            "response.content_part.added", **_in_content(part), part=_content(empty, "")
        )
        return added + content

    def _closed(self, part: Part, status: str) -> bytes:
        text = part.text
        if part.kind == "call":
            told = self._called(part, text)
        else:
            extra = {"logprobs": _brief(part.logprobs)} if part.kind == "text" else {}
            word = {"refusal": text} if part.kind == "refusal" else {"text": text}
            name = f"response.{_SAYS[part.kind]}.done"
            told = self.event(name, **_in_content(part), **word, **extra)
            told += self.event(
                "response.content_part.done", **_in_content(part), part=_content(part, text)
            )
        item = self.item(part, status)
        return told + self.event("response.output_item.done", output_index=part.index, item=item)

    def _arguments(self, step: Step) -> bytes:
        """A function's arguments as they come; of a custom tool nothing until they are whole."""
        if step.part.name in self._custom:
            return b""
        where = _in_output(step.part)
        return self.event("response.function_call_arguments.delta", **where, delta=step.text)

    def _called(self, part: Part, arguments: str) -> bytes:
        if part.name not in self._custom:
            where = {**_in_output(part), "name": part.name, "arguments": arguments}
            return self.event("response.function_call_arguments.done", **where)
        where, text = _in_output(part, custom=True), custom_input(arguments)
        name = "response.custom_tool_call_input"
        return self.event(f"{name}.delta", **where, delta=text) + self.event(
            f"{name}.done", **where, input=text
        )


def _content(part: Part, text: str) -> dict[str, Any]:
    if part.kind == "refusal":
        return {"type": "refusal", "refusal": text}
    if part.kind == "reasoning":
        return {"type": "reasoning_text", "text": text}
    logprobs = [
        {
            **_full(token),
            "top_logprobs": [_full(other) for other in token.get("top_logprobs") or []],
        }
        for token in part.logprobs
    ]
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": logprobs}


def _full(token: dict[str, Any]) -> dict[str, Any]:
    return {"token": token["token"], "logprob": token["logprob"], "bytes": token.get("bytes") or []}


def _brief(logprobs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Log-probabilities as an event has them."""
    return [
        {
            "token": token["token"],
            "logprob": token["logprob"],
            "top_logprobs": [
                {"token": other["token"], "logprob": other["logprob"]}
                for other in token.get("top_logprobs") or []
            ],
        }
        for token in logprobs
    ]


def _id(part: Part, custom: bool = False) -> str:
    return f"{'ctc' if custom else _PREFIX[part.kind]}_{part.key}"


def _in_output(part: Part, custom: bool = False) -> dict[str, Any]:
    return {"item_id": _id(part, custom), "output_index": part.index}


def _in_content(part: Part) -> dict[str, Any]:
    return {**_in_output(part), "content_index": 0}
