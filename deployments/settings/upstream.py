"""Settings of one OpenAI-compatible upstream."""

import ipaddress
import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    Field,
    model_validator,
)

from deployments.settings.environment import VariableName
from deployments.settings.group import Strict

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
# A header's name (RFC 9110, 5.6.2), and what its value may hold: visible ASCII and spaces.
HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
HEADER_VALUE = re.compile(r"[\x20-\x7e]*")
# Without them there is no request, or they are ours to set.
NOT_TO_TOUCH = frozenset({"model", "messages", "prompt", "stream", "stream_options"})


def _header_name(name: str) -> str:
    if not HEADER_NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name of a header")
    return name


def _headers(headers: dict[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        _header_name(name)
        if not HEADER_VALUE.fullmatch(value):
            raise ValueError(f"the value of {name} holds what a header cannot carry")
    return headers


def _url(value: str) -> str:
    """An address that is only that."""
    if not value.startswith(("http://", "https://")):
        raise ValueError("must begin with http:// or https://")
    if re.search(r"[\x00-\x20\x7f-\xa0\\]", value):
        raise ValueError("holds a blank or a control character: must be an address alone")
    parts = urlsplit(value)
    if "@" in parts.netloc:
        raise ValueError(
            "holds a user or a password: a configuration is shown, so put no secret in"
        )
    if parts.query or parts.fragment or not parts.hostname:
        raise ValueError("must be an address alone; dialect.query adds a query to each request")
    _reachable(parts.hostname, parts.netloc)
    return value.rstrip("/")


def _reachable(host: str, netloc: str) -> None:
    """Refuse what no connection could be opened to."""
    _, colon, port = netloc.rpartition(":")
    if colon and not port.endswith("]") and not (port.isdigit() and 0 < int(port) < 2**16):
        raise ValueError(f"has no port in {port!r}: a number from 1 to 65535")
    if re.fullmatch(r"[\d.]+", host):
        ipaddress.ip_address(host)  # says itself what is wrong


def place_of(url: str) -> tuple[str, str, int, str]:
    """Scheme, host, port and path of an address, however it is written."""
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    path = re.sub(r"/+", "/", parts.path).rstrip("/")
    return parts.scheme, (parts.hostname or "").rstrip("."), port, path


def _path(value: str) -> str:
    if not re.fullmatch(r"/[\x21-\x7e]*", value) or "?" in value or "#" in value:
        raise ValueError("must begin with / and hold neither a query nor spaces")
    return value


Url = Annotated[str, AfterValidator(_url)]
UrlPath = Annotated[str, AfterValidator(_path)]


class Dialect(Strict):
    """What of OpenAI's API the upstream words in its own way."""

    rename: dict[str, str] = Field(default_factory=dict)
    """Request fields to send under another name: `{max_tokens: max_completion_tokens}`. This pair,
    either way round, is also learned from the upstream's first refusal."""
    drop: frozenset[str] = frozenset()
    """Request fields never to send. Drop only what changes no answer: the client is not told."""
    stream_options: bool = True
    """False: the upstream refuses `stream_options`; tokens are then estimated unless it counts them
    unasked. Learned from its first refusal, too."""
    json_by_stream: bool = True
    """Ask for a stream also where the client wants one JSON document, and put that together here:
    only a stream shows in time that an upstream is silent, and what a broken answer has cost.
    False for an upstream that cannot stream, or whose documents say more than its streams."""
    chat_path: UrlPath = "/chat/completions"
    """Below `base_url`."""
    completions_path: UrlPath = "/completions"
    """Below `base_url`."""
    query: dict[str, str] = Field(default_factory=dict)
    """Added to every address: `{api-version: "2024-10-21"}` for Azure."""
    auth_header: Annotated[str, AfterValidator(_header_name)] = "authorization"
    """The header that carries the key; Azure's is `api-key`."""
    auth_prefix: str = "Bearer "
    """What stands before the key; empty for Azure."""

    @model_validator(mode="after")
    def _leaves_the_request_whole(self) -> "Dialect":
        touched = self.drop | self.rename.keys() | set(self.rename.values())
        if ours := sorted(touched & NOT_TO_TOUCH):
            raise ValueError(f"{ours[0]!r} can be neither renamed nor dropped")
        if not HEADER_VALUE.fullmatch(self.auth_prefix):
            raise ValueError("auth_prefix holds what a header cannot carry")
        return self


class UpstreamConfig(Strict):
    """Where the upstream is, how long to wait for it, and how often to try."""

    kind: Literal["upstream"] = "upstream"
    """Tells the engines apart in a tier's config."""
    in_cluster: bool = False
    """True: the endpoint is inside the cluster, so that local-only requests may go there."""
    base_url: Url
    """Up to and with the version: https://api.openai.com/v1."""
    model: Annotated[str, Field(min_length=1)]
    """The upstream's name of the model."""
    speaks: Literal["openai", "vllm"] = "openai"
    """Whose request fields it knows. `vllm`: it is a vLLM server itself, and gets vLLM's own fields
    (`structured_outputs`, `top_k` and the like); a request that has one never goes to another."""
    allowed_media_domains: list[Annotated[str, Field(pattern=r"^[a-z0-9.-]+$")]] = Field([])
    """Hosts that an image's URL may name: the provider then fetches it. Empty: images come with
    the request, as `data:` URLs."""
    api_key_env: VariableName | None = None
    """NAME of the environment variable that holds the key; None sends no key."""
    headers: Annotated[dict[str, str], AfterValidator(_headers)] = Field(default_factory=dict)
    """Sent with every request, for an organisation or a gateway. Not for secrets: they are
    shown wherever the configuration is."""
    dialect: Dialect = Dialect()
    """How the upstream's API differs from OpenAI's."""
    proxy: Url | None = None
    """http:// or https:// proxy for an upstream outside the cluster. The environment's
    (`HTTPS_PROXY`) is not asked: a prompt goes where this file says."""
    ca_file: str | None = None
    """PEM file of the authorities that sign the upstream's certificate; null: certifi's. The
    environment's (`SSL_CERT_FILE`) is not asked."""

    connect_timeout_s: Seconds = 5.0
    """Seconds until TCP and TLS stand, and for a free connection of the pool. A handshake is
    two to three round trips; more than 5 s of it is a fault, not distance."""
    first_token_timeout_s: Seconds = 60.0
    """Seconds from sending until the first token, tries included. Providers queue for long
    prompts and reasoning models think before they speak; a minute of nothing is a fault."""
    first_token_share: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Largest part of the request's time that may pass before the first token: where less time is
    left than twice `first_token_timeout_s`, the other tier needs the rest of it to answer."""
    read_timeout_s: Seconds = 30.0
    """Seconds of silence between two reads of a stream. Providers' keep-alive comments come
    every 15 s or so; two of them missing is a dead connection."""
    total_timeout_s: Seconds = 600.0
    """Seconds for the whole answer; the OpenAI client's own default."""

    max_connections: Annotated[int, Field(ge=1)] = 100
    """Connections at once, and kept alive; each carries one request at a time, with HTTP/2 many.
    The OpenAI client allows 1000, for one process; a replica's `max_ongoing_requests` is far
    below 100."""
    keepalive_s: Seconds = 50.0
    """Seconds an idle connection is kept: below the 60 s after which load balancers drop it
    (AWS ALB's default), so that a request does not meet a connection that is being closed."""
    http2: bool = False
    """True: HTTP/2 where the upstream offers it under TLS. Off, because httpcore 1.0 does not reset
    a stream that is given up (encode/httpcore#943): the upstream would finish, and bill, every
    answer whose client has left. Seen with hypercorn: 30 more tokens in the 0.3 s after closing."""

    max_retries: Annotated[int, Field(ge=0, le=10)] = 2
    """Tries after the first, before the first byte only, on connection errors, 429, 502 and
    503. The OpenAI client's own default."""
    retry_backoff_s: Seconds = 0.5
    """Seconds before the second try, doubled for each further one, times 0.5 to 1.5 at random
    so that clients do not come back together. The OpenAI client's own default."""
    max_retry_wait_s: Seconds = 5.0
    """Longest wait before a try, seconds, whatever `retry-after` says: an upstream that asks
    for more is busy, and the other tier answers sooner."""
    breaker_failures: Annotated[int, Field(ge=1)] = 5
    """Failures in a row after which requests are answered with 503 at once: one request with
    all its tries does not open it, two do."""
    breaker_open_s: Seconds = 10.0
    """Seconds between probes of an upstream that is down: short beside a provider's outage,
    long beside a connect timeout."""

    @model_validator(mode="after")
    def _stays_inside(self) -> "UpstreamConfig":
        if self.in_cluster and self.proxy is not None:
            raise ValueError("proxy: requests to an upstream in the cluster must not leave it")
        return self
