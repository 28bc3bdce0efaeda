"""A custom tool's text is told without the object that it is wrapped in for the model."""

import pytest

from deployments.protocol.responses_tools import called_custom, custom_input

WHOLE = 'ls "a b" \\ é 😀\n'
# Arguments -> what the tool was called with.
CUT: dict[str, str] = {
    "": "",
    "{": "",
    '{"in': "",
    '{ "input" ': "",
    '{"input":': "",
    '{"input": "': "",
    '{"input": "ls -l': "ls -l",
    '{"input": "ls\nx': "ls\nx",
    '{"input": "ls\\': "ls",
    '{"input": "ls\\u00': "ls",
    '{"input": "ls \\ud83d': "ls ",
    '{"input": "ls"': "ls",
    '{"input":"a\\q': "a\\q",
    "ls -l": "ls -l",
    '{"command": "ls': '{"command": "ls',
    '{"command": "ls"}': '{"command": "ls"}',
    "[1]": "[1]",
}


@pytest.mark.parametrize(("arguments", "text"), CUT.items())
def test_a_call_that_was_cut_is_told_without_its_wrapper(arguments: str, text: str) -> None:
    assert custom_input(arguments) == text


def test_every_beginning_of_a_call_is_a_beginning_of_its_text() -> None:
    arguments = called_custom(WHOLE)
    assert custom_input(arguments) == WHOLE
    for at in range(len(arguments)):
        assert WHOLE.startswith(custom_input(arguments[:at]))
