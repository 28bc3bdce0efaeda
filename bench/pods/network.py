"""Network namespaces for pods, joined by a bridge; NetworkPolicies as nftables rules in each."""

import ctypes
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import psutil

from deployments.kubernetes.network import Peer, peer_is, selecting
from deployments.kubernetes.overlay import Manifest

Result = TypeVar("Result")
CLONE_NEWNET = 0x40000000
SUBNET = "10.77.0"
NAMESPACES = Path("/run/netns")
MARK = "smallfirst-"


def what_is_missing() -> str | None:
    """Why pods cannot be run here; None where they can."""
    if os.geteuid() != 0:
        return "not root: namespaces and mounts need it"
    for program, package in (
        ("ip", "iproute2"),
        ("bwrap", "bubblewrap"),
        ("nft", "nftables"),
        ("setpriv", "util-linux"),
    ):
        if shutil.which(program) is None:
            return f"no {program}: apt install {package}"
    probe = subprocess.run(["unshare", "--net", "nft", "list", "ruleset"], capture_output=True)
    return "this kernel has no network namespaces or nftables" if probe.returncode else None


class Fabric:
    """A bridge, and a namespace for everybody who is plugged into it."""

    def __init__(self) -> None:
        self._used: list[str] = []

    def open(self) -> None:
        """Make the bridge, where others have left nothing behind."""
        remove_leftovers()
        self._bridge = self._namespace("fabric")
        self._ip(self._bridge, "link add bridge0 type bridge")
        self._ip(self._bridge, f"address add {SUBNET}.1/24 dev bridge0")
        self._ip(self._bridge, "link set bridge0 up")

    def plug(self, name: str) -> tuple[str, str]:
        """A namespace with an address on the bridge; returns both."""
        number = len(self._used) + 1
        namespace, address = self._namespace(name), f"{SUBNET}.{number}"
        outer = f"port{number}"
        self._ip(self._bridge, f"link add {outer} type veth peer name eth0 netns {namespace}")
        self._ip(self._bridge, f"link set {outer} master bridge0 up")
        self._ip(namespace, f"address add {address}/24 dev eth0")
        self._ip(namespace, "link set lo up")
        self._ip(namespace, "link set eth0 up")
        # A pod has one, and Ray learns its own address from it.
        self._ip(namespace, f"route add default via {SUBNET}.1")
        return namespace, address

    def close(self) -> None:
        """Remove every namespace, and with them the links."""
        for namespace in self._used:
            subprocess.run(["ip", "netns", "delete", namespace], check=False)

    def _namespace(self, name: str) -> str:
        namespace = f"{MARK}{os.getpid()}-{name}"
        self._used.append(namespace)
        subprocess.run(["ip", "netns", "add", namespace], check=True)
        return namespace

    def _ip(self, namespace: str, words: str) -> None:
        subprocess.run(["ip", "-n", namespace, *words.split()], check=True)


@contextmanager
def fabric() -> Iterator[Fabric]:
    """A fabric that is gone afterwards."""
    made = Fabric()
    try:
        made.open()
        yield made
    finally:
        made.close()


def remove_leftovers() -> None:
    """Remove the namespaces of drivers that were killed; their pods have died with them."""
    for namespace in NAMESPACES.glob(f"{MARK}*"):
        owner = re.match(rf"{MARK}(\d+)-", namespace.name)
        if owner and not psutil.pid_exists(int(owner[1])):
            subprocess.run(["ip", "netns", "delete", namespace.name], check=False)


def inside(namespace: str, work: Callable[[], Result]) -> Result:
    """The result of `work`, run by a thread whose sockets are in the namespace."""
    results: list[Result] = []
    errors: list[BaseException] = []

    def run() -> None:
        with (NAMESPACES / namespace).open() as file:
            if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
        try:
            results.append(work())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def nft(namespace: str, script: str) -> None:
    """Load rules in a namespace."""
    subprocess.run(
        ["ip", "netns", "exec", namespace, "nft", "-f", "-"], input=script, text=True, check=True
    )


def enforce(
    policies: list[Manifest], pod: Peer, address: str, peers: Iterable[tuple[Peer, str]]
) -> str:
    """The nftables rules of one pod; `peers` are the others with their addresses."""
    others = list(peers)
    lines = ["table inet policies", "delete table inet policies", "table inet policies {"]
    for side, hook, field in (("Egress", "output", "daddr"), ("Ingress", "input", "saddr")):
        verdict = "drop" if selecting(policies, side, pod) else "accept"
        lines.append(f" chain {hook} {{ type filter hook {hook} priority 0; policy {verdict};")
        lines.append("  ct state established,related accept")
        lines.append("  iif lo accept" if hook == "input" else "  oif lo accept")
        lines.append(f"  ip {field} {address} accept")
        for spec in selecting(policies, side, pod):
            for rule in spec.get(side.lower(), ()):
                lines += [f"  {line}" for line in _rule_lines(rule, side, field, others)]
        lines.append(" }")
    return "\n".join([*lines, "}", ""])


def _rule_lines(
    rule: Manifest, side: str, field: str, others: list[tuple[Peer, str]]
) -> Iterator[str]:
    peers: list[Manifest] = rule.get("to" if side == "Egress" else "from", [])
    addresses = {one for other, one in others if any(peer_is(peer, other) for peer in peers)}
    addresses |= {peer["ipBlock"]["cidr"] for peer in peers if "ipBlock" in peer}
    if peers and not addresses:
        return
    where = f"ip {field} {{ {', '.join(sorted(addresses))} }} " if peers else ""
    ports: list[dict[str, Any]] = rule.get("ports", [])
    if not ports:
        yield f"{where}accept"
    for port in ports:
        yield f"{where}{port.get('protocol', 'TCP').lower()} dport {port['port']} accept"


def service(namespace: str, address: str, port: int, backends: list[str]) -> None:
    """What kube-proxy does: connections from here to a Service's address go to one of its pods."""
    many = ", ".join(f"{i} : {backend}" for i, backend in enumerate(backends))
    choice = f"numgen inc mod {len(backends)} map {{ {many} }}"
    nft(
        namespace,
        f"""table ip services
delete table ip services
table ip services {{
 chain output {{ type nat hook output priority -100;
  ip daddr {address} tcp dport {port} dnat to {choice}:{port}
 }}
}}
""",
    )
