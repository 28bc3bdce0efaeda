"""What a careful cluster asks of pods and no schema says: mounts, limits, ports, images, and Pod
Security's `restricted` with a root file system that cannot be written.

Each rule yields one sentence for each breach, with its mend.
"""

import re
from collections.abc import Iterator

from deployments.kubernetes.overlay import Group, Manifest, Overlay, amount

LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
# A version, also after a word (`7.2-alpine`), or a digest; `latest` and no tag are what a node has.
VERSIONED = re.compile(r".+(:v?\d+\.\d+[\w.-]*|@sha256:[0-9a-f]{64})")
SECRET_NAME = re.compile(r"(KEY|KEYS|TOKEN|PASSWORD|SECRET)$")
SAFE_VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
}
HOST = ("hostNetwork", "hostPID", "hostIPC")
OWN_LABEL = "app.kubernetes.io/name"


def pods(overlay: Overlay) -> Iterator[Group]:
    """Every pod that the overlay makes: Ray's, and those of its other workloads."""
    yield from overlay.groups
    for kind in ("Deployment", "StatefulSet", "DaemonSet", "Job"):
        for one in overlay.of_kind(kind):
            yield Group(f"{kind} {one['metadata']['name']}", False, one["spec"])


def mounts_have_volumes(overlay: Overlay) -> Iterator[str]:
    """Every mount names a volume of its pod."""
    for group in pods(overlay):
        volumes = {volume["name"] for volume in group.pod.get("volumes", ())}
        # A claim's template is a volume too.
        claims = group.manifest.get("volumeClaimTemplates", ())
        volumes |= {claim["metadata"]["name"] for claim in claims}
        for container in group.containers:
            for mount in container.get("volumeMounts", ()):
                if mount["name"] not in volumes:
                    yield f"{group.name}: no volume {mount['name']!r}: add it, or drop its mount"


def mounts_do_not_collide(overlay: Overlay) -> Iterator[str]:
    """One volume at one path."""
    for group in pods(overlay):
        for container in group.containers:
            paths = [mount["mountPath"] for mount in container.get("volumeMounts", ())]
            for path in sorted({path for path in paths if paths.count(path) > 1}):
                yield f"{group.name}: two volumes at {path}: move one"


def requests_stay_within_limits(overlay: Overlay) -> Iterator[str]:
    """A limit for everything that is asked, and not below it."""
    for group in pods(overlay):
        for container in group.containers:
            yield from _within_limits(group.name, container.get("resources", {}))


def _within_limits(name: str, resources: Manifest) -> Iterator[str]:
    requests, limits = resources.get("requests", {}), resources.get("limits", {})
    for key in ("cpu", "memory"):
        if key not in limits:
            yield f"{name}: no limit of {key}: set one, Ray counts what it may use by it"
    for key, asked in requests.items():
        if key in limits and not amount(asked) <= amount(limits[key]):
            yield f"{name}: requests {key} {asked}, over its limit {limits[key]}: raise the limit"
    for key in sorted({key for key in {*requests, *limits} if "/" in key}):
        if requests.get(key) != limits.get(key):
            yield f"{name}: {key} must be the same in requests and limits: a device is not shared"


def ports_differ(overlay: Overlay) -> Iterator[str]:
    """Port names of up to 15 characters, each name and each number once in a pod."""
    for group in pods(overlay):
        ports = [port for c in group.containers for port in c.get("ports", ())]
        for key in ("name", "containerPort"):
            values = [port[key] for port in ports if key in port]
            for value in sorted({value for value in values if values.count(value) > 1}):
                yield f"{group.name}: two ports have the {key} {value}: change one"
        for port in ports:
            if len(port.get("name", "")) > 15:
                yield f"{group.name}: port name {port['name']}: 15 characters at most"


def labels_are_valid(overlay: Overlay) -> Iterator[str]:
    """Values that Kubernetes takes, and the project's own label, which policies go by."""
    for group in overlay.groups:
        for key, value in group.labels.items():
            if not isinstance(value, str) or not LABEL_VALUE.fullmatch(value):
                yield f"{group.name}: label {key}: {value!r}: 63 letters, digits, dashes and dots"
        if group.labels.get(OWN_LABEL) != "smallfirst":
            yield f"{group.name}: label {OWN_LABEL}: smallfirst is missing: no policy finds the pod"
        wanted = "head" if group.head else "worker"
        if group.labels.get("app.kubernetes.io/component") != wanted:
            yield f"{group.name}: label app.kubernetes.io/component must be {wanted}"


