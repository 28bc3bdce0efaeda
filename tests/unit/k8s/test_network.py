"""Who can reach whom: every flow that is wanted, and none that is not."""

import itertools
from typing import Any

import pytest

from deployments.commands.ray_environment import RAY_ENVIRONMENT
from deployments.kubernetes.checks import findings
from deployments.kubernetes.network import Flow, Peer, allowed, matches, ways_out
from deployments.kubernetes.overlay import Overlay
from tests.unit.k8s.conftest import OVERLAYS, edit, rendered

NAME = "app.kubernetes.io/name"
PART = "app.kubernetes.io/component"


def ours(name: str, part: str | None = None) -> Peer:
    labels = {NAME: name} | ({PART: part} if part else {})
    return Peer(labels, {"kubernetes.io/metadata.name": "smallfirst"}, own_namespace=True)


def theirs(namespace: str, labels: dict[str, str], more: dict[str, str] | None = None) -> Peer:
    return Peer(labels, {"kubernetes.io/metadata.name": namespace} | (more or {}))


def address(one: str) -> Peer:
    return Peer({}, {}, address=one)


PEERS = {
    "head": ours("smallfirst", "head"),
    "worker": ours("smallfirst", "worker"),
    "redis": ours("smallfirst-redis"),
    "stray": ours("debug"),
    "operator": theirs("kuberay-system", {NAME: "kuberay-operator"}),
    "client": theirs("shop", {"app": "shop"}, {"smallfirst/client": "allowed"}),
    "stranger": theirs("other", {"app": "other"}),
    "impostor": theirs("other", {NAME: "smallfirst", PART: "worker"}),
    "prometheus": theirs("monitoring", {NAME: "prometheus"}),
    "grafana": theirs("monitoring", {NAME: "grafana"}),
    "dns": theirs("kube-system", {"k8s-app": "kube-dns"}),
    "api-server": address("10.96.0.1"),
    "provider": address("203.0.113.7"),
    "metadata": address("169.254.169.254"),
    "internet": address("1.1.1.1"),
}
PORTS = [53, 443, 6379, 6443, 8000, 8080, 8265, 10001, 44217, 44227, 52365]
RAY = list(itertools.product(("head", "worker"), repeat=2))
WANTED = {
    *((a, b, port) for a, b in RAY for port in PORTS),
    *((a, "dns", 53) for a in ("head", "worker", "redis", "stray")),
    ("operator", "head", 8265),
    ("client", "worker", 8000),
    *(("prometheus", b, port) for b in ("head", "worker") for port in (8080, 44217, 44227)),
    ("head", "api-server", 443),
}
REDIS = {("head", "redis", 6379), ("worker", "redis", 6379)}
PROVIDER = {("worker", "provider", 443)}
EXPECTED = {
    "dev-cpu": WANTED,
    "prod-cloud": WANTED | REDIS | PROVIDER,
    "onprem-hipaa": WANTED | REDIS,
}


def reached(overlay: Overlay) -> set[tuple[str, str, int]]:
    """Every (from, to, port) that passes, between two of which one is ours."""
    pairs = [
        (a, b)
        for a, b in itertools.product(PEERS, repeat=2)
        if (PEERS[a].own_namespace or PEERS[b].own_namespace) and (a != b or (a, b) in RAY)
    ]
    return {
        (a, b, port)
        for a, b in pairs
        for port in PORTS
        if allowed(overlay, Flow(PEERS[a], PEERS[b], port))
    }


@pytest.mark.parametrize("name", OVERLAYS)
def test_exactly_the_wanted_flows_pass(name: str) -> None:
    assert reached(rendered(name)) == EXPECTED[name]


def test_nothing_of_the_air_gapped_cluster_reaches_outside() -> None:
    overlay = rendered("onprem-hipaa")
    assert list(ways_out(overlay)) == []
    samples = [f"{first}.{second}.3.7" for first in range(1, 224) for second in (0, 77, 200)]
    outside = [one for one in samples if first_is_public(one)]
    assert len(outside) > 600
    for who, where in itertools.product(("head", "worker", "redis", "stray"), outside):
        for port in (53, 80, 443):
            assert not allowed(overlay, Flow(PEERS[who], address(where), port))


def first_is_public(one: str) -> bool:
    import ipaddress

    return ipaddress.ip_address(one).is_global


def test_dns_goes_by_both_protocols() -> None:
    for protocol in ("TCP", "UDP"):
        flow = Flow(PEERS["worker"], PEERS["dns"], 53, protocol)
        assert allowed(rendered("dev-cpu"), flow)
    assert not allowed(rendered("dev-cpu"), Flow(PEERS["worker"], PEERS["dns"], 5353, "UDP"))


@pytest.mark.parametrize(
    ("rule", "opened"),
    [
        ({"egress": [{"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}]}, ("worker", "internet", 443)),
        ({"egress": [{}]}, ("worker", "metadata", 443)),
        ({"egress": [{"to": [{"ipBlock": {"cidr": "::/0"}}]}]}, None),
        ({"egress": [{"to": [{"ipBlock": {"cidr": "169.254.0.0/16"}}]}]}, None),
        ({"ingress": [{"from": [{"namespaceSelector": {}}]}]}, ("stranger", "worker", 8265)),
        ({"ingress": [{}]}, ("impostor", "worker", 8265)),
    ],
)
def test_a_policy_that_opens_more_is_found(
    rule: dict[str, Any], opened: tuple[str, str, int] | None
) -> None:
    side = "Egress" if "egress" in rule else "Ingress"
    more = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "more", "namespace": "smallfirst"},
        "spec": {"podSelector": {"matchLabels": {NAME: "smallfirst"}}, "policyTypes": [side]}
        | rule,
    }
    wrong = Overlay((*rendered("onprem-hipaa").objects, more))
    if side == "Egress":
        assert list(ways_out(wrong))
        found = {finding.rule for finding in findings(wrong, RAY_ENVIRONMENT)}
        assert found == {"upstreams_can_be_reached"}
    assert opened is None or opened in reached(wrong) - EXPECTED["onprem-hipaa"]


def test_without_a_way_out_the_providers_absence_is_found() -> None:
    shut = tuple(
        one
        for one in rendered("prod-cloud").objects
        if one["metadata"]["name"] != "workers-to-provider"
    )
    found = findings(Overlay(shut), RAY_ENVIRONMENT)
    assert [finding.rule for finding in found] == ["upstreams_can_be_reached"]


def test_without_the_first_denial_a_stray_pod_is_open(prod: Overlay) -> None:
    open_to_all = edit(prod, "NetworkPolicy:default", "spec/policyTypes", ["Egress"])
    assert allowed(open_to_all, Flow(PEERS["stranger"], PEERS["stray"], 22))
    assert not allowed(prod, Flow(PEERS["stranger"], PEERS["stray"], 22))


@pytest.mark.parametrize(
    ("expression", "labels", "taken"),
    [
        ({"key": "a", "operator": "In", "values": ["1", "2"]}, {"a": "2"}, True),
        ({"key": "a", "operator": "In", "values": ["1"]}, {}, False),
        ({"key": "a", "operator": "NotIn", "values": ["1"]}, {}, True),
        ({"key": "a", "operator": "Exists"}, {"a": ""}, True),
        ({"key": "a", "operator": "DoesNotExist"}, {"a": ""}, False),
    ],
)
def test_selectors_are_read_as_kubernetes_reads_them(
    expression: dict[str, Any], labels: dict[str, str], taken: bool
) -> None:
    assert matches({"matchExpressions": [expression]}, labels) is taken
