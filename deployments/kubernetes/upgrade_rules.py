"""Room to change: the quota that an upgrade needs, and budgets that let a node be drained.

Each rule yields one sentence for each breach, with its mend.
"""

from collections.abc import Iterator

from deployments.kubernetes.overlay import Overlay, amount

# Clusters while an upgrade runs: the new one stands beside the old one.
UPGRADE_CLUSTERS = {"NewCluster": 2, "NewClusterWithIncrementalUpgrade": 2, "None": 1}


def quota_holds_an_upgrade(overlay: Overlay) -> Iterator[str]:
    """A quota below what the old and the new cluster need together blocks an upgrade in silence."""
    needs = upgrade_needs(overlay)
    for quota in overlay.of_kind("ResourceQuota"):
        for key, hard in quota["spec"].get("hard", {}).items():
            needed = needs.get(key.removeprefix("requests."))
            if needed is not None and not amount(hard) >= needed - 1e-6:
                yield (
                    f"ResourceQuota {quota['metadata']['name']}: {key} {hard} is below the "
                    f"{needed:g} of an upgrade, which runs two clusters at once: raise it, or set "
                    "upgradeStrategy.type to None"
                )


def upgrade_needs(overlay: Overlay) -> dict[str, float]:
    """What all pods ask for while an upgrade runs, by resource (memory in bytes) and in pods."""
    strategy = overlay.rayservice["spec"].get("upgradeStrategy", {}).get("type", "NewCluster")
    clusters = UPGRADE_CLUSTERS.get(strategy, 2)
    sums: dict[str, float] = {}
    for group in overlay.groups:
        asked = group.container.get("resources", {}).get("requests", {})
        for key, value in {**asked, "pods": 1}.items():
            sums[key] = sums.get(key, 0) + clusters * group.bounds[1] * amount(value)
    if overlay.cluster.get("enableInTreeAutoscaling"):
        options = overlay.cluster.get("autoscalerOptions", {})
        for key, value in options.get("resources", {}).get("requests", {}).items():
            sums[key] = sums.get(key, 0) + clusters * amount(value)
    return sums


def drains_can_proceed(overlay: Overlay) -> Iterator[str]:
    """A disruption budget that counts pods, and leaves one that may go."""
    least = sum(group.bounds[0] for group in overlay.workers)
    for budget in overlay.of_kind("PodDisruptionBudget"):
        name, kept = budget["metadata"]["name"], budget["spec"].get("minAvailable")
        if not isinstance(kept, int):
            yield f"PodDisruptionBudget {name}: minAvailable must be a whole number of pods"
        elif kept >= least and budget["spec"]["selector"]["matchLabels"].get(
            "app.kubernetes.io/component"
        ) in (None, "worker"):
            yield (
                f"PodDisruptionBudget {name}: keeps {kept} of at least {least} workers, so that no "
                "node can be drained: raise minReplicas, or leave the budget out"
            )


UPGRADE_RULES = (quota_holds_an_upgrade, drains_can_proceed)
