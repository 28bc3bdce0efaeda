"""`smallfirst doctor` on good overlays, on each kind of bad input, and before a cluster."""

import json
import os
import shutil
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deployments.cli import app as command
from deployments.kubernetes.duties import secrets
from tests.unit.k8s.conftest import K8S, ROOT, kustomize, rendered

SERVE_FILE = ROOT / "serve_config.yaml"
REST = "smallfirst-ray-token auth_token\nsmallfirst-redis password\n"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of `k8s/`, to be changed."""
    kustomize(K8S / "base")  # skips where there is no kubectl
    shutil.copytree(K8S, tmp_path / "k8s")
    return tmp_path / "k8s"


def asked(*words: object, render: Path | None = None) -> tuple[int, str]:
    if render is not None:
        made = ["k8s", "render", str(render), "--config", str(SERVE_FILE)]
        assert CliRunner().invoke(command, made).exit_code == 0
    done = CliRunner().invoke(command, ["doctor", *map(str, words), "--config", str(SERVE_FILE)])
    return done.exit_code, done.output


def test_a_good_overlay_is_clean_and_names_what_is_left() -> None:
    code, said = asked(K8S / "overlays" / "onprem-hipaa")
    assert code == 0 and "nothing would fail" in said
    for name in ("smallfirst-api-keys", "smallfirst-ray-token", "smallfirst-redis"):
        assert f"kubectl create secret generic {name} --namespace smallfirst" in said


def test_placeholders_are_to_be_filled(tree: Path) -> None:
    overlay = tree / "overlays" / "prod-cloud"
    code, said = asked(overlay)
    assert code == 2 and said.count("is a placeholder") == 5
    for name in ("app.yaml", "kustomization.yaml", "provider.yaml"):
        text = (overlay / name).read_text()
        text = text.replace("llm.example.com", "llm.provider.io").replace("203.0.113.0", "8.8.4.0")
        (overlay / name).write_text(text.replace("registry.example.com", "registry.shop.io"))
    assert asked(overlay, render=overlay)[0] == 0


@pytest.mark.parametrize(
    ("file", "right", "wrong", "words"),
    [
        ("overlays/onprem-hipaa/workers.yaml", "Specs/0/minReplicas", "Specs/3/minReplicas", "3"),
        ("overlays/onprem-hipaa/kustomization.yaml", "    newTag: 0.1.0-gpu\n", "", "set newTag"),
        ("overlays/onprem-hipaa/app.yaml", "/models/large", "/weights/large", "/weights/large"),
        (
            "components/resourcequota/quota.yaml",
            'gpu: "8"',
            'gpu: "4"',
            "below the 8 of an upgrade",
        ),
        ("overlays/onprem-hipaa/app.yaml", "gpu_share: 1", "gpu_share: 0.7", "is not 1/k"),
        ("overlays/onprem-hipaa/app.yaml", "/models/large", "../large", "lies in no volume"),
        ("base/rayservice.yaml", "rayVersion: 2.60.0", "rayVersion: [", "rayservice.yaml"),
    ],
    ids=["index", "tag", "path", "quota", "share", "relative path", "broken yaml"],
)
def test_bad_input_is_a_sentence_with_its_mend(
    tree: Path, file: str, right: str, wrong: str, words: str
) -> None:
    path = tree / file
    assert right in path.read_text()
    path.write_text(path.read_text().replace(right, wrong))
    overlay = tree / "overlays" / "onprem-hipaa"
    settings = file.endswith("app.yaml") and "gpu_share" not in right
    code, said = asked(overlay, render=overlay if settings else None)
    assert code == 2
    assert any(line.startswith("error: ") and words in line for line in said.splitlines()), said
    assert "Traceback" not in said


def test_a_stale_serve_config_is_named(tree: Path) -> None:
    app = tree / "overlays" / "onprem-hipaa" / "app.yaml"
    app.write_text(app.read_text().replace("max_ongoing_requests: 8", "max_ongoing_requests: 7"))
    code, said = asked(app.parent)
    assert code == 2 and "is stale: run smallfirst k8s render" in said


@pytest.mark.parametrize(
    ("text", "words"),
    [("", "no Kubernetes objects"), ("a: [", "not valid YAML"), ("kind: Pod", "0 RayServices")],
)
def test_a_file_that_is_no_overlay(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "rendered.yaml"
    file.write_text(text)
    code, said = asked(file)
    assert code == 2 and words in said
    assert asked(tmp_path / "nowhere")[0] == 2


def test_programs_get_an_object() -> None:
    code, said = asked(K8S / "overlays" / "prod-cloud", "--json")
    report = json.loads(said)
    assert code == 2 and report["ok"] is False
    assert {finding["rule"] for finding in report["findings"]} == {"placeholder"}
    assert json.loads(asked(Path("/nowhere"), "--json")[1])["findings"][0]["rule"] == "render"


def test_secrets_are_known_by_name_and_key() -> None:
    assert secrets(rendered("prod-cloud")) == {
        "smallfirst-api-keys": {"keys"},
        "smallfirst-upstream": {"api-key"},
        "smallfirst-ray-token": {"auth_token"},
        "smallfirst-redis": {"password"},
    }
    assert secrets(rendered("dev-cpu")) == {}


@pytest.mark.parametrize(
    ("listed", "words"),
    [
        (REST, "smallfirst-api-keys is not"),
        (f"smallfirst-api-keys key\n{REST}", "has no key keys"),
        (f"smallfirst-api-keys keys\n{REST}", ""),
    ],
)
def test_a_cluster_is_asked_for_names_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listed: str, words: str
) -> None:
    """A kubectl that renders as the real one does, and answers for a cluster."""
    real = Path(sys.executable).parent / "kubectl"
    kustomize(K8S / "base")
    fake = tmp_path / "kubectl"
    fake.write_text(
        f'#!/bin/sh\n[ "$1" = kustomize ] && exec {real} "$@"\n'
        f'echo "$@" >> {tmp_path}/asked\nprintf "%s" "{listed}"\n'
    )
    fake.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    code, said = asked(K8S / "overlays" / "onprem-hipaa", "--live")
    assert code == (2 if words else 0) and words in said
    question = (tmp_path / "asked").read_text()
    assert "go-template" in question and "$k" in question and " {{$v}}" not in question
