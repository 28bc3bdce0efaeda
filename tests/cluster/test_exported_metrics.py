"""What rules and dashboards ask of Ray, and of the application, is what a running one exports."""

import re
import time
from contextlib import suppress

import httpx
import psutil

from tests.cluster.test_cluster import body
from tests.endpoint import Endpoint, wait_until
from tests.unit.k8s.queries import every_query, selectors
from tests.unit.k8s.test_metric_names import ADDED

# Exported when it happens for the first time, or where there is such a thing; its definition is
# held by tests/unit/k8s/test_metric_names.py.
SELDOM = re.compile(
    r"ray_smallfirst_(unscored_total|accounting_failed_total|ledger_lines_lost_total"
    r"|accounts_.*|classifier_drift_.*|cost_usd_total|autoscale_.*)"
)


def scraped(endpoint: Endpoint) -> dict[str, set[str]]:
    """Every metric of the node's agent, with its labels."""
    found: dict[str, set[str]] = {}
    for process in endpoint.descendants():
        for port in _listening(process):
            for name, labels in re.findall(r"^(\w+)(?:\{(.*)\})? ", _metrics(port), re.MULTILINE):
                found.setdefault(name, set()).update(re.findall(r'(\w+)="', labels))
    return found


def _listening(process: psutil.Process) -> list[int]:
    try:
        if "Agent" not in " ".join(process.cmdline()):
            return []
        connections = process.net_connections("tcp")
    except psutil.Error:
        return []
    return [one.laddr.port for one in connections if one.status == psutil.CONN_LISTEN]


def _metrics(port: int) -> str:
    try:
        answer = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=5)
    except httpx.HTTPError:
        return ""
    return answer.text if answer.status_code == 200 else ""


def asked_for() -> dict[str, set[str]]:
    """The pods' own metrics that rules and dashboards name, with the labels they match."""
    found: dict[str, set[str]] = {}
    for query in every_query():
        for metric, labels in selectors(query).items():
            if metric.startswith("ray_") and not SELDOM.fullmatch(metric):
                found.setdefault(metric, set()).update(labels)
    return found


def test_every_metric_that_is_asked_for_is_exported(endpoint: Endpoint) -> None:
    for tier in ("small", "large"):
        for stream in (False, True):
            request = body(model=tier, max_tokens=5, stream=stream)
            answer = httpx.post(f"{endpoint.url}/v1/chat/completions", json=request, timeout=60)
            assert answer.status_code == 200
    asked = asked_for()
    seen: dict[str, set[str]] = {}

    def all_there() -> bool:
        time.sleep(1)  # Ray exports every ten seconds
        for name, labels in scraped(endpoint).items():
            seen.setdefault(name, set()).update(labels)
        return asked.keys() <= seen.keys()

    with suppress(AssertionError):  # the next line says what is missing
        wait_until(all_there, 60)
    assert asked.keys() - seen.keys() == set()
    for metric, labels in asked.items():
        assert labels <= seen[metric] | ADDED, metric
