"""What the table of one translated API promises of a field, asked of its parser."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest

from deployments.protocol.errors import InvalidRequest
from deployments.protocol.request_fields import Field


@dataclass(frozen=True)
class FieldTable:
    """A table with its parser, the least body, a value of each field, and what those become."""

    fields: Mapping[str, Field]
    parse: Callable[[bytes], Any]
    body: dict[str, Any]
    sent: dict[str, Any]
    becomes: dict[str, dict[str, Any]]
    # What a field asks nothing without.
    beside: Mapping[str, dict[str, Any]] = field(default_factory=dict)

    def parsed(self, **more: Any) -> Any:
        """The chat that the body becomes with these fields."""
        return self.parse(orjson.dumps({**self.body, **more}))[0]

    def has_reasons(self) -> None:
        for name, row in self.fields.items():
            assert row.why or row.treatment in ("passed", "vllm"), name

    def is_kept(self, name: str) -> None:
        row, value = self.fields[name], self.sent[name]
        if row.treatment == "refused":
            with pytest.raises(InvalidRequest) as caught:
                self.parsed(**{name: value})
            assert caught.value.param == name
            return
        parsed = self.parsed(**{name: value}, **self.beside.get(name, {}))
        assert (name in parsed.ignored) is (row.treatment == "ignored")
        if row.treatment in ("passed", "vllm", "openai"):
            assert parsed.body[name] == value
        assert ("vllm" in parsed.needs) is (row.treatment == "vllm")
        for becomes, expected in self.becomes.get(name, {}).items():
            assert parsed.body[becomes] == expected
        assert (name in self.becomes) is (row.treatment == "translated")

    def takes_nothing_for_absent(self, name: str) -> None:
        if name in self.body:
            return
        for nothing in (None, *self.fields[name].neutral):
            assert self.parsed(**{name: nothing}) == self.parsed()
