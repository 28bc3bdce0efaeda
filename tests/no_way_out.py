"""Runs inside a network namespace that has loopback only: a whole endpoint with `egress: none`.

A process of its own (`test_no_way_out.py` starts it), because a namespace is one's own
for good. Prints what it saw as JSON.
"""

import errno
import fcntl
import json
import socket
import struct
from typing import Any

import httpx

from tests.endpoint import running_endpoint

# linux/sockios.h, linux/if.h.
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1
# For documentation only (RFC 5737): nobody has it.
ELSEWHERE = ("192.0.2.1", 80)
ENGINE = {"kind": "simulated", "first_token_delay_s": 0.0, "inter_token_delay_s": 0.001}
ARGS: dict[str, Any] = {
    "egress": "none",
    "gateway": {"num_cpus": 0.1},
    "small": {"model": "sim-small", "engine": ENGINE, "num_cpus": 0.1},
    "large": {"model": "sim-large", "engine": ENGINE, "num_cpus": 0.1},
}


def raise_loopback() -> None:
    """Set loopback up: in a new namespace it is down."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sh14x", b"lo", 0)
        (flags,) = struct.unpack_from("h", fcntl.ioctl(any_socket, SIOCGIFFLAGS, request), 16)
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | IFF_UP))


def connect_elsewhere() -> int:
    """The error of a connection to another machine."""
    with socket.socket() as outside:
        return outside.connect_ex(ELSEWHERE)


def main() -> None:
    """Start, ask both tiers, stop; say what happened."""
    raise_loopback()
    seen: dict[str, Any] = {
        "interfaces": [name for _, name in socket.if_nameindex()],
        "elsewhere": errno.errorcode.get(connect_elsewhere(), "connected"),
    }
    with running_endpoint(ARGS) as endpoint:
        body = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 5}
        for model in ("small", "large"):
            answer = httpx.post(
                f"{endpoint.url}/v1/chat/completions", json={**body, "model": model}, timeout=60
            )
            seen[model] = [answer.status_code, answer.headers["x-smallfirst-tier"]]
    print(json.dumps(seen))
