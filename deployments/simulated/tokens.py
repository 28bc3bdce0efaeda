"""Tokens of an engine without a tokenizer: as many as it counts, with ids that mean nothing."""

import json
import zlib

from deployments.protocol.engine import EngineRequest
from deployments.protocol.errors import InvalidRequest
from deployments.settings.simulated import SimulatedEngineConfig
from deployments.simulated.answer import prompt_tokens

VOCABULARY = 50_000


def tokens(request: EngineRequest, config: SimulatedEngineConfig) -> bytes:
    """vLLM's document. Raises: `InvalidRequest` for ids, whose text nobody knows."""
    if request.purpose == "detokenize":
        raise InvalidRequest("The simulated engine has no vocabulary.", "tokens")
    count = prompt_tokens(request)
    seed = zlib.crc32(json.dumps(request.body, sort_keys=True).encode())
    ids = [zlib.crc32(f"{seed}:{at}".encode()) % VOCABULARY for at in range(count)]
    strings = [f"<{token}>" for token in ids] if request.body.get("return_token_strs") else None
    document = {"count": count, "max_model_len": config.max_model_len, "tokens": ids}
    return json.dumps(document | {"token_strs": strings}).encode()
