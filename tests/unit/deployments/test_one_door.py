"""Nothing but the door opens a way out, and the door takes nothing but what the policy released."""

import ast
import copy
import pickle
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deployments.egress.door import Door
from deployments.privacy.policy import Policy
from deployments.privacy.releasable import Destination, Releasable
from deployments.protocol.engine import EngineRequest
from deployments.settings.app import AppConfig
from deployments.settings.privacy import PrivacyConfig
from deployments.settings.upstream import UpstreamConfig

ROOT = Path(__file__).parents[3]
ROOMS = ("deployments", "classifier", "autoscale", "models")
# Names that open a connection, wherever they come from.
OPENING = {
    "AsyncClient", "Client", "AsyncHTTPTransport", "HTTPTransport", "ClientSession", "OpenAI",
    "AsyncOpenAI", "HTTPConnection", "HTTPSConnection", "PoolManager", "urlopen", "urlretrieve",
    "open_connection", "create_connection", "create_datagram_endpoint", "open_unix_connection",
    "sock_connect", "connect", "connect_ex", "sendto", "insecure_channel", "secure_channel",
}  # fmt: skip
CLIENTS = {"httpx", "httpx2", "aiohttp", "openai", "requests", "urllib3", "websockets"}
CLIENTS |= {"smtplib", "ftplib", "telnetlib", "paramiko", "pycurl", "xmlrpc", "telnetlib3"}
# What opens one and why it leads nowhere but where it says.
MAY_OPEN = {
    "deployments/egress/door.py": "the door",
    "deployments/replicas/relay_links.py": "replicas to the gateways of their own cluster",
    "deployments/store/postgres.py": "the ledger's database, which holds no text of a request",
}
# The operator's own commands, which ask the endpoint that he names; no part of the server.
COMMANDS = ("deployments/commands/", "autoscale/simulation/")
# Listens, or names addresses, without a connection of its own.
MAY_IMPORT = {*MAY_OPEN, "deployments/simulated/server.py"}
FILES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
OUTSIDE = UpstreamConfig(base_url="http://127.0.0.1:9/v1", model="m")
BODY = {"messages": [{"role": "user", "content": "hello"}]}


def opened(tree: ast.AST) -> Iterator[str]:
    """What a file calls that opens a connection, and the libraries for it that it imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            of, _, name = ast.unparse(node.func).rpartition(".")
            bare = (of, name) == ("socket", "socket")
            if bare or (name in OPENING and of != "sqlite3"):  # which connects to a file
                yield name
        elif isinstance(node, ast.Import):
            yield from CLIENTS & {alias.name.split(".")[0] for alias in node.names}
            yield from (a.name for a in node.names if a.name in ("urllib.request", "http.client"))
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from CLIENTS & {node.module.split(".")[0]}
            yield from {node.module} & {"urllib.request", "http.client"}
            yield from OPENING & {alias.name for alias in node.names}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_other_module_opens_a_connection(path: Path) -> None:
    where = path.relative_to(ROOT).as_posix()
    if where in MAY_IMPORT or where.startswith(COMMANDS):
        return
    assert set(opened(ast.parse(path.read_text(encoding="utf-8")))) == set()


@pytest.mark.parametrize(
    "line",
    [
        "import httpx",
        "from socket import create_connection",
        "asyncio.open_connection(host, 80)",
        "loop.create_connection(p, host, 80)",
        "sock.connect((host, 80))",
        "socket.socket()",
        "from urllib.request import urlopen",
        "import http.client",
        "grpc.insecure_channel(target)",
    ],
)
def test_a_module_that_opens_one_is_seen(line: str) -> None:
    assert list(opened(ast.parse(line)))


def test_the_door_is_one_of_those_that_open() -> None:
    for where in MAY_OPEN:
        assert list(opened(ast.parse((ROOT / where).read_text(encoding="utf-8")))), where


def test_the_policy_alone_knows_the_seal() -> None:
    knowing = {
        path.relative_to(ROOT).as_posix()
        for path in FILES
        if "SEAL" in path.read_text(encoding="utf-8")
    }
    assert knowing == {"deployments/privacy/releasable.py", "deployments/privacy/policy.py"}


def released(config: UpstreamConfig = OUTSIDE) -> Releasable:
    request = EngineRequest("chat", BODY, "r1")
    destination = Destination(config.base_url, config.in_cluster)
    return Policy(PrivacyConfig()).release(request, BODY, destination)


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(
            lambda r: Releasable(object(), r.destination, b"x", "r", "allowed"), id="made"
        ),
        pytest.param(lambda r: replace(r, seal=None), id="made from another"),
        pytest.param(copy.copy, id="copied"),
        pytest.param(copy.deepcopy, id="copied deep"),
        pytest.param(lambda r: pickle.loads(pickle.dumps(r)), id="pickled"),
        pytest.param(lambda r: type("Other", (Releasable,), {}), id="subclassed"),
    ],
)
def test_nobody_else_makes_what_may_leave(make: Any) -> None:
    with pytest.raises(TypeError):
        make(released())


def test_what_may_leave_cannot_be_changed() -> None:
    leaving = released()
    for name in ("content", "destination", "request_id"):
        with pytest.raises((AttributeError, TypeError)):
            setattr(leaving, name, b"other")
    assert b"hello" not in repr(leaving).encode()


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(
            OUTSIDE.model_copy(update={"base_url": "http://127.0.0.1:8/v1"}), id="address"
        ),
        pytest.param(OUTSIDE.model_copy(update={"in_cluster": True}), id="inside"),
    ],
)
async def test_what_was_released_to_one_endpoint_goes_to_no_other(other: UpstreamConfig) -> None:
    door = Door(OUTSIDE, None, None)
    try:
        for wrong in (released(other), b"{}", BODY, None):
            with pytest.raises(TypeError):
                await door.send("/chat/completions", wrong)  # type: ignore[arg-type]
    finally:
        await door.close()


UPSTREAM = {"kind": "upstream", "base_url": "https://llm.example.com/v1", "model": "m"}


@pytest.mark.parametrize(
    ("large", "said"),
    [
        (UPSTREAM, "large.engine"),
        ({**UPSTREAM, "in_cluster": True}, "large.engine"),
        ({"kind": "vllm", "allowed_media_domains": ["img.example.com"]}, "allowed_media_domains"),
    ],
)
def test_without_egress_a_way_out_is_a_mistake(large: Any, said: str) -> None:
    args = {"large": {"model": "big", "engine": large}}
    AppConfig.model_validate(args)
    with pytest.raises(ValueError, match=said):
        AppConfig.model_validate({**args, "egress": "none"})


def test_without_egress_not_even_the_code_of_the_door_is_there() -> None:
    code = """
import sys
import deployments.app, deployments.ingress
from deployments.replicas.tier import build_engine
from deployments.settings.app import AppConfig
engine = {"kind": "simulated"}
config = AppConfig.model_validate({
    "egress": "none",
    "small": {"model": "s", "engine": engine},
    "large": {"model": "l", "engine": engine},
})
for tier in config.tiers.values():
    build_engine(tier, config.privacy)
print([name for name in sys.modules if name.startswith(("deployments.egress", "deployments.up"))])
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip().splitlines()[-1] == "[]"
