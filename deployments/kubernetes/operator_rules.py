"""What KubeRay 1.7 refuses or silently does otherwise, and no schema says (utils/validation.go).

Each rule yields one sentence for each breach, with its mend.
"""

import re
from collections.abc import Iterator

from deployments.kubernetes.overlay import Overlay, operator_sees

UPGRADES = ("NewCluster", "None", "NewClusterWithIncrementalUpgrade")
RESOURCE_PARAMS = ("num-cpus", "num-gpus", "memory", "resources")
# Off by default in 1.7: the operator rejects the whole resource.
GATED = {
    "networkPolicy": "ship NetworkPolicy objects of your own",
    "tlsOptions": "encrypt between nodes with your network instead",
}


def name_is_short(overlay: Overlay) -> Iterator[str]:
    """A name that leaves room for what the operator appends."""
    name = overlay.rayservice["metadata"]["name"]
    if not re.fullmatch(r"[a-z]([-a-z0-9]{0,45}[a-z0-9])?", name):
        yield (
            f"RayService name {name!r} is not up to 47 lower-case letters, digits and dashes: "
            "shorten it"
        )


def bounds_are_ordered(overlay: Overlay) -> Iterator[str]:
    """0 <= minReplicas <= maxReplicas, and at least one pod possible."""
    for group in overlay.workers:
        least, most = group.bounds
        if not 0 <= least <= most or not most:
            yield f"group {group.name}: minReplicas {least} and maxReplicas {most}: order them"


def group_names_differ(overlay: Overlay) -> Iterator[str]:
    """A name for each group: the operator tells pods by it."""
    names = [group.name for group in overlay.workers]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"group {name} is there {names.count(name)} times: rename the copies"


def replicas_are_the_autoscalers(overlay: Overlay) -> Iterator[str]:
    """A count in the manifest would fight the autoscaler on every apply."""
    for group in overlay.workers:
        if "replicas" in group.manifest:
            yield f"group {group.name}: remove replicas, the autoscaler chooses them"


def upgrade_is_known(overlay: Overlay) -> Iterator[str]:
    """A strategy that the operator knows, where it looks for it."""
    kind = overlay.rayservice["spec"].get("upgradeStrategy", {}).get("type", "NewCluster")
    if kind not in UPGRADES:
        yield f"upgradeStrategy.type {kind!r}: use one of {', '.join(UPGRADES)}"
    if "upgradeStrategy" in overlay.cluster:
        yield "rayClusterConfig.upgradeStrategy: move it to the RayService's spec"


def incremental_upgrade_is_whole(overlay: Overlay) -> Iterator[str]:
    """Steps that fit the surge, a pause between them, a gateway, and the autoscaler."""
    strategy = overlay.rayservice["spec"].get("upgradeStrategy", {})
    if strategy.get("type") != "NewClusterWithIncrementalUpgrade":
        return
    if not overlay.cluster.get("enableInTreeAutoscaling"):
        yield "an incremental upgrade needs enableInTreeAutoscaling: true"
    options = strategy.get("clusterUpgradeOptions") or {}
    if not options.get("gatewayClassName"):
        yield "clusterUpgradeOptions.gatewayClassName: name your cluster's GatewayClass"
    if not 0 < options.get("stepSizePercent", 0) <= options.get("maxSurgePercent", 100):
        yield "clusterUpgradeOptions.stepSizePercent: must be above 0 and at most maxSurgePercent"
    if options.get("intervalSeconds", 0) <= 0:
        yield "clusterUpgradeOptions.intervalSeconds: must be above 0"


def v2_settings_name_their_version(overlay: Overlay) -> Iterator[str]:
    """Per-group timeouts and priorities are refused unless v2 is named."""
    version = overlay.cluster.get("autoscalerOptions", {}).get("version")
    for group in overlay.groups:
        if {"idleTimeoutSeconds", "priority"} & group.manifest.keys() and version != "v2":
            yield f"group {group.name}: its timeout or priority needs autoscalerOptions.version: v2"


def v2_restarts_nothing(overlay: Overlay) -> Iterator[str]:
    """Under autoscaler v2 the operator replaces pods, Kubernetes restarts none."""
    for group in overlay.groups:
        if group.pod.get("restartPolicy", "Never") != "Never":
            yield f"{group.name}: remove restartPolicy, autoscaler v2 wants Never"


