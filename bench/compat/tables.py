"""The tables of `docs/compatibility.md`, from the tables that the parsers and their tests walk.

`python -m bench.compat.tables` writes them between their marks.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from deployments.protocol.anthropic_fields import MESSAGES_FIELDS
from deployments.protocol.request_fields import FIELDS, Field
from deployments.protocol.responses_fields import RESPONSES_FIELDS
from deployments.simulated.constraints import HONOURED, WITHOUT_MEANING

PAGE = Path(__file__).parents[2] / "docs" / "compatibility.md"
APIS: dict[str, Mapping[str, Field]] = {
    "/v1/chat/completions": FIELDS["chat"],
    "/v1/completions": FIELDS["completions"],
    "/v1/responses": RESPONSES_FIELDS,
    "/v1/messages": MESSAGES_FIELDS,
}
# What a treatment means on vLLM, on an upstream that speaks OpenAI's API alone, and simulated.
ENGINES = {
    "passed": ("passed", "passed", "passed"),
    "vllm": ("passed", "other tier, or refused", ""),
    "openai": ("ignored", "passed", "ignored"),
    "translated": ("translated",) * 3,
    "ours": ("acted on here",) * 3,
    "refused": ("refused",) * 3,
    "ignored": ("ignored",) * 3,
}


def fields(table: Mapping[str, Field]) -> Iterator[str]:
    """A table of one API's fields, in Markdown."""
    yield "| field | vLLM | upstream | simulated | becomes, or why |"
    yield "|---|---|---|---|---|"
    for name, field in sorted(table.items()):
        vllm, upstream, simulated = ENGINES[field.treatment]
        yield f"| `{name}` | {vllm} | {upstream} | {simulated or _simulated(name)} | {field.why} |"


def _simulated(name: str) -> str:
    """What the simulated engine does with a field of vLLM's."""
    if name in HONOURED:
        return "passed"
    return "ignored" if name in WITHOUT_MEANING else "refused"


def written(page: str, mark: str, lines: Iterator[str]) -> str:
    """The page with these lines between the two marks of this name."""
    begin, end = f"<!-- {mark} -->\n", f"<!-- end of {mark} -->\n"
    before, _, rest = page.partition(begin)
    _, found, after = rest.partition(end)
    assert found, f"the page lacks the marks of {mark}"
    return before + begin + "\n".join(lines) + "\n" + end + after


def with_fields(page: str) -> str:
    """The page with all tables of fields."""
    for path, table in APIS.items():
        page = written(page, path, fields(table))
    return page


def main() -> None:
    """Write them into the page."""
    PAGE.write_text(with_fields(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
