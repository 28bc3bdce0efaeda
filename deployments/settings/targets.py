"""Settings of a tier that several upstreams stand behind, asked in order."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from deployments.settings.api_key import Usd
from deployments.settings.group import Strict
from deployments.settings.upstream import UpstreamConfig, place_of

Capability = Literal["tools", "json_schema", "logprobs", "vision"]


class Target(UpstreamConfig):
    """One upstream of several."""

    name: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[\x21-\x7e]+$")]
    """What response headers, ledger and gauges call it."""
    capabilities: frozenset[Capability] | None = None
    """What its model can do; null: what the tier says. Requests that need more pass it by."""
    usd_per_million_prompt_tokens: Usd | None = None
    """Price of tokens, USD. Null: the tier's, else looked up in `genai-prices`."""
    usd_per_million_completion_tokens: Usd | None = None
    """Price of tokens, USD; given with the other one or not at all."""

    @model_validator(mode="after")
    def _prices_are_both(self) -> "Target":
        prompt, completion = (
            self.usd_per_million_prompt_tokens,
            self.usd_per_million_completion_tokens,
        )
        if (prompt is None) != (completion is None):
            raise ValueError("the usd_per_million_* of a target belong together: give both")
        return self


class TargetsConfig(Strict):
    """Upstreams in the order in which they are asked; an endpoint in the cluster is one too."""

    kind: Literal["targets"] = "targets"
    """Tells the engines apart in a tier's config."""
    targets: Annotated[tuple[Target, ...], Field(min_length=1)]
    """The first that may, can and is up answers; the next is asked where nothing was sent yet."""

    @model_validator(mode="after")
    def _are_several(self) -> "TargetsConfig":
        names, places = set[str](), set[tuple[object, str]]()
        for target in self.targets:
            place = place_of(target.base_url), target.model
            if target.name in names:
                raise ValueError(f"two targets are named {target.name!r}: give each its own name")
            if place in places:
                raise ValueError(
                    f"target {target.name!r} asks the same model at the same address as one before "
                    "it: take it out"
                )
            names.add(target.name)
            places.add(place)
        return self

    @property
    def allowed_media_domains(self) -> frozenset[str]:
        """Hosts from which any of their providers may fetch images."""
        return frozenset(host for one in self.targets for host in one.allowed_media_domains)

    def abilities(self, of_tier: frozenset[Capability]) -> frozenset[str]:
        """What any of them can do."""
        return frozenset[str]().union(*(able(one, of_tier) for one in self.targets))


def upstreams(engine: object) -> tuple[UpstreamConfig, ...]:
    """The endpoints behind an engine of any kind."""
    if isinstance(engine, TargetsConfig):
        return engine.targets
    return (engine,) if isinstance(engine, UpstreamConfig) else ()


def able(target: Target, of_tier: frozenset[Capability]) -> frozenset[str]:
    """What a target can do; `of_tier` where it does not say."""
    knows = frozenset({"vllm"}) if target.speaks == "vllm" else frozenset[str]()
    return (of_tier if target.capabilities is None else target.capabilities) | knows
