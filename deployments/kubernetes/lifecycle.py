"""How long a request may take, and everything that would cut it: from the longest request outwards,
each bound has to be above the one inside it."""

from collections.abc import Iterator
from typing import NamedTuple

from autoscale.parameters import Parameters
from deployments.kubernetes.overlay import Group, Overlay

# What Ray itself takes to end its processes after a drain, seconds.
SHUTDOWN_S = 15
# How long an ingress or kube-proxy may go on sending to a pod that is leaving, seconds.
UNHEARD_S = 5
# The Ray defaults of what a manifest leaves out.
HAPROXY_HARD_STOP_S = 120.0
DRAIN_S = 30.0
KUBERNETES_GRACE_S = 30


class Bound(NamedTuple):
    """Something that ends requests after a while."""

    name: str
    seconds: float
    at_least_s: float


def preparation_s(group: Group) -> float:
    """How long a pod's `preStop` sleeps before Ray hears that it has to stop, seconds."""
    hook = group.container.get("lifecycle", {}).get("preStop", {})
    if "sleep" in hook:
        return float(hook["sleep"]["seconds"])
    command = hook.get("exec", {}).get("command", [])
    return float(command[1]) if command[:1] == ["sleep"] and len(command) == 2 else 0.0


def bounds(overlay: Overlay) -> Iterator[Bound]:
    """Every bound around the longest request, with the least that it may be."""
    longest_s = overlay.app.gateway.max_request_s
    http = overlay.serve_config.get("http_options") or {}
    yield Bound("http_options.request_timeout_s", http.get("request_timeout_s") or 1e9, longest_s)
    spec = overlay.rayservice["spec"]
    deletion_s = spec.get("rayClusterDeletionDelaySeconds", 60)
    yield Bound("rayClusterDeletionDelaySeconds", deletion_s, longest_s + UNHEARD_S)
    for group in overlay.workers:
        yield from _pod_bounds(group, longest_s)


def _pod_bounds(group: Group, longest_s: float) -> Iterator[Bound]:
    where = f"group {group.name}: "
    env = group.env
    hard_stop_s = float(env.get("RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S") or HAPROXY_HARD_STOP_S)
    yield Bound(f"{where}RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S", hard_stop_s, longest_s)
    yield Bound(f"{where}the preStop sleep", preparation_s(group), UNHEARD_S)
    drain_s = float(env.get("RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S") or DRAIN_S)
    yield Bound(f"{where}RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S", drain_s, longest_s)
    grace_s = group.pod.get("terminationGracePeriodSeconds", KUBERNETES_GRACE_S)
    whole_s = preparation_s(group) + drain_s + SHUTDOWN_S
    yield Bound(f"{where}terminationGracePeriodSeconds", grace_s, whole_s)


def requests_outlive_changes(overlay: Overlay) -> Iterator[str]:
    """No drain, rollout or upgrade cuts a request that was let in."""
    for bound in bounds(overlay):
        if bound.seconds < bound.at_least_s:
            yield (
                f"{bound.name} is {bound.seconds:g} s; the longest request "
                f"(gateway.max_request_s {overlay.app.gateway.max_request_s:g} s) needs "
                f"{bound.at_least_s:g} s: raise it, or lower max_request_s"
            )


def idle_workers_outlast_the_policy(overlay: Overlay) -> Iterator[str]:
    """A node is not given back while the policy still holds a replica for the next burst."""
    options = overlay.cluster.get("autoscalerOptions", {})
    default_s = options.get("idleTimeoutSeconds", 60)
    for name, tier in overlay.app.tiers.items():
        hold_s = hold_down_s(tier.scaling.policy_kwargs)
        for group in overlay.workers:
            idle_s = group.manifest.get("idleTimeoutSeconds", default_s)
            if idle_s < hold_s:
                yield (
                    f"group {group.name}: idleTimeoutSeconds {idle_s} is below {name}'s "
                    f"hold_down_s {hold_s:g}: raise it"
                )


def hold_down_s(policy_kwargs: dict[str, object]) -> float:
    """How long the policy keeps a replica that it might need again, seconds."""
    return float(Parameters.from_kwargs(policy_kwargs).hold_down_s)


LIFECYCLE_RULES = (requests_outlive_changes, idle_workers_outlast_the_policy)
