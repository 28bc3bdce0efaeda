"""Changes the running application in place: rolls it out, probes it, takes it back if it fails.

Serve replaces the replicas whose settings changed one at a time (`max_surge_percent`), each old one
only when a new one is ready; the old ones finish their requests first. Requests go on throughout.
"""

import json
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from deployments.commands.ray_environment import RAY_ENVIRONMENT
from deployments.settings.app import AppConfig, TierName, parse_app_config
from deployments.settings.config_mistake import ConfigError
from deployments.settings.environment import set_defaults
from deployments.settings.vllm import VllmConfig

# How long one probe may take: a cold engine's first answer on a busy CPU.
PROBE_TIMEOUT_S = 60.0
PROBE_TOKENS = 64


class Probe(NamedTuple):
    """A question, and the pattern that an acceptable answer contains."""

    prompt: str
    matches: str


# Without a golden set: the model must answer at all.
ANSWERS_AT_ALL = [Probe("Say hello.", r"\S")]


# Deploys a config and waits until it is healthy; is told each deployment's state meanwhile.
RunApp = Callable[[AppConfig, Callable[[dict[str, str]], None]], None]


class RolledBack(Exception):
    """The new application did not hold, and the old one runs again; the message says why."""


def changed_model(config: AppConfig, tier: TierName, model: str, path: str | None) -> AppConfig:
    """The config with another model in one tier; `ConfigError` if it does not make sense."""
    document = config.model_dump(mode="json")
    document[tier]["model"] = model
    document[tier]["stand_in"] = False
    if path is not None:
        if not isinstance(config.tiers[tier].engine, VllmConfig):
            raise ConfigError(f"{tier}.engine is not a vllm engine; edit the config and apply it")
        document[tier]["engine"]["path"] = path
    return parse_app_config(document, "swap")


def read_golden_set(path: Path | None) -> list[Probe]:
    """Probes from JSON lines `{"prompt", "matches"}`; `ConfigError` names the first bad line."""
    if path is None:
        return ANSWERS_AT_ALL
    probes = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {path}: {error}") from None
    for number, line in enumerate(lines, start=1):
        if line.strip():
            probes.append(_probe(line, f"{path.name} line {number}"))
    if not probes:
        raise ConfigError(f"{path.name} holds no line")
    return probes


def _probe(line: str, place: str) -> Probe:
    try:
        entry = json.loads(line)
        prompt, matches = str(entry["prompt"]), str(entry["matches"])
        re.compile(matches)
    except (ValueError, TypeError, KeyError, re.error):
        raise ConfigError(f"{place} needs a 'prompt' and a regular expression 'matches'") from None
    return Probe(prompt, matches)


def failed_probes(url: str, tier: TierName, probes: list[Probe]) -> list[str]:
    """One line for each probe that the tier did not answer as it should."""
    with httpx.Client(base_url=url, timeout=PROBE_TIMEOUT_S, trust_env=False) as client:
        asked = [(probe, _answer(client, tier, probe)) for probe in probes]
    return [
        f"probe {number}: {answer if failed else 'the answer does not match'}"
        for number, (probe, (failed, answer)) in enumerate(asked, start=1)
        if failed or not re.search(probe.matches, answer)
    ]


def _answer(client: httpx.Client, tier: TierName, probe: Probe) -> tuple[bool, str]:
    """Whether the request failed, and the answer or how it failed."""
    body: dict[str, Any] = {
        "model": tier,
        "messages": [{"role": "user", "content": probe.prompt}],
        "temperature": 0,
        "max_tokens": PROBE_TOKENS,
    }
    try:
        answer = client.post("/v1/chat/completions", json=body)
    except httpx.HTTPError as error:
        return True, type(error).__name__
    if answer.status_code != 200:
        return True, f"HTTP {answer.status_code}"
    if answer.headers.get("x-smallfirst-tier") != tier:
        return True, "another tier answered"
    return False, answer.json()["choices"][0]["message"]["content"] or ""


@contextmanager
def joined_cluster(temp_dir: Path) -> Iterator[RunApp]:
    """This process as a client of the running cluster whose sockets are in `temp_dir`.

    Yields what deploys an application there. Raises: `ConfigError` where no cluster runs.
    """
    # Ray 2.60 guards a local cluster with a token, but a client that names the address does not
    # send it unless it is told so before Ray is imported: nothing above may import it.
    set_defaults({**RAY_ENVIRONMENT, "RAY_AUTH_MODE": "token"})
    import ray

    from deployments.commands.local_cluster import ADDRESS_FILE, run_app

    try:
        address = (temp_dir / ADDRESS_FILE).read_text()
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, RuntimeError, ValueError):
        raise ConfigError(
            f"no cluster runs from {temp_dir}; start one, or give its --temp-dir"
        ) from None
    try:
        yield run_app
    finally:
        ray.shutdown()


def roll_out(
    run: Callable[[AppConfig], None],
    old: AppConfig,
    new: AppConfig,
    probe: Callable[[], list[str]],
) -> None:
    """`run` the new config instead of the old. Raises: `RolledBack` when the old one runs again."""
    try:
        run(new)
        complaints = probe()
    except ConfigError as error:
        complaints = [str(error)]
    except BaseException:
        # Ctrl-C in the middle: the old application is the one that is known to work.
        run(old)
        raise
    if complaints:
        run(old)
        raise RolledBack("; ".join(complaints))
