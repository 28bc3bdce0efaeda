"""An OpenAI request in the upstream's own words, and what its refusals teach about them.

What a client may send must not depend on where its request is answered.
"""

import hashlib
import logging
import re
from typing import Any

from deployments.protocol.engine import EngineRequest
from deployments.protocol.errors import InvalidRequest
from deployments.protocol.request_fields import FIELDS, VLLM_ONLY
from deployments.settings.upstream import UpstreamConfig
from deployments.upstream.provider_error import ProviderError

# Names of users and caches, for which OpenAI has no more room; agents' own are twice as long.
LABELS = frozenset({"user", "safety_identifier", "prompt_cache_key"})
MAX_LABEL = 64
LENGTH_NAMES = ("max_tokens", "max_completion_tokens")
NAMED = re.compile(
    r"\b(?P<field>max_tokens|max_completion_tokens|stream_options)\b"
    r"|\bstreaming\b|(?<=['\"`])stream(?=['\"`])|\bstream ?= ?true\b|(?<=\bto )stream\b",
    re.IGNORECASE,
)
# The other way round: what is to be used comes first, and then what it replaces.
REPLACED = re.compile(r"\b(?:instead of|rather than|in place of) ['\"`]?(?P<field>\w+)")
UNKNOWN = re.compile(
    r"not (?:supported|permitted|allowed|recognized)|unsupported|unrecognized|unknown|unexpected"
    r"|extra_forbidden|extra (?:inputs|fields)|(?:does not|doesn['\u2019]t) support|deprecated"
    r"|must be (?:verified to stream|false)|\binstead of\b|\brather than\b|\bin place of\b"
    r"|invalid (?:parameter|argument|field|option)s?:? ['\"`]?[\w.]+['\"`]?\.?$",
    re.IGNORECASE,
)

log = logging.getLogger(__name__)


class Dialect:
    """How one upstream wants to be asked: as configured, and as it has taught since."""

    def __init__(self, config: UpstreamConfig) -> None:
        self._config = config.dialect
        self._model = config.model
        self._speaks_vllm = config.speaks == "vllm"
        self._rename = dict(config.dialect.rename)
        self._stream_options = config.dialect.stream_options
        self._json_by_stream = config.dialect.json_by_stream
        self._taught_length = False

    def body(self, request: EngineRequest) -> dict[str, Any]:
        """The request as the upstream wants it.

        Raises: `InvalidRequest` for what only vLLM can do, where the upstream is not vLLM.
        """
        body = self._renamed(self._known(request))
        body["model"] = self._model
        options = body.pop("stream_options", None) or {}
        if self.streams(request):
            body["stream"] = True
            if self._stream_options:
                body["stream_options"] = {**options, "include_usage": True}
        return body

    def streams(self, request: EngineRequest) -> bool:
        """Whether the upstream is asked for a stream."""
        if request.stream or not self._json_by_stream:
            return request.stream
        body = request.body  # with one of these no server streams
        several = (body.get("best_of") or 1) != 1
        return not (several or body.get("use_beam_search") or body.get("prompt_logprobs"))

    def learn(self, refused: ProviderError, sent: dict[str, Any]) -> None:
        """Take from a refusal of `sent` what this upstream does not know, of what we can spare."""
        if not UNKNOWN.search(f"{refused.code} {refused.message}"):
            return
        for name, other in (LENGTH_NAMES, LENGTH_NAMES[::-1]):
            if name in sent and not self._taught_length and _is_about(name, refused):
                self._taught_length = True
                self._rename = {
                    key: to for key, to in self._rename.items() if to != name and key != other
                } | {name: other}
                log.warning("upstream: wants %s for %s; sent so from now on", other, name)
        if "stream_options" in sent and _is_about("stream_options", refused):
            self._stream_options = False
            log.warning("upstream: refuses stream_options; tokens are estimated from now on")
        elif "stream" in sent and _is_about("stream", refused):
            self._json_by_stream = False
            log.warning("upstream: cannot stream; asked for documents from now on")

    def _known(self, request: EngineRequest) -> dict[str, Any]:
        """The fields that may be sent."""
        body, kept_back = request.body, set(self._config.drop)
        if not self._speaks_vllm:
            # The gateway asks a tier that knows them; here no constraint is dropped in silence.
            fields = FIELDS[request.endpoint]
            kept_back |= VLLM_ONLY[request.endpoint]
            for name in VLLM_ONLY[request.endpoint] & body.keys():
                if not fields[name].asks_nothing(body[name]):
                    raise InvalidRequest(f"'{name}' is known to vLLM only, not here.", name)
        known = {name: value for name, value in body.items() if name not in kept_back}
        if not self._speaks_vllm:
            known |= {name: _short(known[name]) for name in LABELS & known.keys()}
            if "messages" in known:
                known["messages"] = list(map(_without_thoughts, known["messages"]))
        return known

    def _renamed(self, body: dict[str, Any]) -> dict[str, Any]:
        """The fields under the upstream's names; one that is there under both keeps its value."""
        for name, to in self._rename.items():
            if name in body:
                value = body.pop(name)
                body.setdefault(to, value)
        return body


def _short(label: str) -> str:
    """A label within OpenAI's limit: a longer one's digest tells the same users apart."""
    if len(label) <= MAX_LABEL:
        return label
    return hashlib.sha256(label.encode(errors="surrogatepass")).hexdigest()


def _without_thoughts(message: dict[str, Any]) -> dict[str, Any]:
    """OpenAI's chat has no place for what a model thought in an earlier turn."""
    if "reasoning" not in message:
        return message
    return {name: value for name, value in message.items() if name != "reasoning"}


def _is_about(field: str, refused: ProviderError) -> bool:
    """Whether the refusal is of this field: of the one it names first, where it names several."""
    if refused.param:
        return refused.param.split(".")[0] == field
    if replaced := REPLACED.search(refused.message):
        return replaced["field"] == field
    named = NAMED.search(refused.message)
    return named is not None and (named["field"] or "stream").lower() == field