def ray_params_are_strings(overlay: Overlay) -> Iterator[str]:
    """`ray start` options are strings, and labels have a field of their own."""
    for group in overlay.groups:
        for key, value in group.ray_params.items():
            if key == "labels":
                yield f"{group.name}: rayStartParams.labels: use the group's labels"
            elif not isinstance(value, str):
                yield f"{group.name}: rayStartParams.{key}: put the value into quotes"


def resources_are_said_once(overlay: Overlay) -> Iterator[str]:
    """Either the group's `resources`, or the parameters of `ray start`."""
    for group in overlay.groups:
        twice = set(RESOURCE_PARAMS) & group.ray_params.keys()
        if group.manifest.get("resources") and twice:
            yield f"{group.name}: {sorted(twice)[0]} and resources: keep one of the two"


def deprecated_thresholds_are_gone(overlay: Overlay) -> Iterator[str]:
    """The operator ignores them."""
    for key in overlay.rayservice["spec"]:
        if key.endswith("UnhealthySecondThreshold"):
            yield f"spec.{key} does nothing any more: remove it"


def gated_fields_are_unused(overlay: Overlay) -> Iterator[str]:
    """Fields behind gates that are off by default."""
    for key in sorted(GATED.keys() & overlay.cluster.keys()):
        yield f"rayClusterConfig.{key} is refused while its feature gate is off: {GATED[key]}"


def head_takes_no_work(overlay: Overlay) -> Iterator[str]:
    """No replica and no GPU on the head."""
    for key in ("num-cpus", "num-gpus"):
        if overlay.head.ray_params.get(key) != "0":
            yield f'head: rayStartParams.{key} must be "0", or work lands beside the controller'
    if overlay.head.gpu_keys:
        yield f"head: {overlay.head.gpu_keys[0]}: remove it, the head computes nothing"


def gpus_are_seen(overlay: Overlay) -> Iterator[str]:
    """Ray counts the GPUs of every pod that holds some."""
    for group in overlay.workers:
        # Of several it takes the first it meets, in no order.
        unseen = [key for key in group.gpu_keys if not operator_sees(key)] or group.gpu_keys[1:]
        claims = group.pod.get("resourceClaims")
        if (unseen or claims) and "num-gpus" not in group.ray_params:
            what = unseen[0] if unseen else "a resource claim"
            yield f"group {group.name}: KubeRay does not see {what}: set rayStartParams.num-gpus"


def ray_knows_the_token(overlay: Overlay) -> Iterator[str]:
    """Token authentication needs a stated Ray version, and not Kubernetes' own tokens."""
    auth = overlay.cluster.get("authOptions") or {}
    version = [int(part) for part in re.findall(r"\d+", overlay.cluster.get("rayVersion", "0.0"))]
    if auth.get("mode") == "token" and version < [2, 52]:
        yield "authOptions.mode token needs rayVersion 2.52.0 or later: set it"
    if auth.get("enableK8sTokenAuth"):
        yield "authOptions.enableK8sTokenAuth is refused in a RayService: use mode: token"


def fault_tolerance_is_said_once(overlay: Overlay) -> Iterator[str]:
    """With gcsFaultToleranceOptions nothing else may speak of Redis."""
    options = overlay.cluster.get("gcsFaultToleranceOptions")
    if options is None:
        return
    if "redis-password" in overlay.head.ray_params:
        yield "head: rayStartParams.redis-password: use gcsFaultToleranceOptions.redisPassword"
    for name in ("REDIS_PASSWORD", "RAY_REDIS_ADDRESS"):
        if name in overlay.head.env:
            yield f"head: {name}: remove it, gcsFaultToleranceOptions sets it"
    if "storage" in options and options.get("backend", "redis") == "redis":
        yield "gcsFaultToleranceOptions.storage belongs to rocksdb: remove it"
    if not options.get("redisAddress") and options.get("backend", "redis") == "redis":
        yield "gcsFaultToleranceOptions.redisAddress: name the Redis"


OPERATOR_RULES = (
    name_is_short,
    bounds_are_ordered,
    group_names_differ,
    replicas_are_the_autoscalers,
    upgrade_is_known,
    incremental_upgrade_is_whole,
    v2_settings_name_their_version,
    v2_restarts_nothing,
    ray_params_are_strings,
    resources_are_said_once,
    deprecated_thresholds_are_gone,
    gated_fields_are_unused,
    head_takes_no_work,
    gpus_are_seen,
    ray_knows_the_token,
    fault_tolerance_is_said_once,
)
