"""A rendered overlay as the rules read it: the objects, the pods of its RayService, and the
application that runs on them."""

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import yaml

from deployments.settings.app import AppConfig, parse_app_config
from deployments.settings.config_mistake import ConfigError

Manifest = dict[str, Any]
UNITS = {"": 1.0, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
UNITS |= {f"{prefix}i": 1024.0 ** (power + 1) for power, prefix in enumerate("KMGT")}


def amount(quantity: object) -> float:
    """A Kubernetes quantity as a number; what is none is not a number, above and below nothing."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([a-zA-Z]*)", str(quantity))
    return float(found[1]) * UNITS[found[2]] if found and found[2] in UNITS else math.nan


@dataclass(frozen=True)
class Group:
    """The head, or one group of workers."""

    name: str
    head: bool
    manifest: Manifest

    @property
    def pod(self) -> Manifest:
        """The pod's spec."""
        spec: Manifest = self.manifest.get("template", {}).get("spec", {})
        return spec

    @property
    def labels(self) -> dict[str, str]:
        """The labels of its pods that a policy of ours may name."""
        labels: dict[str, str] = self.manifest["template"].get("metadata", {}).get("labels", {})
        return labels

    @property
    def container(self) -> Manifest:
        """The container that Ray runs in: the operator takes the first."""
        first: Manifest = (self.pod.get("containers") or [{}])[0]
        return first

    @property
    def containers(self) -> list[Manifest]:
        """Every container, also those that run before the others."""
        return [*self.pod.get("initContainers", ()), *self.pod.get("containers", ())]

    @property
    def env(self) -> dict[str, str | None]:
        """Ray's environment; None where a value comes from a Secret or a field."""
        return {one["name"]: one.get("value") for one in self.container.get("env", ())}

    @property
    def ray_params(self) -> dict[str, Any]:
        """What `ray start` is told."""
        params: dict[str, Any] = self.manifest.get("rayStartParams") or {}
        return params

    @property
    def bounds(self) -> tuple[int, int]:
        """The fewest and the most pods."""
        if self.head:
            return 1, 1
        return int(self.manifest.get("minReplicas", 0)), int(self.manifest.get("maxReplicas", 0))

    @property
    def limits(self) -> dict[str, Any]:
        """What Ray's container may take."""
        limits: dict[str, Any] = self.container.get("resources", {}).get("limits", {})
        return limits

    @property
    def gpu_keys(self) -> list[str]:
        """The device resources that a pod holds, under the names of their device plugin."""
        return [key for key in self.limits if re.search(r"gpu|/mig-", key.lower())]

    @property
    def gpus(self) -> float:
        """GPUs that Ray counts on each pod: what is said, or what the operator finds."""
        said = self.ray_params.get("num-gpus")
        if said is not None:
            return amount(said)
        seen = (key for key in self.gpu_keys if operator_sees(key))
        return sum(amount(self.limits[key]) for key in seen)

    @property
    def cpus(self) -> float:
        """Cores that Ray counts on each pod."""
        # The operator hands whole cores on, rounded up, as Kubernetes' own `Value()` does.
        limit = math.ceil(amount(self.limits.get("cpu", 0)))
        return amount(self.ray_params.get("num-cpus", limit))


def operator_sees(resource: str) -> bool:
    """Whether KubeRay 1.7 makes `num-gpus` of a device resource by itself."""
    return resource.endswith("gpu") or bool(re.fullmatch(r"nvidia\.com/mig-\d+g\.\d+gb", resource))


@dataclass(frozen=True)
class Overlay:
    """All objects that one `kubectl apply -k` sends."""

    objects: tuple[Manifest, ...]

    def of_kind(self, kind: str) -> list[Manifest]:
        """The objects of one kind."""
        return [one for one in self.objects if one.get("kind") == kind]

    @cached_property
    def rayservice(self) -> Manifest:
        """The one RayService. Raises: `ConfigError` where there is not exactly one."""
        services = self.of_kind("RayService")
        if len(services) != 1:
            raise ConfigError(
                f"{len(services)} RayServices are rendered, one is wanted: list ../../base once "
                "in the overlay's resources"
            )
        return services[0]

    @property
    def cluster(self) -> Manifest:
        """The RayCluster that the RayService makes."""
        cluster: Manifest = self.rayservice["spec"]["rayClusterConfig"]
        return cluster

    @cached_property
    def groups(self) -> list[Group]:
        """The head first, then the workers in their order."""
        workers = self.cluster.get("workerGroupSpecs", [])
        return [
            Group("head", True, self.cluster["headGroupSpec"]),
            *(Group(str(one.get("groupName")), False, one) for one in workers),
        ]

    @property
    def head(self) -> Group:
        """The head."""
        return self.groups[0]

    @property
    def workers(self) -> list[Group]:
        """The groups of workers."""
        return self.groups[1:]

    @cached_property
    def serve_config(self) -> dict[str, Any]:
        """What Serve is told. Raises: `ConfigError` where it lists not one application."""
        document = yaml.safe_load(self.rayservice["spec"].get("serveConfigV2") or "")
        applications = document.get("applications") if isinstance(document, dict) else None
        if not isinstance(applications, list) or len(applications) != 1:
            raise ConfigError("serveConfigV2: must list one application: smallfirst k8s render")
        return dict(document)

    @cached_property
    def app(self) -> AppConfig:
        """The application's own settings. Raises: `ConfigError` where they are not."""
        args = self.serve_config["applications"][0].get("args") or {}
        return parse_app_config(args, "serveConfigV2")

    @property
    def namespace(self) -> str:
        """Where everything goes."""
        return str(self.rayservice["metadata"].get("namespace", "default"))

    def references(self) -> Iterator[tuple[str, str, str]]:
        """(kind, name, key) of every Secret and ConfigMap that a pod of Ray's wants; the key is
        empty where a whole one is mounted."""
        for group in self.groups:
            for container in group.containers:
                yield from _env_references(container.get("env", ()))
            for volume in group.pod.get("volumes", ()):
                yield from _volume_references(volume)
        yield from self._cluster_references()

    def _cluster_references(self) -> Iterator[tuple[str, str, str]]:
        """What the operator itself reads for the cluster."""
        auth = self.cluster.get("authOptions") or {}
        if auth.get("mode") == "token" and "secretName" in auth:
            yield "Secret", auth["secretName"], "auth_token"
        redis = self.cluster.get("gcsFaultToleranceOptions") or {}
        yield from _env_references(
            redis[one] for one in ("redisPassword", "redisUsername") if one in redis
        )


def _env_references(env: Iterable[Manifest]) -> Iterator[tuple[str, str, str]]:
    for one in env:
        source = one.get("valueFrom", {})
        for field, kind in (("secretKeyRef", "Secret"), ("configMapKeyRef", "ConfigMap")):
            if field in source:
                yield kind, source[field]["name"], source[field]["key"]


def _volume_references(volume: Manifest) -> Iterator[tuple[str, str, str]]:
    secret, config = volume.get("secret"), volume.get("configMap")
    for kind, name, source in (
        ("Secret", "secretName", secret),
        ("ConfigMap", "name", config),
    ):
        if source:
            keys = [item["key"] for item in source.get("items", ())] or [""]
            yield from ((kind, source[name], key) for key in keys)


def read_overlay(text: str) -> Overlay:
    """The objects of a rendered YAML stream. Raises: `ConfigError` where it is none."""
    try:
        objects = tuple(one for one in yaml.safe_load_all(text) if one)
    except yaml.YAMLError as error:
        raise ConfigError(f"not valid YAML: {' '.join(str(error).split())}") from None
    if not objects or not all(isinstance(one, dict) and "kind" in one for one in objects):
        raise ConfigError("no Kubernetes objects: hand over what `kubectl kustomize` prints")
    return Overlay(objects)
