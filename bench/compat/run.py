"""Runs each client library, pinned in an environment of its own, through every model name.

`python -m bench.compat.run [KIT ...]` starts `smallfirst serve` with simulated engines, whose calls
and formats are certain, and keeps what it found in `results/kits.json`, with the day, and in
`docs/compatibility.md`. Environments are made on first use below the user's cache folder, and kept.
"""

import datetime
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.compat.environments import KITS, command
from bench.compat.tables import PAGE, written
from bench.overhead.servers import application

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "kits.json"
MODELS = ("auto", "small", "large")
ENGINE = {
    "kind": "simulated",
    "first_token_delay_s": 0.0,
    "inter_token_delay_s": 0.0005,
    "mean_completion_tokens": 20,
}
ARGS = {name: {"model": f"sim-{name}", "engine": ENGINE} for name in ("small", "large")}
PORT = 8461
# Of all checks of one kit with one model.
TIMEOUT_S = 600


def kept_here() -> dict[str, str]:
    """The environment, without what would lead a library elsewhere, or have it look things up."""
    kept = {name: value for name, value in os.environ.items() if "_proxy" not in name.lower()}
    return kept | {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}


def checks(kit: str, url: str, model: str) -> list[dict[str, str]]:
    """What became of each check; a kit that does not start has one check, that failed."""
    line, folder = command(kit)
    try:
        ran = subprocess.run(
            [*line, url, model],
            cwd=folder,
            env=kept_here(),
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return [{"check": "the kit itself", "failed": f"not done after {TIMEOUT_S} s"}]
    found = [json.loads(line) for line in ran.stdout.splitlines() if line.startswith('{"check"')]
    if ran.returncode:
        found.append(
            {"check": "the kit itself", "failed": ran.stderr.strip().splitlines()[-1][:200]}
        )
    return found


def run(kits: list[str]) -> dict[str, Any]:
    """The results by kit and model, beside those of earlier runs; each is kept at once."""
    results: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for kit in kits:
        command(kit)
    with application(ARGS, PORT) as server:
        for kit in kits:
            found = {model: checks(kit, server.url.removesuffix("/v1"), model) for model in MODELS}
            today = datetime.datetime.now(datetime.UTC).date().isoformat()
            results[kit] = {"packages": KITS[kit], "date": today, "checks": found}
            failed = [check for model in found.values() for check in model if check["failed"]]
            print(f"{kit}: {sum(map(len, found.values()))} checks, failed: {failed or 'none'}")
            RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return results


def table(results: dict[str, Any]) -> Iterator[str]:
    """The results in Markdown."""
    yield "| kit | date | checks | each with | passed |"
    yield "|---|---|---|---|---|"
    for kit in results.values():
        every = [check for model in kit["checks"].values() for check in model]
        names = ", ".join(dict.fromkeys(check["check"] for check in every))
        passed = sum(not check["failed"] for check in every)
        packages = ", ".join(f"`{package}`" for package in kit["packages"])
        models = ", ".join(f"`{model}`" for model in kit["checks"])
        yield f"| {packages} | {kit['date']} | {names} | {models} | {passed} of {len(every)} |"


def main(kits: list[str]) -> int:
    """Run, keep, and say by the exit code whether all passed."""
    results = run(kits or list(KITS))
    page = written(PAGE.read_text(encoding="utf-8"), "kits", table(results))
    PAGE.write_text(page, encoding="utf-8")
    found = (
        check for kit in results.values() for model in kit["checks"].values() for check in model
    )
    return int(any(check["failed"] for check in found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
