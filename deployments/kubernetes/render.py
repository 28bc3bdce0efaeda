"""What Serve is told in a cluster: the Serve file of the project, with an overlay's own settings.

An overlay's settings are `app.yaml` over `plan.yaml`, which is what `smallfirst plan` printed with
`--emit serve_config`. Both are the `args` of the application; the Serve file gives everything else.
"""

import textwrap
from pathlib import Path
from typing import Any

import yaml

from autoscale.journal import DEFAULT_PATH
from deployments.settings.app import AppConfig, parse_app_config
from deployments.settings.config_mistake import ConfigError
from deployments.settings.release import plain
from deployments.settings.yaml_file import read_yaml

SERVE_CONFIG = "serve-config.yaml"
HEADER = """\
# Made by `smallfirst k8s render` from {sources}; change those instead.
apiVersion: ray.io/v1
kind: RayService
metadata:
  name: smallfirst
spec:
  serveConfigV2: |
"""


def serve_config_patch(overlay: Path, serve_file: Path) -> str:
    """The text of an overlay's `serve-config.yaml`.

    Raises: `ConfigError` when a file is missing, or its settings are not the application's.
    """
    document = _mapping(serve_file)
    # In a pod the network around it guards the port, not the loopback address.
    document.setdefault("http_options", {})["host"] = "0.0.0.0"
    sources = [overlay / name for name in ("plan.yaml", "app.yaml") if (overlay / name).exists()]
    if not sources:
        raise ConfigError(f"{overlay}: no app.yaml: put the application's settings there")
    args: dict[str, Any] = {}
    for source in sources:
        args = merged(args, _mapping(source))
    config = parse_app_config(args, str(sources[-1]))
    try:
        document["applications"][0]["args"] = with_journal(args, config)
    except (KeyError, IndexError, TypeError):
        raise ConfigError(f"{serve_file}: applications: must list one application") from None
    text = yaml.safe_dump(document, sort_keys=False)
    names = " and ".join(source.name for source in sources)
    return HEADER.format(sources=names) + textwrap.indent(text, " " * 4)


def with_journal(args: dict[str, Any], config: AppConfig) -> dict[str, Any]:
    """The settings, whose tiers journal in the head's home folder unless they say where, or not.

    The controller runs in the head's pod, and a new one reads there what the old one had learnt.
    """
    kept = dict(args)
    for name, tier in config.tiers.items():
        own = args.get(name) or plain(tier.model_dump(include={"model", "engine", "stand_in"}))
        scaling = own.get("scaling", {})
        kwargs = {"journal_path": DEFAULT_PATH} | scaling.get("policy_kwargs", {})
        kept[name] = own | {"scaling": scaling | {"policy_kwargs": kwargs}}
    return kept


def merged(under: Any, over: Any) -> Any:
    """`over` laid on `under`, mapping by mapping.

    >>> merged({"small": {"model": "a", "gpu_share": 0.5}}, {"small": {"model": "b"}})
    {'small': {'model': 'b', 'gpu_share': 0.5}}
    """
    if not isinstance(under, dict) or not isinstance(over, dict):
        return over
    laid = {key: merged(under.get(key), value) for key, value in over.items()}
    return {**under, **laid}


def _mapping(file: Path) -> dict[str, Any]:
    try:
        document = read_yaml(file)
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from None
    if not isinstance(document, dict):
        raise ConfigError(f"{file}: must be a mapping of settings")
    return document
