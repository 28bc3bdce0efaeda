"""Rules and dashboards name metrics and labels that the application exports. What Ray itself
exports is compared with a scrape in tests/cluster/test_exported_metrics.py."""

import re
from typing import Any

import pytest
from ray.serve import metrics

from autoscale.gauges import NAMES
from tests.unit.k8s.conftest import ROOT
from tests.unit.k8s.queries import every_query, rules, selectors

# Ray Serve adds who it is, its agent where it runs, and Prometheus which pod that was.
ADDED = {"deployment", "replica", "application", "NodeAddress", "Component", "namespace", "pod"}
# From outside the application, by who exports them.
OUTSIDE = {
    "kube-state-metrics": {"kube_pod_status_phase": {"namespace", "phase", "pod"}},
    "the operator": {
        "kuberay_service_condition_ready": {"namespace", "name", "condition"},
        "kuberay_service_condition_upgrade_in_progress": {"namespace", "name", "condition"},
    },
}


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> dict[str, set[str]]:
    """Every metric that the application defines, under its exported name, with its labels."""
    found = {f"ray_smallfirst_autoscale_{name}": {"scaled_deployment"} for name in NAMES}
    found["ray_smallfirst_autoscale_decided_replicas"] = {"scaled_deployment"}

    def recorder(suffixes: tuple[str, ...]) -> Any:
        def record(name: str, *_: Any, tag_keys: tuple[str, ...] = (), **__: Any) -> object:
            found.update({f"ray_{name}{suffix}": set(tag_keys) for suffix in suffixes})
            return object()

        return record

    for kind, suffixes in {
        "Counter": ("",),
        "Gauge": ("",),
        "Histogram": ("_bucket", "_sum", "_count"),
    }.items():
        monkeypatch.setattr(metrics, kind, recorder(suffixes))
    from deployments.accounting.metrics import RequestMetrics
    from deployments.accounting.rate_gauges import RateGauges
    from deployments.replicas.classify import DriftGauges
    from deployments.replicas.gauges import EngineGauges

    for definer in (RequestMetrics, RateGauges, DriftGauges, EngineGauges):
        definer()
    owner = (ROOT / "deployments" / "accounting" / "owner_replica.py").read_text()
    for name in re.findall(r'"(smallfirst_accounts_\w+)"', owner):
        found[f"ray_{name}"] = set()  # its constructor opens a database
    return found


def test_every_query_names_what_is_exported(exported: dict[str, set[str]]) -> None:
    recorded = {rule["record"]: {"tier"} for rule in rules() if "record" in rule}
    known = exported | recorded
    for metrics_of in OUTSIDE.values():
        known |= metrics_of
    for query in every_query():
        for metric, labels in selectors(query).items():
            if metric.startswith("ray_") and not metric.startswith("ray_smallfirst_"):
                continue  # Ray's own
            assert metric in known, query
            assert labels <= known[metric] | ADDED, query


def test_a_wrong_name_is_seen() -> None:
    query = 'sum(rate(ray_smallfirst_request_total{teir="large"}[5m])) by (tier) > 0.5'
    assert selectors(query) == {"ray_smallfirst_request_total": {"teir"}}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("absent(up)", {"up": set()}),
        ("a:b:c > 0.1 or vector(0)", {"a:b:c": set()}),
        ('histogram_quantile(0.9, sum by (le) (rate(x_bucket{a!="b"}[5m])))', {"x_bucket": {"a"}}),
        ("max(y) == on (a) min by (a) (min_over_time(z[30m] offset 5m))", {"y": set(), "z": set()}),
        ('3600 * sum(rate(c{n="1"}[5m])) / count(d{m=~"e|f"})', {"c": {"n"}, "d": {"m"}}),
    ],
)
def test_queries_are_read(query: str, found: dict[str, set[str]]) -> None:
    assert selectors(query) == found
