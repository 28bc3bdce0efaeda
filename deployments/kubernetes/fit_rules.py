"""Whether the pods hold the application: its environment, models, secrets, cores and GPUs.

Each rule yields one sentence for each breach, with its mend.
"""

import itertools
import math
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath

from deployments.kubernetes.overlay import Group, Overlay
from deployments.settings.app import ClassifierConfig, GatewayConfig, TierConfig
from deployments.settings.vllm import BUILTIN, VllmConfig

Part = GatewayConfig | ClassifierConfig | TierConfig


def parts(overlay: Overlay) -> dict[str, Part]:
    """Every deployment of the application, with its cores and its scaling."""
    app = overlay.app
    held: dict[str, Part] = {"gateway": app.gateway, "classifier": app.classifier}
    return held | {"small": app.small, "large": app.large}


def needed_gpus(overlay: Overlay, bound: str) -> int:
    """Whole GPUs that all replicas hold, fractions packed; `bound` is min_ or max_replicas."""
    tiers = overlay.app.tiers.values()
    return sum(math.ceil(getattr(t.scaling, bound) * t.num_gpus - 1e-9) for t in tiers)


def smallest_application_fits(overlay: Overlay) -> Iterator[str]:
    """The pods that are always there hold the replicas that are always there."""
    yield from _fits(overlay, "min_replicas", 0, "minReplicas")


def largest_application_fits(overlay: Overlay) -> Iterator[str]:
    """The most pods hold the most replicas, or the autoscaler asks for what never comes."""
    yield from _fits(overlay, "max_replicas", 1, "maxReplicas")


def _fits(overlay: Overlay, bound: str, index: int, field: str) -> Iterator[str]:
    held = parts(overlay)
    gpus = needed_gpus(overlay, bound)
    cpus = sum(max(getattr(p.scaling, bound), 1) * p.num_cpus for p in held.values())
    for what, needs, has in (
        ("GPUs", gpus, sum(group.bounds[index] * group.gpus for group in overlay.workers)),
        ("cores", cpus, sum(group.bounds[index] * group.cpus for group in overlay.workers)),
    ):
        if not needs <= has + 1e-6:
            yield (
                f"{bound} of all deployments need {needs:g} {what}, {field} of the worker groups "
                f"give {has:g}: raise {field}, or lower {bound}"
            )


def no_gpu_is_idle(overlay: Overlay) -> Iterator[str]:
    """No group asks for GPUs that no replica can ever hold."""
    most = needed_gpus(overlay, "max_replicas")
    has = sum(group.bounds[1] * group.gpus for group in overlay.workers)
    if has > most and has > 0:
        yield (
            f"maxReplicas of the worker groups give {has:g} GPUs, max_replicas of all tiers use "
            f"{most}: lower maxReplicas, or raise max_replicas"
        )


def one_replica_fits_one_pod(overlay: Overlay) -> Iterator[str]:
    """Every replica has a kind of pod that it fits into."""
    for name, part in parts(overlay).items():
        gpus = getattr(part, "num_gpus", 0.0)
        if not any(g.gpus >= gpus and g.cpus >= part.num_cpus for g in overlay.workers):
            yield (
                f"{name}: a replica of {part.num_cpus:g} cores and {gpus:g} GPUs fits no worker: "
                "give a group more, or the replica less"
            )


def shares_fill_a_gpu(overlay: Overlay) -> Iterator[str]:
    """The pod of k shares has the cores for k replicas."""
    for name, tier in overlay.app.tiers.items():
        if not 0 < tier.gpu_share < 1:
            continue
        packed = round(1 / tier.gpu_share)
        cpus = packed * tier.num_cpus
        for group in overlay.workers:
            if group.gpus and group.cpus < cpus * group.gpus:
                yield (
                    f"group {group.name}: {packed} replicas of {name} on a GPU reserve {cpus:g} "
                    f"cores, the pod has {group.cpus:g}: raise its cpu, or lower {name}.num_cpus"
                )


def engines_keep_to_their_share(overlay: Overlay) -> Iterator[str]:
    """k engines on a GPU may not ask for more than the GPU between them."""
    for name, tier in overlay.app.tiers.items():
        if not isinstance(tier.engine, VllmConfig) or not tier.gpu_share:
            continue
        asked = tier.engine.extra_args.get("gpu-memory-utilization", 0)
        if float(asked) > tier.gpu_share:
            yield (
                f"{name}: gpu-memory-utilization {asked} is above gpu_share {tier.gpu_share}: plan "
                "again (smallfirst plan --emit serve_config)"
            )


def environment_is_ours(expected: dict[str, str]) -> Callable[[Overlay], Iterator[str]]:
    """The rule that every pod has the variables that Ray needs here; they decide how it works."""

    def environment_is_whole(overlay: Overlay) -> Iterator[str]:
        for group in overlay.groups:
            for name, value in expected.items():
                if group.env.get(name) != value:
                    said = group.env.get(name, "not set")
                    yield f'{group.name}: {name} is {said}, wanted "{value}": add it to env'

    return environment_is_whole


def workers_are_alike(overlay: Overlay) -> Iterator[str]:
    """A replica may land on any worker: what one group mounts and sets, every group does."""
    for first, other in itertools.pairwise(overlay.workers):
        for what, mine, theirs in (
            ("env", set(first.env), set(other.env)),
            ("mounts", _mount_paths(first), _mount_paths(other)),
        ):
            for one in sorted(mine ^ theirs):
                lacks = other if one in mine else first
                yield (
                    f"group {lacks.name}: {what} lack {one}, which the other groups have: list the "
                    "component in the overlay itself, before its groups are copied"
                )


