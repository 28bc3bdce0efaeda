"""How many replicas a deployment has."""

from typing import Any

from pydantic import Field, model_validator

from autoscale.parameters import Parameters
from deployments.settings.group import Settings


class Scaling(Settings):
    """How many replicas: bounds, and the queue-depth policy's parameters."""

    min_replicas: int = Field(1, ge=0)
    """Replicas kept while idle. 0 saves the GPU and costs a cold start."""
    max_replicas: int = Field(1, ge=1)
    """Replicas at most; with `gpu_share` this bounds the GPUs held."""
    look_back_period_s: float = Field(3.0, gt=0)
    """Window of the averaged counts, seconds. Ray's default of 30 answers a step after 31 s."""
    metrics_interval_s: float = Field(1.0, gt=0)
    """How often replicas and handles report, seconds. Ray's default of 10 hides a burst."""
    policy_kwargs: dict[str, Any] = Field({})
    """Settings of the queue-depth policy, explained in `autoscale/parameters.py`. What this config
    knows already (slots per replica, replicas per GPU) is filled in."""

    @model_validator(mode="after")
    def _ordered(self) -> "Scaling":
        if self.min_replicas > self.max_replicas:
            raise ValueError("min_replicas is above max_replicas: raise max_replicas")
        Parameters.from_kwargs(self.policy_kwargs)
        return self
