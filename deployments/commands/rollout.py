"""Changes the running application in place: rolls it out, probes it, takes it back if it fails.

Serve replaces the replicas whose settings changed one at a time (`max_surge_percent`), each old one
only when a new one is ready; the old ones finish their requests first. Requests go on throughout.
"""

import json
import logging
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from autoscale.parameters import Parameters
from deployments.commands.endpoint import Endpoint, unreachable
from deployments.commands.ray_environment import RAY_ENVIRONMENT
from deployments.commands.run_folder import Run
from deployments.commands.surge import restarted_tiers
from deployments.settings.app import AppConfig, TierName, parse_app_config
from deployments.settings.config_mistake import ConfigError
from deployments.settings.environment import set_defaults
from deployments.settings.release import release_of
from deployments.settings.vllm import VllmConfig

# A start may take this many times what it is believed to take before it counts as hanging.
PATIENCE = 5.0
# How long a change may take that restarts no tier, seconds: gateways start in some.
LIVE_CHANGE_S = 120.0
# How long one probe may take: a cold engine's first answer on a busy CPU.
PROBE_TIMEOUT_S = 60.0
PROBE_TOKENS = 64
TELL_ALL = {"x-smallfirst-debug": "true"}
WHO_ANSWERED = ("tier", "model", "release")


class Probe(NamedTuple):
    """A question, and the pattern that an acceptable answer contains."""

    prompt: str
    matches: str


# Without a golden set: the model must answer at all.
ANSWERS_AT_ALL = [Probe("Say hello.", r"\S")]


# Deploys a config and waits until it is healthy; is told meanwhile how far it is.
RunApp = Callable[[AppConfig, Callable[[str], None], float], None]


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
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError, re.error):
        raise ConfigError(f"{place} needs a 'prompt' and a regular expression 'matches'") from None
    return Probe(prompt, matches)


def changed_tiers(old: AppConfig, new: AppConfig) -> list[TierName]:
    """The tiers whose answers may differ; all where only what stands around them does."""
    tiers = [name for name in old.tiers if old.tiers[name] != new.tiers[name]]
    return tiers or list(new.tiers)


def deadline_s(old: AppConfig, new: AppConfig) -> float:
    """How long a change may take, seconds: the starts of new replicas, one after the other, and the
    last answers of those that leave.

    Of a change that restarts nothing, too: Serve calls a deployment updating until its last replica
    has gone, also one that the autoscaler let go just before.
    """
    restarted = restarted_tiers(old, new)
    total_s = LIVE_CHANGE_S
    for name, tier in new.tiers.items():
        more = tier.scaling.min_replicas - old.tiers[name].scaling.min_replicas
        starts = tier.scaling.max_replicas if name in restarted else max(more, 0)
        prior_s = Parameters.from_kwargs(tier.scaling.policy_kwargs).startup_prior_s
        total_s += starts * PATIENCE * prior_s
        total_s += tier.scaling.max_replicas * old.drain_timeout_s(name) * (name in restarted)
    return total_s + (0.0 if restarted else max(map(old.drain_timeout_s, old.tiers)))


def failed_probes(
    at: Endpoint, config: AppConfig, tiers: list[TierName], probes: list[Probe]
) -> list[str]:
    """One line for each probe that a tier of the new config did not answer as it should."""
    complaints = []
    with at.client(PROBE_TIMEOUT_S) as client:
        for tier in tiers:
            for number, probe in enumerate(probes, start=1):
                if fault := _fault(client, tier, config, probe):
                    complaints.append(f"{tier}, probe {number}: {fault}")
    return complaints


