"""Every setting of the application: frozen, unknown keys refused, defaults with unit and reason.

Fed from the `args:` of `serve_config.yaml`. Secrets are not settings: they come from the
environment (`environment.py`), and a config only names the variable.
"""

from typing import Annotated, Any, Literal, cast

from pydantic import Field, ValidationError, model_validator

from autoscale.packing.plan import gpu_share
from deployments.settings.access import Auth, HostPattern, Origin
from deployments.settings.accounts import AccountsConfig
from deployments.settings.api_key import Usd
from deployments.settings.classifier import ClassifierConfig as ClassifierConfig
from deployments.settings.config_mistake import ConfigError, first_mistake
from deployments.settings.escalation import AnswerCheck, Escalation
from deployments.settings.group import Settings
from deployments.settings.prices import check_pair
from deployments.settings.privacy import Egress, PrivacyConfig, check_egress
from deployments.settings.scaling import Scaling
from deployments.settings.simulated import SimulatedEngineConfig
from deployments.settings.targets import Capability as Capability
from deployments.settings.targets import TargetsConfig, upstreams
from deployments.settings.upstream import UpstreamConfig
from deployments.settings.vllm import AdapterConfig as AdapterConfig
from deployments.settings.vllm import VllmConfig

# What a request may need: what a model can do, and engines that know vLLM's own request fields.
Need = Capability | Literal["vllm"]
TierName = Literal["small", "large"]


# Response headers carry it.
ServedName = Annotated[str, Field(min_length=1, pattern=r"^[\x21-\x7e]+$")]
EngineConfig = Annotated[
    VllmConfig | SimulatedEngineConfig | UpstreamConfig | TargetsConfig,
    Field(discriminator="kind"),
]


class TierConfig(Settings):
    """One tier: a model behind one interface, and the replicas that run it."""

    model: ServedName
    """The served name: what `/v1/models` lists and a client may ask for. Printable ASCII without
    spaces, because response headers carry it."""
    engine: EngineConfig
    """What a replica runs. In its place, `targets`: a list of upstreams, asked in order."""
    adapters: dict[ServedName, AdapterConfig] = Field({})
    """Adapters by the name that clients ask for. Adding or removing one restarts nothing."""
    scaling: Scaling = Scaling()
    """How many replicas."""
    gpu_share: float = Field(0.0, ge=0, le=1)
    """Part of a GPU that one replica holds: 0 (no GPU) or 1/k, so that k replicas fill a GPU. Ray
    only counts it; `kv_cache_memory_bytes` is what keeps k replicas inside the memory."""
    num_cpus: float = Field(0.5, ge=0)
    """Cores that Ray reserves per replica. Ray's default of 1 per deployment does not start four
    deployments on 2 cores."""
    max_ongoing_requests: int = Field(32, ge=1)
    """Requests sent to one replica at a time; near the engine's useful batch, so that the rest
    queues where the autoscaler sees it."""
    max_queued_requests: int = Field(64, ge=0)
    """Requests one gateway replica lets wait for this tier before the tier counts as saturated."""
    capabilities: frozenset[Capability] = frozenset({"tools", "json_schema", "logprobs"})
    """What the model can do; a request that needs more goes to the other tier."""
    usd_per_million_prompt_tokens: Usd | None = None
    """Price of tokens, USD. Null: an upstream's is looked up in `genai-prices`, and must be there
    where accounts are kept; an own model's tokens cost nothing."""
    usd_per_million_completion_tokens: Usd | None = None
    """Price of tokens, USD; given with the other one or not at all."""
    usd_per_gpu_hour: Usd | None = None
    """Cost of a GPU for an hour, USD: a request is charged its slot's time, the rest is idle."""
    stand_in: bool = False
    """True marks a model that only stands in for a real one; said in `/v1/models` and the log."""
    max_surge_percent: int = Field(1, ge=0, le=100)
    """Extra replicas while a changed model rolls in, percent of the replicas, rounded up. 1: one at
    a time and never fewer than before, which needs one spare `gpu_share`. 0: stop one, then start
    one; with a single replica the tier is away meanwhile."""
    stall_timeout_s: float = Field(60.0, gt=0)
    """A replica with work but no progress for this long is unhealthy. Progress, not latency: a slow
    engine is not a dead one. Longer than the longest prefill."""
    drain_timeout_s: float | None = Field(None, gt=0)
    """How long a stopping replica may finish answers, seconds; null: `gateway.max_request_s`."""

    @property
    def upstreams(self) -> tuple[UpstreamConfig, ...]:
        """The endpoints that its engine asks; none where it computes by itself."""
        return upstreams(self.engine)

    @property
    def remote(self) -> bool:
        """Whether no request to this tier can stay in the cluster."""
        return bool(self.upstreams) and not any(one.in_cluster for one in self.upstreams)

    @property
    def leads_out(self) -> bool:
        """Whether a request to this tier may leave the cluster: one target outside is enough."""
        return any(not one.in_cluster for one in self.upstreams)

    @property
    def abilities(self) -> frozenset[Need]:
        """What the model can do, and what its kind of engine knows."""
        if isinstance(self.engine, TargetsConfig):
            return cast("frozenset[Need]", self.engine.abilities(self.capabilities))
        speaks_vllm = getattr(self.engine, "speaks", "vllm") == "vllm"
        return self.capabilities | (frozenset[Need]({"vllm"}) if speaks_vllm else frozenset())

    @property
    def media_hosts(self) -> frozenset[str]:
        """Hosts that the engine, or its provider, may fetch images from."""
        return frozenset(getattr(self.engine, "allowed_media_domains", ()))

    @property
    def slots(self) -> int:
        """Requests that one replica serves at once: its batch, or what Serve lets through."""
        batch = getattr(self.engine, "max_num_seqs", self.max_ongoing_requests)
        return int(min(batch, self.max_ongoing_requests))

    @property
    def num_gpus(self) -> float:
        """GPUs that Ray reserves per replica."""
        return float(self.gpu_share * getattr(self.engine, "tensor_parallel_size", 1))

    @model_validator(mode="before")
    @classmethod
    def _engine_of_targets(cls, given: Any) -> Any:
        if not isinstance(given, dict) or "targets" not in given:
            return given
        if isinstance(given.get("engine"), dict):
            raise ValueError("targets stand in the place of engine: remove one of them")
        rest = {key: value for key, value in given.items() if key not in ("targets", "engine")}
        return {**rest, "engine": {"kind": "targets", "targets": given["targets"]}}

    @model_validator(mode="after")
    def _fits_together(self) -> "TierConfig":
        share = self.gpu_share
        check_pair(self.usd_per_million_prompt_tokens, self.usd_per_million_completion_tokens)
        # Rounded down to Ray's ten-thousandths: 7 shares of 0.1429 are more than one GPU.
        if share and abs(share - (whole := gpu_share(round(1 / share)))) > 1e-6:
            raise ValueError(f"gpu_share {share} is not 1/k rounded down: use {whole}")
        if self.adapters and not getattr(self.engine, "max_loras", 0):
            raise ValueError("adapters need a vllm engine with max_loras above 0")
        if 0 < share < 1 and getattr(self.engine, "tensor_parallel_size", 1) > 1:
            raise ValueError("gpu_share must be 1 where tensor_parallel_size is above 1")
        return self


