"""Why a request was answered where it was answered: what ledger, metrics and headers say."""

from enum import StrEnum


class Cause(StrEnum):
    """Why a request was answered where it was answered."""

    CLASSIFIER = "classifier"
    CLIENT_MODEL = "client_model"
    CLIENT_HINT = "client_hint"
    LOCAL_ONLY = "local_only"
    BUDGET_EXHAUSTED = "budget_exhausted"
    LARGE_UNAVAILABLE = "large_unavailable"
    SMALL_UNAVAILABLE = "small_unavailable"
    SMALL_SATURATED = "small_saturated"
    ANSWER_CHECK = "answer_check"
    CONTEXT_WINDOW = "context_window"
    CAPABILITY = "capability"
    SESSION = "session"
    TOOL_LOOP = "tool_loop"
    API_KEY = "api_key"
