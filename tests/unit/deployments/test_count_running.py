"""What the gateway makes of what Serve's controller says of replicas."""

from typing import Any

import pytest
from ray.serve._private.common import ReplicaState

from deployments import ingress


class Client:
    """Serve's client with one answer of the controller's."""

    def __init__(self, small: list[str], large: list[str]) -> None:
        def deployment(states: list[str]) -> dict[str, Any]:
            return {
                "status": "UPDATING",
                "target_num_replicas": 1,
                "replicas": [
                    {"replica_id": str(n), "state": ReplicaState(state).value, "node_id": "n"}
                    for n, state in enumerate(states)
                ],
            }

        deployments = {
            "Gateway": deployment(["RUNNING"] * 2),
            "SmallTier": deployment(small),
            "Escalation": deployment(large),
        }
        self.said = {
            "applications": {
                "mine": {"status": "DEPLOYING", "deployments": deployments},
                "another": {"status": "RUNNING", "deployments": {}},
            }
        }

    def get_serve_details(self) -> dict[str, Any]:
        return self.said


@pytest.mark.parametrize(
    ("small", "large", "running"),
    [
        (["RUNNING"], ["RUNNING", "RUNNING"], (1, 2)),
        (["PENDING_MIGRATION"], ["PENDING_MIGRATION", "STARTING"], (1, 1)),
        (["STARTING"], ["STOPPING"], (0, 0)),
        (["RECOVERING"], ["UPDATING", "STOPPING"], (None, None)),
        (["RECOVERING", "RUNNING"], ["UPDATING", "PENDING_MIGRATION"], (1, 1)),
        ([], ["RUNNING"], (0, 1)),
    ],
)
def test_replicas_count_by_tier_as_the_controller_says_it(
    small: list[str],
    large: list[str],
    running: tuple[int | None, int | None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ingress, "_get_global_client", lambda: Client(small, large))
    assert ingress.count_running("mine") == dict(zip(("small", "large"), running, strict=True))
