"""A checked body in vLLM's terms: values that OpenAI documents and vLLM 0.32 refuses.

For our own engine and for upstreams that speak vLLM.
"""

from typing import Any

# Below it vLLM decodes greedily (vllm.sampling_params._SAMPLING_EPS).
GREEDY_BELOW = 1e-5


def for_vllm(body: dict[str, Any]) -> dict[str, Any]:
    """The body with the same meaning in values that vLLM takes.

    `top_p: 0` and several choices at temperature 0 are sampling from one candidate: `top_k: 1`.
    """
    temperature = body.get("temperature")
    greedy = temperature is not None and temperature < GREEDY_BELOW
    several = (body.get("n") or 1) > 1
    if (greedy and several and not body.get("use_beam_search")) or body.get("top_p") == 0:
        return {**body, "temperature": 1.0, "top_p": 1.0, "top_k": 1, "min_p": 0.0}
    return body
