"""Alerts fire and stay silent as they should, every one has a section in the runbook, and every
query of rules and dashboards parses."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.k8s.conftest import K8S, ROOT, rendered
from tests.unit.k8s.queries import alerts, dashboard_queries, dashboards, rule_spec

TESTS = sorted((K8S / "monitoring" / "tests").glob("*.yml"))
needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="no promtool: apt install prometheus"
)


def promtool(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["promtool", *words], cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The rules out of their wrapping, and the tests beside them."""
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rule_spec()))
    for test in TESTS:
        shutil.copy(test, tmp_path)
    return tmp_path


@needs_promtool
def test_the_rules_are_sound(folder: Path) -> None:
    done = promtool(folder, "check", "rules", "rules.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
@pytest.mark.parametrize("test", TESTS, ids=lambda path: path.stem)
def test_alerts_fire_and_stay_silent(folder: Path, test: Path) -> None:
    done = promtool(folder, "test", "rules", test.name)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
@pytest.mark.parametrize(
    ("right", "wrong", "test"),
    [
        ("> 32", "> 50", "serving.yml"),
        ("> 32", "> 29", "serving.yml"),
        ("for: 45m", "for: 30m", "cluster.yml"),
        ('outcome!~"ok|cancelled|', 'outcome!~"ok|', "serving.yml"),
        ("sum by (tier, le)", "sum by (le)", "serving.yml"),
        ("> 200", "> 2", "routing.yml"),
    ],
)
def test_a_wrong_rule_is_found(folder: Path, right: str, wrong: str, test: str) -> None:
    rules = folder / "rules.yaml"
    text = yaml.safe_dump(rule_spec(), width=10_000)
    assert right in text
    rules.write_text(text.replace(right, wrong))
    assert promtool(folder, "test", "rules", test).returncode != 0


def cases() -> list[tuple[str, list[Any]]]:
    return [
        (case["alertname"], case["exp_alerts"])
        for file in TESTS
        for group in yaml.safe_load(file.read_text())["tests"]
        for case in group["alert_rule_test"]
    ]


def test_every_alert_is_seen_to_fire_and_to_stay_silent() -> None:
    names = {alert["alert"] for alert in alerts()}
    assert {name for name, expected in cases() if expected} == names
    assert {name for name, expected in cases() if not expected} == names


def anchor(heading: str) -> str:
    return re.sub(r"[^\w-]", "", heading.lower().replace(" ", "-"))


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: str(alert["alert"]))
def test_an_alert_says_what_and_leads_to_its_runbook(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in ("warning", "critical")
    assert alert["annotations"]["summary"]
    file, _, section = alert["annotations"]["runbook_url"].partition("#")
    headings = re.findall(r"^## (.*)$", (ROOT / file).read_text(), re.MULTILINE)
    assert section == anchor(alert["alert"]) and section in map(anchor, headings)


def test_the_runbook_has_no_section_without_an_alert() -> None:
    text = (ROOT / "docs" / "runbooks" / "alerts.md").read_text()
    assert set(re.findall(r"^## (.*)$", text, re.MULTILINE)) == {a["alert"] for a in alerts()}


@needs_promtool
def test_every_query_of_a_dashboard_parses(tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:{i}", "expr": query} for i, (_, query) in enumerate(dashboard_queries())
    ]
    assert len(rules) > 30
    document = {"groups": [{"name": "dashboards", "rules": rules}]}
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(document))
    done = promtool(tmp_path, "check", "rules", "rules.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", sorted(dashboards()))
def test_a_dashboard_is_one_that_grafana_takes(name: str) -> None:
    dashboard = dashboards()[name]
    panels = dashboard["panels"]
    ids = [panel["id"] for panel in panels]
    assert len(ids) == len(set(ids))
    assert len(dashboard["uid"]) <= 40 and dashboard["title"].startswith("smallfirst")
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        if panel["type"] != "row":
            assert panel["title"] and panel["description"]
            assert all(target["expr"] for target in panel["targets"])


def test_dashboards_have_uids_of_their_own_and_fit_a_configmap() -> None:
    uids = [one["uid"] for one in dashboards().values()]
    assert len(set(uids)) == len(uids) == 4
    maps = rendered("prod-cloud").of_kind("ConfigMap")
    assert len(maps) == 4
    for one in maps:
        assert one["metadata"]["labels"]["grafana_dashboard"] == "1"
        assert len(json.dumps(one)) < 2**20
        (text,) = one["data"].values()
        assert json.loads(text) in dashboards().values()
