"""The longest answer that a request may ask of this engine."""

from typing import Any

LIMITS = ("max_tokens", "max_completion_tokens")


def within_window(body: dict[str, Any], window_tokens: int) -> dict[str, Any]:
    """The body, with an answer's limit that exceeds the window lowered to the window.

    vLLM (0.32, `renderers/params.py`) refuses a limit above the window before it has counted the
    prompt; from any other it takes what the prompt leaves (`get_max_tokens`), which is what a
    client means by a limit: at most.
    """
    above = {
        name: window_tokens
        for name in LIMITS
        if isinstance(body.get(name), int) and body[name] > window_tokens
    }
    return {**body, **above} if above else body
