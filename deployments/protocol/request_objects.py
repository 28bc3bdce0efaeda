"""Objects of a request whose keys are the client's own.

Checked by hand: pydantic has a limit on mistakes for arrays only, and would report every one of a
million wrong values.
"""

import re
from typing import Any

from deployments.protocol.request_mistake import must

# OpenAI's limits.
MAX_METADATA, MAX_METADATA_KEY, MAX_METADATA_VALUE = 16, 64, 512
MAX_BIASES = 1024
_TOKEN_KEY = re.compile(r"\d{1,9}", re.ASCII)


def biases(value: Any) -> Any:
    """`logit_bias`: at most 1,024 token ids, each with a number in OpenAI's range."""
    if not isinstance(value, dict) or len(value) > MAX_BIASES:
        raise must(f"it must be an object of at most {MAX_BIASES} token ids")
    for token, bias in value.items():
        number = isinstance(bias, int | float) and not isinstance(bias, bool)
        if not (_TOKEN_KEY.fullmatch(token) and number and -100 <= bias <= 100):
            raise must("it must map token ids to numbers between -100 and 100")
    return value


def labels(value: Any) -> Any:
    """`metadata`, within OpenAI's limits."""
    if not isinstance(value, dict) or len(value) > MAX_METADATA:
        raise must(f"it must be an object of at most {MAX_METADATA} strings")
    for key, text in value.items():
        if not isinstance(text, str) or len(text) > MAX_METADATA_VALUE:
            raise must(f"its values must be strings of at most {MAX_METADATA_VALUE} characters")
        if len(key) > MAX_METADATA_KEY:
            raise must(f"its keys must have at most {MAX_METADATA_KEY} characters")
    return value


def document(value: Any) -> Any:
    """One of `documents`: strings by name."""
    # pydantic would report every single value of a million that is wrong.
    if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
        raise must("it must be an object of strings")
    return value


def extension_args(value: Any) -> Any:
    """`vllm_xargs`: scalars and arrays of scalars, as vLLM has it."""
    flat = isinstance(value, dict) and len(value) <= MAX_METADATA
    for item in value.values() if flat else [None]:
        scalars = item if isinstance(item, list) else [item]
        if not all(isinstance(scalar, str | int | float) for scalar in scalars):
            raise must(f"it must be an object of at most {MAX_METADATA} strings, numbers or arrays")
    return value
