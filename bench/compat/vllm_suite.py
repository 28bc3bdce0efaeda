"""vLLM's own tests of its HTTP server, against us and against bare vLLM on the same checkpoint.

`python -m bench.compat.vllm_suite [--here] [TEST ...]`: `--here` keeps the last results of bare
vLLM; with tests, the page stays as it is. The tests come out of vLLM's source distribution, which
pip fetches on first use into the user's cache folder; `vllm_choice` says which are run, and
`vllm_plugin` has them ask a server that runs. Wants vLLM in this environment.
"""

import datetime
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.compat.tables import PAGE, written
from bench.compat.vllm_choice import ACCEPTED, ACCEPTED_FILES, FILES, LEFT_OUT
from bench.overhead.rivals import environment
from bench.overhead.servers import application, bare_vllm
from deployments.settings.environment import cache_dir
from deployments.settings.vllm import VllmConfig
from models.default_model import ensure

VERSION = "0.32.0"
# What pip needs to read the distribution's version, and what its tests import that vLLM does not.
NEEDED = ("setuptools-rust==1.13.0", "setuptools-scm==10.3.4", "setuptools==80.9.0", "tblib==3.2.2")
HERE = Path(__file__).parent
ROOT = "tests/entrypoints/"
RESULTS = HERE / "results" / "vllm.json"
MODEL = "smollm2-135m-int4"
# Their tests ask their own models by name and read tokenizers by the same: here one that is there.
MODELS = re.compile(
    r'"(?:Qwen|HuggingFaceH4|HuggingFaceTB|facebook|openai-community)/[\w.-]+"'
    r'|"claude-3-7-sonnet-latest"'
)
# Short, greedy answers where a test does not ask otherwise: a small model does not end by itself.
DEFAULTS = {"override-generation-config": {"max_new_tokens": 200, "temperature": 0.0}}
ENGINE: dict[str, Any] = {
    "kind": "vllm",
    "path": "builtin:small",
    "max_model_len": 8192,
    "extra_args": DEFAULTS,
}
LARGE = {"kind": "simulated", "first_token_delay_s": 0.0, "inter_token_delay_s": 0.0}
# Requests that name no model are `auto` here: all to the model that bare vLLM serves.
ARGS = {
    "escalation": {"target_rate": 0.0},
    "small": {"model": MODEL, "engine": ENGINE, "scaling": {"max_replicas": 1}},
    "large": {"model": "sim", "engine": LARGE},
}
PORT = 8471
# Of one test: some ask for as many tokens as there are, which a CPU makes at 30 a second.
TEST_TIMEOUT_S = 300
# Tests at a time: an engine answers four in little more time than one.
WORKERS = 4
# By test, as pytest names outcomes.
Results = dict[str, str]


def sources() -> Path:
    """The folder of vLLM's tests, fetched on first use; each says `MODEL` for its models."""
    folder = cache_dir() / "bench" / f"vllm-tests-{VERSION}"
    done = folder / ".complete"
    if done.exists():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", "vllm"]
    command += ["--no-build-isolation", "--dest", str(folder), f"vllm=={VERSION}"]
    # pip reads a version by running setup.py, which must not look for a GPU, nor name one.
    told = {"VLLM_TARGET_DEVICE": "empty", "VLLM_VERSION_OVERRIDE": VERSION}
    subprocess.run(command, env=os.environ | told | {"PYTHONPATH": str(site())}, check=True)
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        tests = [m for m in tar.getmembers() if m.name.split("/")[1:2] == ["tests"]]
        tar.extractall(folder, tests, filter="data")
    (folder / f"vllm-{VERSION}" / "tests").rename(folder / "tests")
    archive.unlink()
    for file in (folder / "tests" / "entrypoints").rglob("*.py"):
        file.write_text(MODELS.sub(f'"{MODEL}"', file.read_text()))
    done.touch()
    return folder


def site() -> Path:
    """The packages beside our own environment's that the tests want."""
    return environment(*NEEDED).parent / "lib" / "python3.11" / "site-packages"


def unnamed(folder: Path) -> list[str]:
    """Files of `tests/entrypoints/openai` and `anthropic` that `FILES` says nothing of."""
    root = folder / ROOT
    files = [*(root / "openai").rglob("test_*.py"), *(root / "anthropic").rglob("test_*.py")]
    found = (str(file.relative_to(root)) for file in files)
    return sorted(set(found) - set(FILES))


