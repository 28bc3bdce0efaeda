"""The queries of rules and dashboards, and the metrics and labels that they name."""

import json
import re
from functools import cache
from typing import Any

import yaml

from tests.unit.k8s.conftest import K8S

MONITORING = K8S / "monitoring"
# What Grafana puts in, as a query that Prometheus can parse.
VARIABLES = {"$__rate_interval": "5m", "$__range": "1h", "$namespace": "smallfirst"}
WORDS = {"and", "or", "unless", "by", "on", "without", "ignoring", "bool", "offset", "group_left"}


@cache
def rule_spec() -> dict[str, Any]:
    """The groups of the PrometheusRule."""
    spec: dict[str, Any] = yaml.safe_load((MONITORING / "rules" / "smallfirst.yaml").read_text())
    return dict(spec["spec"])


def rules() -> list[dict[str, Any]]:
    return [rule for group in rule_spec()["groups"] for rule in group["rules"]]


def alerts() -> list[dict[str, Any]]:
    return [rule for rule in rules() if "alert" in rule]


@cache
def dashboards() -> dict[str, Any]:
    """Every dashboard by the name of its file."""
    files = (MONITORING / "dashboards").glob("*.json")
    return {file.stem: json.loads(file.read_text()) for file in files}


def dashboard_queries() -> list[tuple[str, str]]:
    """(dashboard, query) of every panel and variable, with values in the place of variables."""
    found = []
    for name, dashboard in dashboards().items():
        for panel in dashboard["panels"]:
            for target in panel.get("targets", ()):
                query = target["expr"]
                for variable, value in VARIABLES.items():
                    query = query.replace(variable, value)
                found.append((name, query))
    return found


def every_query() -> list[str]:
    return [rule["expr"] for rule in rules()] + [query for _, query in dashboard_queries()]


def selectors(query: str) -> dict[str, set[str]]:
    """The metrics of a query, each with the labels that are matched on it.

    >>> selectors('sum by (a) (rate(x_total{b="1",c!~"d"}[5m])) / on (a) y > 1')
    {'x_total': {'b', 'c'}, 'y': set()}
    """
    bare = re.sub(r"\b(by|on|without|ignoring)\s*\([^)]*\)", " ", query)
    bare = re.sub(r"#.*", "", bare)
    found: dict[str, set[str]] = {}
    pattern = r"(?<![\w\"'$:.])([a-zA-Z_:][\w:]*)\s*(\{[^}]*\})?(?!\w*\s*\()"
    for name, matchers in re.findall(pattern, re.sub(r"\[[^\]]*\]", "", bare)):
        if name in WORDS or (not matchers and re.search(rf"(?<![\w:]){name}\s*\(", bare)):
            continue
        found.setdefault(name, set()).update(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers))
    return found