class GatewayConfig(Settings):
    """The HTTP edge."""

    auth: Auth | None = None
    """`keys`: a replica without API keys refuses to start. `open`: nobody needs a key. Null: keys
    where they are set; without them open on loopback only."""
    allowed_hosts: tuple[HostPattern, ...] = ()
    """Names that a request's `Host` may have, `*.example.com` for all below one and `*` for any.
    Loopback names always may. With none, every name may, except where the endpoint listens on
    loopback: there a foreign name is a web page that had its own name point here."""
    cors_origins: tuple[Origin, ...] = ()
    """Web pages that may ask and read the answers, as `https://app.example.com`; `*` for all."""
    max_body_bytes: int = Field(8 * 1024**2, ge=1024)
    """Largest accepted body, bytes. 8 MiB holds a full 1M-token text context; beyond it, 413."""
    max_request_s: float = Field(600.0, gt=0)
    """Deadline of a request that names none, seconds; also the most a client may ask for."""
    max_ongoing_requests: int = Field(512, ge=1)
    """Open requests per gateway replica: it only shuffles bytes."""
    num_cpus: float = Field(0.2, ge=0)
    """Cores that Ray reserves."""
    scaling: Scaling = Scaling(max_replicas=2)
    """How many replicas."""
    health_poll_s: float = Field(0.5, gt=0)
    """How often the gateway asks which tiers run while one is down or has failed, seconds; else it
    asks every 2 s while requests wait, every 5 s otherwise."""
    session_ttl_s: float = Field(1800.0, gt=0)
    """How long a session that went large stays large after its last request."""
    ledger_dir: str | None = None
    """Folder for one JSON line per request (docs/ledger.md; never text); null: none."""
    ledger_file_bytes: int = Field(64 * 1024**2, ge=1024**2)
    """A gateway's ledger file begins anew at this size, and every day (UTC). 64 MiB: some 80,000
    requests, and still a file that opens."""
    ledger_keep_bytes: int = Field(4 * 1024**3, ge=1024**2)
    """The oldest ledger files in the folder are removed above this, bytes: some 5 million
    requests."""


