"""Two gateways under constant load: what changes in place restarts nothing, nothing is lost, and
the gateways agree."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import yaml

from bench.faults.drill import ARGS, BODY, Drill, drilled, merged
from tests.endpoint import wait_until

pytestmark = pytest.mark.timeout(420)
EDIT = {
    "small": {
        "adapters": {"law": {"path": "/adapters/law"}},
        "usd_per_million_prompt_tokens": 0,
        "usd_per_million_completion_tokens": 1_000_000,
        "stall_timeout_s": 50,
    },
    # Of the tier that has little to do: a replica that only load brought would leave again.
    "large": {"scaling": {"min_replicas": 1, "max_replicas": 2}},
    "classifier": {"threshold": 0.55},
    "escalation": {"target_rate": 0.2, "hold": False, "burst": 7},
    "gateway": {"session_ttl_s": 60, "max_request_s": 500},
}

# What the REST API does with a file; the endpoints of tests run without the dashboard that has it.
HAND_OVER = """
import json, sys
import ray
from ray.serve.context import _get_global_client
from ray.serve.schema import ServeDeploySchema
ray.init(sys.argv[1], namespace="serve", log_to_driver=False, configure_logging=False)
document = ServeDeploySchema.model_validate(json.loads(sys.argv[2]))
_get_global_client().deploy_apps(document, _blocking=True)
"""


@pytest.fixture(scope="module")
def drill() -> Iterator[Drill]:
    with drilled(ARGS, per_s=20) as drill:
        yield drill


def everywhere(drill: Drill, **body: object) -> list[httpx.Response]:
    """The answers to one request that is sent until both gateways must have had it."""
    # A connection each: Ray's proxy chooses a gateway for every request.
    return [
        httpx.post(f"{drill.endpoint.url}/v1/chat/completions", json={**BODY, **body}, timeout=60)
        for _ in range(8)
    ]


def hand_over(drill: Drill, changes: dict[str, Any]) -> None:
    """Have Serve take the first file, changed so, as its REST API does; wait until it runs."""
    document = yaml.safe_load(drill.config.read_text())
    (application,) = document["applications"]
    application |= {"name": "smallfirst", "import_path": "deployments.app:build"}
    application["args"] = merged(application["args"], changes)
    (note,) = drill.config.parent.glob("r/*/run-*.json")
    address = json.loads(note.read_text())["address"]
    done = subprocess.run(
        [sys.executable, "-c", HAND_OVER, address, json.dumps(document)],
        env={**os.environ, "RAY_AUTH_MODE": "token"},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_settings_change_in_place(drill: Drill) -> None:
    row = drill.measure("settings", lambda drill: drill.apply(EDIT))
    assert (row.lost, row.cut, row.restarted) == (0, 0, []), row
    answers = everywhere(drill, model="law", max_tokens=3)
    assert {answer.headers["x-smallfirst-model"] for answer in answers} == {"law"}
    routes = [httpx.post(f"{drill.endpoint.url}/v1/route", json=BODY, timeout=60) for _ in range(8)]
    assert {route.json()["threshold"] for route in routes} == {0.55}
    wait_until(
        lambda: [r for r in drill.endpoint.records() if r["model"] == "law"][7:], 20, "records"
    )
    paid = [r["cost_usd"] for r in drill.endpoint.records() if r["model"] == "law"]
    assert paid == [3.0] * 8


def test_going_back_and_deploying_the_same_again_restart_nothing(drill: Drill) -> None:
    row = drill.measure("back", lambda drill: drill.apply({}))
    assert (row.lost, row.cut, row.restarted) == (0, 0, []), row
    assert {answer.status_code for answer in everywhere(drill, model="law")} == {404}
    again = drill.measure("same", lambda drill: drill.apply({}))
    assert (again.lost, again.cut, again.restarted) == (0, 0, []), again


def test_a_file_handed_to_serve_restarts_what_its_release_changes(drill: Drill) -> None:
    """As KubeRay's operator hands it over; `smallfirst apply` deploys from Python."""
    row = drill.measure("edited", lambda drill: hand_over(drill, EDIT))
    assert (row.lost, row.cut, row.restarted) == (0, 0, []), row
    assert {answer.status_code for answer in everywhere(drill, model="law")} == {200}
    release = {"large": {"engine": {"seed": 2}}}
    row = drill.measure("released", lambda drill: hand_over(drill, release))
    assert (row.lost, row.cut, row.restarted) == (0, 0, ["Escalation"]), row


def test_the_controller_and_the_board_are_killed(drill: Drill) -> None:
    def kill(drill: Drill) -> None:
        drill.processes("ray::ServeController")[0].kill()
        drill.endpoint.replicas("Board")[0].kill()
        wait_until(lambda: drill.endpoint.replicas("Board"), 90, "another board")

    row = drill.measure("killed", kill)
    assert (row.lost, row.cut, row.restarted) == (0, 0, ["Board"]), row


def test_what_kills_engines_at_one_gateway_is_refused_at_both(drill: Drill) -> None:
    wait_until(lambda: drill.endpoint.whole(2), 60, "two small replicas")
    before = drill.endpoint.deaths()
    poison = {**BODY, "model": "small", "user": "drill:die"}
    first = httpx.post(f"{drill.endpoint.url}/v1/chat/completions", json=poison, timeout=60)
    assert first.json()["error"]["code"] == "engine_killed"
    time.sleep(3)  # the gateways hear of each other within half a second; the machine may be busy
    answers = everywhere(drill, model="small", user="drill:die")
    assert {answer.json()["error"]["code"] for answer in answers} == {"engine_killed"}
    # Once at the gateway that had it first; the other one has heard of it.
    assert drill.endpoint.deaths() == before + 2
