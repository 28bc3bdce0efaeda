"""All rules over one overlay, as findings with a sentence each."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from deployments.kubernetes.fit_rules import FIT_RULES, environment_is_ours
from deployments.kubernetes.lifecycle import LIFECYCLE_RULES
from deployments.kubernetes.network import NETWORK_RULES
from deployments.kubernetes.operator_rules import OPERATOR_RULES
from deployments.kubernetes.overlay import Overlay
from deployments.kubernetes.pod_rules import POD_RULES
from deployments.kubernetes.upgrade_rules import UPGRADE_RULES
from deployments.settings.config_mistake import ConfigError

Rule = Callable[[Overlay], Iterator[str]]


class Finding(NamedTuple):
    """One breach: the rule's name, and a sentence with the mend."""

    rule: str
    sentence: str


def rules(ray_environment: dict[str, str]) -> tuple[Rule, ...]:
    """Every rule; `ray_environment` is what each pod must have in its environment."""
    return (
        *OPERATOR_RULES,
        *POD_RULES,
        *FIT_RULES,
        *UPGRADE_RULES,
        environment_is_ours(ray_environment),
        *LIFECYCLE_RULES,
        *NETWORK_RULES,
    )


def findings(overlay: Overlay, ray_environment: dict[str, str]) -> list[Finding]:
    """Every breach. A config that cannot be read is one, and hides the rules that need it."""
    found: list[Finding] = []
    try:
        _ = overlay.app
    except ConfigError as error:
        return [Finding("config", str(error))]
    for rule in rules(ray_environment):
        try:
            found += [Finding(rule.__name__, sentence) for sentence in rule(overlay)]
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            # The rules read what the API server takes; what it would refuse is said once, here.
            found.append(Finding("malformed", f"{rule.__name__} cannot judge it: {error!r}"))
    return found