class AppConfig(Settings):
    """The whole application."""

    gateway: GatewayConfig = GatewayConfig()
    """The HTTP edge."""
    classifier: ClassifierConfig = ClassifierConfig()
    """The score."""
    escalation: Escalation = Escalation()
    """The share of large answers."""
    accounts: AccountsConfig = AccountsConfig()
    """Keys, budgets, ledger."""
    answer_check: AnswerCheck = AnswerCheck()
    """What makes an answer of the small tier go large before its first byte."""
    local_only: bool = False
    """True: no request may leave the cluster, whatever its headers say."""
    egress: Egress = "policy"
    """`none`: this application has no way out; a tier that needs one is a mistake in the config.
    `policy`: requests leave by one door, as `privacy` says."""
    privacy: PrivacyConfig = PrivacyConfig()
    """What may leave the cluster (docs/privacy.md)."""
    small: TierConfig = TierConfig(
        model="smollm2-135m-int4",
        engine=VllmConfig(path="builtin:small"),
    )
    """The tier that answers most requests."""
    large: TierConfig = TierConfig(
        model="smollm2-135m",
        engine=VllmConfig(path="builtin:large"),
        stand_in=True,
    )
    """The tier that answers the rest; the default is a stand-in."""
    gpus: int | None = Field(None, ge=0)
    """GPUs in the cluster; when given, a config that cannot fit is refused at start."""

    @property
    def tiers(self) -> dict[TierName, TierConfig]:
        """Both tiers by name."""
        return {"small": self.small, "large": self.large}

    def drain_timeout_s(self, tier: TierName) -> float:
        """How long a stopping replica of a tier may finish its generations, seconds."""
        return self.tiers[tier].drain_timeout_s or self.gateway.max_request_s

    @model_validator(mode="after")
    def _domains_are_known(self) -> "AppConfig":
        for tier in self.tiers.values():
            for name, adapter in tier.adapters.items():
                if adapter.domain is not None and adapter.domain not in self.classifier.domains:
                    raise ValueError(
                        f"adapter {name!r}: {adapter.domain!r} is not in classifier.domains: "
                        "nothing would reach it; add examples there, or leave it out"
                    )
        return self

    @model_validator(mode="after")
    def _drains_outlast_requests(self) -> "AppConfig":
        for name in self.tiers:
            if (drain_s := self.drain_timeout_s(name)) < self.gateway.max_request_s:
                raise ValueError(
                    f"{name}.drain_timeout_s {drain_s:g} is below gateway.max_request_s "
                    f"{self.gateway.max_request_s:g}: a stopping replica would cut answers; leave "
                    "it out, or lower max_request_s"
                )
        return self

    @model_validator(mode="after")
    def _fits(self) -> "AppConfig":
        if self.small.model == self.large.model:
            raise ValueError("large.model equals small.model: give each tier its own name")
        adapters = [name for tier in self.tiers.values() for name in tier.adapters]
        taken = {"auto", "small", "large", self.small.model, self.large.model}
        if clash := (taken & set(adapters)) or {n for n in adapters if adapters.count(n) > 1}:
            raise ValueError(f"adapter name {sorted(clash)[0]!r} is taken: choose another")
        if reserved := {"auto", "small", "large"} & {self.small.model, self.large.model}:
            raise ValueError(f"model name {reserved.pop()!r} is reserved: choose another")
        check_egress(self.egress, self.tiers)
        window = getattr(self.small.engine, "max_model_len", None)
        held = self.answer_check.hold_tokens
        if window is not None and held is not None and held >= window:
            raise ValueError(f"answer_check.hold_tokens {held} does not fit max_model_len {window}")
        needed = sum(t.num_gpus * t.scaling.min_replicas for t in self.tiers.values())
        if self.gpus is not None and needed > self.gpus:
            raise ValueError(
                f"gpus: min_replicas x gpu_share of both tiers needs {needed:g} GPUs, the cluster "
                f"has {self.gpus}: lower min_replicas or gpu_share"
            )
        return self


def parse_app_config(args: Any, source: str) -> AppConfig:
    """`args` as a typed config. Raises: `ConfigError` in one line."""
    try:
        return AppConfig.model_validate(args)
    except ValidationError as error:
        raise ConfigError(f"{source}: {first_mistake(error)}") from None