def _mount_paths(group: Group) -> set[str]:
    return {mount["mountPath"] for mount in group.container.get("volumeMounts", ())}


def models_are_mounted(overlay: Overlay) -> Iterator[str]:
    """Every folder that the settings name lies in a volume, on every worker."""
    for setting, path in _folders(overlay):
        for group in overlay.workers:
            mounts = [PurePosixPath(mount) for mount in _mount_paths(group)]
            if not any(PurePosixPath(path).is_relative_to(mount) for mount in mounts):
                yield (
                    f"{setting}: {path} lies in no volume of group {group.name}: mount one there "
                    "(components/weights-pvc, components/weights-init), or change the path"
                )


def _folders(overlay: Overlay) -> Iterator[tuple[str, str]]:
    for name, tier in overlay.app.tiers.items():
        if isinstance(tier.engine, VllmConfig) and not tier.engine.path.startswith(BUILTIN):
            yield f"{name}.engine.path", tier.engine.path
        for adapter, about in tier.adapters.items():
            yield f"{name}.adapters.{adapter}.path", about.path
    if overlay.app.classifier.artifact:
        yield "classifier.artifact", overlay.app.classifier.artifact
    if overlay.app.gateway.ledger_dir:
        yield "gateway.ledger_dir", overlay.app.gateway.ledger_dir
    if overlay.app.accounts.waiting_dir:
        yield "accounts.waiting_dir", overlay.app.accounts.waiting_dir


def journals_outlive_the_controller(overlay: Overlay) -> Iterator[str]:
    """What the policy learnt is written in a volume of the head, where the controller restarts."""
    home = PurePosixPath(overlay.head.env.get("HOME") or "/")
    mounts = [PurePosixPath(mount) for mount in _mount_paths(overlay.head)]
    for name, tier in overlay.app.tiers.items():
        setting = f"{name}.scaling.policy_kwargs.journal_path"
        path = tier.scaling.policy_kwargs.get("journal_path")
        if path is None:
            yield f"{setting} is not set: run smallfirst k8s render"
        elif path and not any(_expanded(path, home).is_relative_to(mount) for mount in mounts):
            yield f"{setting}: {path} lies in no volume of the head: mount one there, or change it"


def _expanded(path: str, home: PurePosixPath) -> PurePosixPath:
    return home / path.removeprefix("~/") if path.startswith("~/") else PurePosixPath(path)


def secrets_reach_the_workers(overlay: Overlay) -> Iterator[str]:
    """The variables that the settings name are set where replicas run."""
    wanted = {
        upstream.api_key_env: f"{name}.engine.api_key_env"
        for name, tier in overlay.app.tiers.items()
        for upstream in tier.upstreams
        if upstream.api_key_env
    }
    for group in overlay.workers:
        for variable in sorted(wanted.keys() - group.env.keys()):
            yield f"{wanted[variable]}: {variable} is not set in group {group.name}: add it to env"
        if overlay.app.gateway.auth != "open" and not (
            {"SMALLFIRST_API_KEYS_FILE", "SMALLFIRST_API_KEYS"} & group.env.keys()
        ):
            yield f"group {group.name}: no API keys: set SMALLFIRST_API_KEYS_FILE to a mounted file"
        file = group.env.get("SMALLFIRST_API_KEYS_FILE")
        if file and not any(PurePosixPath(file).is_relative_to(m) for m in _mount_paths(group)):
            yield f"group {group.name}: {file} lies in no volume: mount the Secret with the keys"


def probes_ask_what_serves(overlay: Overlay) -> Iterator[str]:
    """Workers are ready by Serve's own port, every pod alive by its raylet."""
    port = (overlay.serve_config.get("http_options") or {}).get("port", 8000)
    for group in overlay.groups:
        asked = group.container.get("readinessProbe", {}).get("httpGet", {})
        wanted = {"path": "/api/local_raylet_healthz", "port": 52365}
        if not group.head:
            wanted = {"path": "/-/healthz", "port": port}
        if asked != wanted:
            yield f"{group.name}: readinessProbe must ask {wanted['path']} on port {wanted['port']}"
    if (overlay.serve_config.get("http_options") or {}).get("host") != "0.0.0.0":
        yield "http_options.host must be 0.0.0.0, or no Service reaches the proxy"


def accounts_outlive_their_pod(overlay: Overlay) -> Iterator[str]:
    """Keys, budgets and the ledger are in a database: a file goes with its pod, and during an
    upgrade each of two clusters would have one."""
    accounts = overlay.app.accounts
    if accounts.store is not None:
        yield (
            f"accounts.store: {accounts.store} is a file in a pod: set accounts.postgres_env and "
            "accounts.on_head: false instead"
        )
    if accounts.postgres_env is None:
        return
    if accounts.on_head:
        yield "accounts.on_head must be false: the head has neither the secret nor the way out"
    for group in overlay.workers:
        if accounts.postgres_env not in group.env:
            yield (
                f"accounts.postgres_env: {accounts.postgres_env} is not set in group {group.name}: "
                "add it to env from a Secret"
            )


FIT_RULES = (
    smallest_application_fits,
    largest_application_fits,
    no_gpu_is_idle,
    one_replica_fits_one_pod,
    shares_fill_a_gpu,
    engines_keep_to_their_share,
    workers_are_alike,
    models_are_mounted,
    journals_outlive_the_controller,
    secrets_reach_the_workers,
    probes_ask_what_serves,
    accounts_outlive_their_pod,
)
