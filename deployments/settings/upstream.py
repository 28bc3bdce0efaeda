"""Settings of one OpenAI-compatible upstream."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class UpstreamConfig(BaseModel):
    """Where the upstream is, how long to wait for it, and how often to try."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    kind: Literal["upstream"] = "upstream"
    """Tells the engines apart in a tier's config."""
    in_cluster: bool = False
    """True: the endpoint is inside the cluster, so that local-only requests may go there."""
    base_url: str
    """Up to and with the version: https://api.openai.com/v1."""
    model: Annotated[str, Field(min_length=1)]
    """The upstream's name of the model."""
    speaks: Literal["openai", "vllm"] = "openai"
    """Whose request fields it knows. `vllm`: it is a vLLM server itself, and gets vLLM's own fields
    (`structured_outputs`, `top_k` and the like); a request that has one never goes to another."""
    allowed_media_domains: list[Annotated[str, Field(pattern=r"^[a-z0-9.-]+$")]] = []
    """Hosts that an image's URL may name: the provider then fetches it. Empty: images come with
    the request, as `data:` URLs."""
    api_key_env: str | None = None
    """NAME of the environment variable that holds the key; None sends no key."""
    headers: dict[str, str] = Field(default_factory=dict)
    """Sent with every request, for an organisation or a gateway. Not for secrets: they are
    shown wherever the configuration is."""

    connect_timeout_s: Seconds = 5.0
    """Seconds until TCP and TLS stand, and for a free connection of the pool. A handshake is
    two to three round trips; more than 5 s of it is a fault, not distance."""
    first_token_timeout_s: Seconds = 60.0
    """Seconds from sending until the first token, tries included. Providers queue for long
    prompts and reasoning models think before they speak; a minute of nothing is a fault."""
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

    @field_validator("base_url")
    @classmethod
    def _is_http(cls, value: Any) -> str:
        url = str(value).rstrip("/")
        if not url.startswith(("http://", "https://")):
            raise ValueError("must begin with http:// or https://")
        return url
