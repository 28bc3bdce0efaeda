"""What an overlay leaves to the person who applies it: placeholders to fill, and what the cluster
has to have before."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from deployments.kubernetes.overlay import Overlay
from deployments.kubernetes.pod_rules import pods
from deployments.kubernetes.upgrade_rules import upgrade_needs

# Names and addresses that are nobody's (RFC 2606, RFC 5737), and the examples of our own overlays.
NOBODY = re.compile(
    r"\bexample\.(com|org|net)\b|\b203\.0\.113\.\d|\b198\.51\.100\.\d|\b192\.0\.2\.\d"
)


class Duty(NamedTuple):
    """Something that has to be there, and the command that makes or shows it."""

    what: str
    command: str


def placeholders(overlay: Overlay) -> Iterator[str]:
    """What still names nobody; one sentence for each, with its mend."""
    named = [
        (f"{group.name}: image", container.get("image"), "set newName under images")
        for group in pods(overlay)
        for container in group.containers
    ]
    named += [
        (f"{name}.engine.base_url", upstream.base_url, "put your provider's in")
        for name, tier in overlay.app.tiers.items()
        for upstream in tier.upstreams
    ]
    named += [
        (
            f"NetworkPolicy {policy['metadata']['name']}:",
            cidr,
            "put the addresses of your provider or egress proxy in",
        )
        for policy in overlay.of_kind("NetworkPolicy")
        for cidr in re.findall(r"'cidr': '([^']*)'", str(policy["spec"]))
    ]
    for where, value, mend in named:
        if NOBODY.search(str(value)):
            yield f"{where} {value} is a placeholder: {mend}"


def secrets(overlay: Overlay) -> dict[str, set[str]]:
    """Every Secret that has to be there, with the keys that are read from it."""
    wanted: dict[str, set[str]] = {}
    shipped = {one["metadata"]["name"] for one in overlay.of_kind("Secret")}
    for kind, name, key in overlay.references():
        if kind == "Secret" and name not in shipped:
            wanted.setdefault(name, set()).update({key} - {""})
    # A mounted Secret says no key; the variable that names the file does.
    for group in overlay.workers:
        file = group.env.get("SMALLFIRST_API_KEYS_FILE") or ""
        for volume in group.pod.get("volumes", ()):
            mounts = {
                mount["mountPath"]
                for mount in group.container.get("volumeMounts", ())
                if mount["name"] == volume["name"]
            }
            if "secret" in volume and file.rpartition("/")[0] in mounts:
                wanted[volume["secret"]["secretName"]].add(file.rpartition("/")[2])
    return wanted


def duties(overlay: Overlay) -> Iterator[Duty]:
    """What to make before the overlay is applied, and what to look at after it."""
    where = f"--namespace {overlay.namespace}"
    for name, keys in sorted(secrets(overlay).items()):
        files = " ".join(f"--from-file={key}=FILE" for key in sorted(keys))
        yield Duty(
            f"Secret {name}", f"kubectl create secret generic {name} {where} {files}".strip()
        )
    for claim in overlay.of_kind("PersistentVolumeClaim"):
        name = claim["metadata"]["name"]
        yield Duty(
            f"weights on the claim {name}", f"kubectl get persistentvolumeclaim {name} {where}"
        )
    needs = {key: value for key, value in upgrade_needs(overlay).items() if "/" in key}
    for key, count in sorted(needs.items()):
        yield Duty(
            f"{count:g} x {key} during an upgrade",
            "kubectl get nodes --output "
            f"custom-columns=NODE:.metadata.name,HAS:.status.allocatable.{_escaped(key)}",
        )
    if overlay.of_kind("PodMonitor"):
        yield Duty("the Prometheus Operator", "kubectl get crd podmonitors.monitoring.coreos.com")
    yield Duty("KubeRay 1.7", "kubectl get crd rayservices.ray.io")
    yield Duty("a client namespace", "kubectl get namespaces --selector smallfirst/client=allowed")
    yield Duty("the result", f"kubectl get rayservice,pods {where}")


def _escaped(key: str) -> str:
    return key.replace(".", "\\.")
