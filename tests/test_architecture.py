"""The size of files and functions, and the doors that import-linter cannot see."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("deployments", "classifier", "autoscale", "models", "answer_check")
MAX_FILE_LINES = 280
MAX_FUNCTION_LINES = 50
# Over the budget and still to be split; a file that fits again must leave this list.
LARGER: set[str] = set()
# Where the project asks something over HTTP; the tests ask loopback only.
ASKING = (*ROOMS, "bench")
# What makes an HTTP client, or is one for a single request.
CLIENTS = {
    "Client",
    "AsyncClient",
    "DefaultHttpxClient",
    "DefaultAsyncHttpxClient",
    "ClientSession",
}
ONE_SHOT = {"get", "post", "put", "patch", "delete", "head", "options", "request", "stream"}
SDK_CLIENTS = {"OpenAI", "AsyncOpenAI", "AzureOpenAI", "AsyncAzureOpenAI"}
HTTP_LIBRARIES = {"httpx", "httpx2", "aiohttp", "openai"}
# These obey the environment whatever one says, or one has to think of it at each call.
OTHER_HTTP_LIBRARIES = {"requests", "urllib3", "pycurl"}
FILES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
EVERY = pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def imports(tree: ast.AST) -> Iterator[str]:
    """The first part of every module that is imported, wherever in the file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name.split(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0]


def reads_environment(tree: ast.AST) -> bool:
    """Whether `os.environ` or `os.getenv` is used, also by `from os import environ`."""
    names = {"environ", "getenv", "environb", "putenv"}
    return any(
        (isinstance(node, ast.Attribute) and node.attr in names and _is_os(node.value))
        or (isinstance(node, ast.ImportFrom) and node.module == "os" and _imports(node, names))
        for node in ast.walk(tree)
    )


def _is_os(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id == "os"


def _imports(node: ast.ImportFrom, names: set[str]) -> bool:
    return any(alias.name in names for alias in node.names)


@EVERY
def test_a_file_reads_in_one_sitting(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    larger = path.relative_to(ROOT).as_posix() in LARGER
    assert (lines > MAX_FILE_LINES) is larger, f"{lines} lines"


@EVERY
def test_a_function_fits_a_screen(path: Path) -> None:
    for node in functions(ast.parse(path.read_text(encoding="utf-8"))):
        lines = (node.end_lineno or 0) - node.lineno + 1
        assert lines <= MAX_FUNCTION_LINES, f"{node.name}: {lines} lines"


@EVERY
def test_one_module_reads_the_environment_and_one_imports_vllm(path: Path) -> None:
    tree, where = ast.parse(path.read_text(encoding="utf-8")), path.relative_to(ROOT).as_posix()
    assert not reads_environment(tree) or where == "deployments/settings/environment.py"
    assert "vllm" not in imports(tree) or where.startswith("deployments/vllm/")


def obeys_environment(tree: ast.AST) -> Iterator[str]:
    """HTTP clients that a proxy variable, `SSL_CERT_FILE` or `.netrc` could lead elsewhere."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module in HTTP_LIBRARIES:
            yield from (name.name for name in node.names if _makes_client(name.name))
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names = [name.name for name in node.names] + [getattr(node, "module", None) or ""]
            yield from (name for name in names if name.startswith("urllib.request"))
            yield from OTHER_HTTP_LIBRARIES & {name.split(".")[0] for name in names}
        elif isinstance(node, ast.Call) and _is_client(node.func) and not _is_deaf(node):
            yield ast.unparse(node.func)


def _makes_client(name: str) -> bool:
    return name in CLIENTS | ONE_SHOT | SDK_CLIENTS


def _is_client(made: ast.expr) -> bool:
    library, _, name = ast.unparse(made).rpartition(".")
    return library in HTTP_LIBRARIES and _makes_client(name)


def _is_deaf(call: ast.Call) -> bool:
    """Whether a client is told not to read the environment."""
    said = {keyword.arg: keyword.value for keyword in call.keywords}
    if isinstance(call.func, ast.Attribute) and call.func.attr in SDK_CLIENTS:
        return "http_client" in said  # made by one of `CLIENTS`, which is looked at itself
    trust = said.get("trust_env")
    return isinstance(trust, ast.Constant) and trust.value is False


@pytest.mark.parametrize(
    "path",
    sorted(path for room in ASKING for path in (ROOT / room).rglob("*.py")),
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_no_http_client_obeys_the_environment(path: Path) -> None:
    assert list(obeys_environment(ast.parse(path.read_text(encoding="utf-8")))) == []


@pytest.mark.parametrize(
    "line",
    [
        "httpx.Client()",
        "httpx.AsyncClient(trust_env=True)",
        "httpx.get('http://x', timeout=5)",
        "aiohttp.ClientSession(trust_env=asked)",
        "openai.OpenAI(base_url='http://x')",
        "openai.OpenAI(http_client=openai.DefaultHttpxClient())",
        "from httpx import AsyncClient",
        "from urllib.request import urlopen",
        "import urllib.request",
        "import requests",
    ],
)
def test_a_client_that_obeys_the_environment_is_seen(line: str) -> None:
    assert list(obeys_environment(ast.parse(line)))


def test_the_doors_are_seen() -> None:
    # A check that finds nothing even where there is something would be no check.
    assert reads_environment(ast.parse("import os\nos.environ['A']"))
    assert reads_environment(ast.parse("from os import getenv"))
    assert set(imports(ast.parse("def f():\n    from vllm.engine import x"))) == {"vllm"}