def _fault(client: httpx.Client, tier: TierName, config: AppConfig, probe: Probe) -> str | None:
    """What is wrong with a tier's answer to a probe; None where nothing is."""
    body: dict[str, Any] = {
        "model": tier,
        "messages": [{"role": "user", "content": probe.prompt}],
        "temperature": 0,
        "max_tokens": PROBE_TOKENS,
    }
    try:
        answer = client.post("/v1/chat/completions", json=body, headers=TELL_ALL)
    except httpx.HTTPError as error:
        return type(error).__name__
    if answer.status_code != httpx.codes.OK:
        return f"HTTP {answer.status_code}"
    served = {what: answer.headers.get(f"x-smallfirst-{what}") for what in WHO_ANSWERED}
    if served["tier"] != tier:
        return "another tier answered"
    if served["model"] != config.tiers[tier].model:
        return f"{served['model']} answered, not {config.tiers[tier].model}"
    if served["release"] != release_of(tier, config.tiers[tier]):
        return "a replica of another release answered"
    return None if re.search(probe.matches, _text(answer)) else "the answer does not match"


def _text(answer: httpx.Response) -> str:
    """The answer's text; empty where it has none."""
    try:
        content = answer.json()["choices"][0]["message"]["content"]
    except (ValueError, LookupError, TypeError):
        return ""
    return content if isinstance(content, str) else ""


def find_run(runs: list[Run], at: Endpoint | None) -> Run:
    """The one run, or the one whose endpoint is at `at`: by its mark, not by its address.

    Raises: `ConfigError` where there is none, several, or another server answers there.
    """
    if not runs:
        raise ConfigError("no cluster of yours runs here; start one, or give its --temp-dir")
    if at is None:
        if len(runs) > 1:
            urls = " and ".join(run.url for run in runs)
            raise ConfigError(f"{len(runs)} endpoints run here: choose {urls} with --url")
        return runs[0]
    mark = _mark(at)
    for run in runs:
        if run.mark == mark:
            return run
    raise ConfigError(f"{at.url} is not a cluster of yours that runs here")


def _mark(at: Endpoint) -> str | None:
    """What the endpoint says whose it is."""
    try:
        with at.client(PROBE_TIMEOUT_S) as client:
            mark = client.get("/readyz").json()["cluster"]
    except httpx.HTTPError as error:
        raise ConfigError(unreachable(at.url, error)) from None
    except (ValueError, LookupError, TypeError):
        raise ConfigError(f"{at.url} is not a smallfirst endpoint") from None
    return mark if isinstance(mark, str) else None


def check_key(at: Endpoint) -> None:
    """Find out before a rollout what its probes would after it, minutes later.

    Raises: `ConfigError` where the endpoint refuses the key. One that does not answer at all may be
    what the rollout is to mend.
    """
    try:
        with at.client(PROBE_TIMEOUT_S) as client:
            status = client.get("/v1/models").status_code
    except httpx.HTTPError:
        return
    if status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        raise ConfigError(
            f"{at.url} refuses the key (HTTP {status}): name one that it knows, see --key-file; "
            "nothing was changed"
        )


class Joined(NamedTuple):
    """A running cluster: what deploys an application there, and Ray's resources nobody holds."""

    run_app: RunApp
    free: Mapping[str, float]


@contextmanager
def joined_cluster(run: Run, logs: Path) -> Iterator[Joined]:
    """This process as a client of a running cluster.

    Raises: `ConfigError` where it does not answer.
    """
    # Ray 2.60 guards a local cluster with a token, but a client that names the address does not
    # send it unless it is told so before Ray is imported: nothing above may import it.
    set_defaults({**RAY_ENVIRONMENT, "RAY_AUTH_MODE": "token"})
    import ray

    from deployments.commands.local_cluster import run_app

    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    try:
        ray.init(address=run.address, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, RuntimeError, ValueError):
        raise ConfigError(f"the cluster of {run.url} does not answer at {run.address}") from None
    try:
        yield Joined(
            lambda config, on_state, within_s: run_app(config, on_state, logs, within_s),
            ray.available_resources(),
        )
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
        try:
            run(old)
        except ConfigError as error:
            complaints.append(f"and the old config is not back: {error}")
        raise RolledBack("; ".join(complaints))