def images_are_versioned(overlay: Overlay) -> Iterator[str]:
    """A tag that is a version, or a digest."""
    for group in pods(overlay):
        for container in group.containers:
            image = str(container.get("image", ""))
            if not VERSIONED.fullmatch(image):
                yield f"{group.name}: image {image!r} has no version: set newTag under images"


def pods_are_restricted(overlay: Overlay) -> Iterator[str]:
    """Pod Security's `restricted`: no host, no root, a seccomp profile, harmless volumes."""
    for group in pods(overlay):
        context = group.pod.get("securityContext", {})
        if not context.get("runAsNonRoot") or context.get("runAsUser", 0) == 0:
            yield f"{group.name}: runAsNonRoot: true and a runAsUser above 0 are wanted"
        if context.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"):
            yield f"{group.name}: seccompProfile.type must be RuntimeDefault"
        for key in HOST:
            if group.pod.get(key):
                yield f"{group.name}: remove {key}"
        for volume in group.pod.get("volumes", ()):
            if foreign := volume.keys() - SAFE_VOLUMES - {"name"}:
                yield f"{group.name}: volume {volume['name']}: {sorted(foreign)[0]} is not allowed"


def containers_are_sealed(overlay: Overlay) -> Iterator[str]:
    """No privilege, no capability, no writing to the image; the autoscaler's container too."""
    sealed = [(g.name, c.get("securityContext", {})) for g in pods(overlay) for c in g.containers]
    options = overlay.cluster.get("autoscalerOptions", {})
    if overlay.cluster.get("enableInTreeAutoscaling"):
        sealed.append(("autoscaler", options.get("securityContext", {})))
    for name, own in sealed:
        if own.get("allowPrivilegeEscalation", True) or own.get("privileged"):
            yield f"{name}: allowPrivilegeEscalation must be false"
        if own.get("capabilities") != {"drop": ["ALL"]}:
            yield f"{name}: capabilities must be exactly drop: [ALL]"
        if not own.get("readOnlyRootFilesystem"):
            yield f"{name}: readOnlyRootFilesystem must be true"
        if own.get("runAsUser", 1) == 0:
            yield f"{name}: runAsUser must not be 0"


def scratch_can_be_written(overlay: Overlay) -> Iterator[str]:
    """/tmp and the home folder, where Ray and vLLM write, are emptyDirs with a bound."""
    for group in overlay.groups:
        volumes = {one["name"]: one for one in group.pod.get("volumes", ())}
        home = group.env.get("HOME")
        if not home:
            yield f"{group.name}: HOME is not set: caches would go to a root that is read-only"
        for path in filter(None, ("/tmp", home)):
            mounts = [m for m in group.container.get("volumeMounts", ()) if m["mountPath"] == path]
            scratch = volumes.get(mounts[0]["name"], {}).get("emptyDir") if mounts else None
            if scratch is None or (mounts and mounts[0].get("readOnly")):
                yield f"{group.name}: {path} cannot be written: mount an emptyDir there"
            elif "sizeLimit" not in scratch:
                yield f"{group.name}: the emptyDir at {path} needs a sizeLimit, or fills the node"


def secrets_are_references(overlay: Overlay) -> Iterator[str]:
    """No secret value in a manifest."""
    for group in pods(overlay):
        for container in group.containers:
            for one in container.get("env", ()):
                if SECRET_NAME.search(one["name"]) and "valueFrom" not in one:
                    yield f"{group.name}: {one['name']}: take it from a Secret by secretKeyRef"
    for one in overlay.of_kind("Secret"):
        yield f"Secret {one['metadata']['name']} is in the manifests: create it apart from them"


def only_the_head_has_a_token(overlay: Overlay) -> Iterator[str]:
    """Only the head, whose autoscaler needs it, may speak to the API server."""
    accounts = {one["metadata"]["name"]: one for one in overlay.of_kind("ServiceAccount")}
    for group in pods(overlay):
        if group.head:
            continue
        account = accounts.get(group.pod.get("serviceAccountName", "default"), {})
        mounted = group.pod.get(
            "automountServiceAccountToken", account.get("automountServiceAccountToken", True)
        )
        if mounted:
            yield f"{group.name}: automountServiceAccountToken must be false"


POD_RULES = (
    mounts_have_volumes,
    mounts_do_not_collide,
    requests_stay_within_limits,
    ports_differ,
    labels_are_valid,
    images_are_versioned,
    pods_are_restricted,
    containers_are_sealed,
    scratch_can_be_written,
    secrets_are_references,
    only_the_head_has_a_token,
)