def ran(folder: Path, url: str, tests: list[str]) -> Results:
    """What became of these tests (files or ids) against the server at this address."""
    work = cache_dir() / "bench" / "vllm-work"
    work.mkdir(parents=True, exist_ok=True)
    link = folder / MODEL
    if not link.exists():
        link.symlink_to(ensure(cache_dir(), print).small)
    results = work / "results.json"
    results.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-q", "-c", os.devnull, f"--rootdir={folder}"]
    command += ["-p", "vllm_plugin", "-p", "no:cacheprovider", "--color=no", "-W", "ignore"]
    command += ["-n", str(WORKERS)] if len(tests) > WORKERS else []
    command += [f"--timeout={TEST_TIMEOUT_S}", "-k", " and ".join(f"not {e}" for e in LEFT_OUT)]
    told = {
        "PYTHONPATH": os.pathsep.join(map(str, (folder, HERE, site()))),
        "VLLM_SUITE_URL": url,
        "VLLM_SUITE_RESULTS": str(results),
        "HF_HUB_OFFLINE": "1",
    }
    subprocess.run([*command, *tests], cwd=folder, env=os.environ | told, check=False)
    found: Results = json.loads(results.read_text())
    return found


def only_here(bare: Results, ours: Results) -> list[str]:
    """Tests that pass on bare vLLM and not here."""
    passed = (test for test, outcome in bare.items() if outcome == "passed")
    return [test for test in passed if ours.get(test) != "passed"]


def accepted(test: str) -> str | None:
    """Why a test that fails only here may."""
    return ACCEPTED.get(_name(test)) or ACCEPTED_FILES.get(_name(test).split("::")[0])


def _name(test: str) -> str:
    return test.removeprefix(ROOT).split("[")[0]


def on_bare_vllm(folder: Path, tests: list[str]) -> Results:
    """What became of these tests on vLLM's own server."""
    engine = VllmConfig.model_validate(ENGINE)
    with bare_vllm(PORT, name=MODEL, engine=engine) as server:
        return ran(folder, server.url.removesuffix("/v1"), tests)


def here(folder: Path, tests: list[str], bare: Results) -> Results:
    """What became of them here. What fails only here is asked once more: answers are sampled."""
    with application(ARGS, PORT) as server:
        url = server.url.removesuffix("/v1")
        ours = ran(folder, url, tests)
        if again := only_here(bare, ours):
            ours |= ran(folder, url, again)
    return ours


def run(tests: list[str], bare: Results | None) -> dict[str, Any]:
    """Both servers' results, or ours beside those of bare vLLM."""
    folder = sources()
    if missing := unnamed(folder):
        raise SystemExit(f"vllm_choice.FILES says nothing of {', '.join(missing)}")
    chosen = tests or [ROOT + file for file, why in FILES.items() if not why]
    if bare is None:
        bare = on_bare_vllm(folder, chosen)
    if tests:
        bare = {test: bare[test] for test in bare if test.startswith(tuple(tests))}
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    return {"version": VERSION, "date": today, "bare": bare, "ours": here(folder, chosen, bare)}


def table(found: dict[str, Any]) -> Iterator[str]:
    """The results in Markdown."""
    bare, ours = found["bare"], found["ours"]
    both = len(bare.keys() | ours.keys())
    yield f"vLLM {found['version']}, {found['date']}: {both} tests of its HTTP server were run."
    if note := found.get("note"):
        yield note
    yield ""
    yield "| | passed |"
    yield "|---|---|"
    yield f"| bare vLLM | {_passed(bare)} |"
    yield f"| here | {_passed(ours)} |"
    yield f"| only on bare vLLM | {len(only_here(bare, ours))} |"
    yield f"| only here | {len(only_here(ours, bare))} |"
    yield ""
    yield "| passes only on bare vLLM | why |"
    yield "|---|---|"
    for test in only_here(bare, ours):
        why = accepted(test) or "**open**: to be mended"
        yield f"| `{test.removeprefix(ROOT)}` | {why} |"
    yield ""
    yield "| left out | why |"
    yield "|---|---|"
    reasons = {why for why in FILES.values() if why}
    for why in sorted(reasons):
        files = ", ".join(f"`{file}`" for file, reason in FILES.items() if reason == why)
        yield f"| {files} | {why} |"
    for expression, why in LEFT_OUT.items():
        yield f"| tests with `{expression}` in their name | {why} |"


def _passed(results: Results) -> int:
    return sum(outcome == "passed" for outcome in results.values())


def main(tests: list[str]) -> int:
    """Run, keep, and say by the exit code whether nothing unexplained passes on bare vLLM alone."""
    only = tests[:1] == ["--here"]
    tests = tests[only:]
    kept = json.loads(RESULTS.read_text())["bare"] if only else None
    found = run(tests, kept)
    unexplained = [t for t in only_here(found["bare"], found["ours"]) if accepted(t) is None]
    for test in unexplained:
        print(f"only on bare vLLM: {test}")
    if not tests:
        RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        page = written(PAGE.read_text(encoding="utf-8"), "vllm", table(found))
        PAGE.write_text(page, encoding="utf-8")
    return int(bool(unexplained))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
