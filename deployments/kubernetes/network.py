"""Who may open a connection to whom, as Kubernetes reads NetworkPolicies: a flow passes where every
policy side that selects a pod lets it, and a pod that no policy selects is open."""

import ipaddress
from collections.abc import Iterator
from typing import NamedTuple

from deployments.kubernetes.overlay import Manifest, Overlay

Labels = dict[str, str]
ANY_PORT = 0
# Addresses that belong to nobody outside: RFC 1918, RFC 6598, loopback, link-local, and IPv6's own.
INSIDE = [
    ipaddress.ip_network(block)
    for block in (
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "fc00::/7",
        "::1/128",
    )
]


class Peer(NamedTuple):
    """A pod with its namespace, or an address outside of both."""

    labels: Labels
    namespace: Labels
    own_namespace: bool = False
    address: str | None = None


class Flow(NamedTuple):
    """A connection that somebody would like to open."""

    source: Peer
    target: Peer
    port: int
    protocol: str = "TCP"


def allowed(overlay: Overlay, flow: Flow) -> bool:
    """Whether the overlay's policies let this connection come about."""
    policies = overlay.of_kind("NetworkPolicy")
    return _side(policies, "Egress", flow) and _side(policies, "Ingress", flow)


def _side(policies: list[Manifest], side: str, flow: Flow) -> bool:
    """Whether the pod on one side may; pods of other namespaces are not ours to bind."""
    own, other = (flow.source, flow.target) if side == "Egress" else (flow.target, flow.source)
    if not own.own_namespace:
        return True
    specs = selecting(policies, side, own)
    if not specs:
        return True
    peers = "to" if side == "Egress" else "from"
    return any(
        _rule_lets(rule, peers, other, flow)
        for spec in specs
        for rule in spec.get(side.lower(), ())
    )


def selecting(policies: list[Manifest], side: str, pod: Peer) -> list[Manifest]:
    """The specs of the policies that bind one side of a pod."""
    return [
        one["spec"]
        for one in policies
        if side in policy_types(one["spec"])
        and matches(one["spec"].get("podSelector", {}), pod.labels)
    ]


def policy_types(spec: Manifest) -> list[str]:
    """Which sides a policy binds; by default ingress, and egress where it has such rules."""
    said: list[str] | None = spec.get("policyTypes")
    return said or (["Ingress", "Egress"] if "egress" in spec else ["Ingress"])


def matches(selector: Manifest, labels: Labels) -> bool:
    """Whether a label selector takes these labels; an empty one takes all."""
    wanted = selector.get("matchLabels") or {}
    if any(labels.get(key) != value for key, value in wanted.items()):
        return False
    return all(_expression(one, labels) for one in selector.get("matchExpressions") or ())


def _expression(expression: Manifest, labels: Labels) -> bool:
    value, values = labels.get(expression["key"]), expression.get("values", ())
    return {
        "In": value in values,
        "NotIn": value not in values,
        "Exists": value is not None,
        "DoesNotExist": value is None,
    }[expression["operator"]]


def _rule_lets(rule: Manifest, peers: str, other: Peer, flow: Flow) -> bool:
    ports = rule.get("ports")
    return (ports is None or any(_port_is(one, flow) for one in ports)) and (
        not rule.get(peers) or any(peer_is(one, other) for one in rule[peers])
    )


def _port_is(port: Manifest, flow: Flow) -> bool:
    if port.get("protocol", "TCP") != flow.protocol:
        return False
    first: int | None = port.get("port")
    return first is None or first <= flow.port <= int(port.get("endPort", first))


def peer_is(peer: Manifest, other: Peer) -> bool:
    """Whether one entry of `from` or `to` means this peer."""
    if "ipBlock" in peer:
        return other.address is not None and _block_has(peer["ipBlock"], other.address)
    if other.address is not None:
        return False
    if "namespaceSelector" in peer:
        if not matches(peer["namespaceSelector"], other.namespace):
            return False
    elif not other.own_namespace:
        return False
    return matches(peer.get("podSelector", {}), other.labels)


def _block_has(block: Manifest, address: str) -> bool:
    one = ipaddress.ip_address(address)
    return one in ipaddress.ip_network(block["cidr"]) and not any(
        one in ipaddress.ip_network(hole) for hole in block.get("except", ())
    )


def ways_out(overlay: Overlay) -> Iterator[str]:
    """Every egress rule that reaches an address outside, or that reaches any."""
    for policy in overlay.of_kind("NetworkPolicy"):
        name, spec = policy["metadata"]["name"], policy["spec"]
        if "Egress" not in policy_types(spec):
            continue
        for rule in spec.get("egress", ()):
            if not rule.get("to"):
                yield f"NetworkPolicy {name}: an egress rule without `to` reaches everybody"
            for peer in rule.get("to", ()):
                if "ipBlock" in peer and not is_inside(peer["ipBlock"]["cidr"]):
                    yield f"NetworkPolicy {name}: {peer['ipBlock']['cidr']} lies outside"


def is_inside(cidr: str) -> bool:
    """Whether a block has private addresses only."""
    block = ipaddress.ip_network(cidr)
    return any(
        block.version == inside.version and block.subnet_of(inside)  # type: ignore[arg-type]
        for inside in INSIDE
    )


def everything_is_denied_first(overlay: Overlay) -> Iterator[str]:
    """One policy selects every pod, both ways, and allows nothing."""
    for policy in overlay.of_kind("NetworkPolicy"):
        spec = policy["spec"]
        nothing = not spec.get("ingress") and not spec.get("egress")
        if spec.get("podSelector") == {} and nothing and len(policy_types(spec)) == 2:
            return
    yield "no NetworkPolicy denies everything first: keep base/networkpolicies.yaml's default-deny"


def policies_go_by_our_label(overlay: Overlay) -> Iterator[str]:
    """No selector names a label whose value changes with every upgrade."""
    for kind in ("NetworkPolicy", "PodDisruptionBudget", "PodMonitor"):
        for one in overlay.of_kind(kind):
            if "ray.io/cluster" in str(one["spec"]):
                yield (
                    f"{kind} {one['metadata']['name']}: ray.io/cluster changes with every upgrade: "
                    "select app.kubernetes.io/name: smallfirst"
                )


def upstreams_can_be_reached(overlay: Overlay) -> Iterator[str]:
    """An application that asks a provider has a way out to it, and one that asks none has none."""
    leading = [name for name, tier in overlay.app.tiers.items() if tier.leads_out]
    out = list(ways_out(overlay))
    if leading and not out:
        yield (
            f"{leading[0]}.engine.base_url: no NetworkPolicy lets the workers out: add an egress "
            "rule to the provider's addresses, port 443"
        )
    if not leading:
        yield from (f"{one}, and no tier needs it: remove it" for one in out)


NETWORK_RULES = (everything_is_denied_first, policies_go_by_our_label, upstreams_can_be_reached)
