"""Settings of what scores a request."""

from pydantic import Field

from deployments.settings.group import Settings
from deployments.settings.scaling import Scaling


class ClassifierConfig(Settings):
    """The deployment that scores every `auto` request."""

    artifact: str | None = None
    """Folder of a trained artefact on every node; null: the one in the package."""
    domains: dict[str, list[str]] = Field({})
    """Domains to recognise, each with a few example prompts; an adapter may name one."""
    threshold: float = Field(0.7, ge=0, le=1)
    """Scores at or above it go large, at first: `escalation` then moves it to hold its target. 0.7
    is the trained budget's threshold by construction: the artefact carries the budget."""
    timeout_s: float = Field(1.0, gt=0)
    """Longest wait for a score before the request goes small unscored."""
    num_cpus: float = Field(0.1, ge=0)
    """Cores that Ray reserves; a score takes about a millisecond."""
    max_ongoing_requests: int = Field(64, ge=1)
    """Scores asked of one replica at a time: 64 of a millisecond each are far below `timeout_s`."""
    scaling: Scaling = Scaling(max_replicas=2)
    """How many replicas."""
