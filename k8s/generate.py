"""Writes each overlay's `serve-config.yaml`: the Serve config of `serve_config.yaml`, with the
overlay's own application settings, checked by the application's own config model.

    python -m k8s.generate           write
    python -m k8s.generate --check   fail where a file is not what would be written
"""

import sys
import textwrap
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from deployments.settings.app import parse_app_config
from deployments.settings.config_mistake import ConfigError

ROOT = Path(__file__).parents[1]
OVERLAYS = ROOT / "k8s" / "overlays"
HEADER = """\
# Made by `python -m k8s.generate`; change {source} instead.
apiVersion: ray.io/v1
kind: RayService
metadata:
  name: smallfirst
spec:
  serveConfigV2: |
"""


def patch(overlay: str) -> str:
    """The text of an overlay's `serve-config.yaml`.

    Raises: `ConfigError` when its settings are not the application's.
    """
    document: dict[str, Any] = yaml.safe_load((ROOT / "serve_config.yaml").read_text())
    # In a pod the network around it guards the port, not the loopback address.
    document["http_options"]["host"] = "0.0.0.0"
    own = OVERLAYS / overlay / "app.yaml"
    source = own.relative_to(ROOT) if own.exists() else "serve_config.yaml"
    if own.exists():
        document["applications"][0]["args"] = yaml.safe_load(own.read_text())
    else:
        # The bundled models have no secrets; a pod's address is not loopback, so it must be said.
        document["applications"][0]["args"]["gateway"] = {"auth": "open"}
    parse_app_config(document["applications"][0]["args"], str(source))
    text = yaml.safe_dump(document, sort_keys=False)
    return HEADER.format(source=source) + textwrap.indent(text, " " * 4)


def main(
    check: Annotated[bool, typer.Option(help="Compare instead of writing.")] = False,
) -> None:
    """Write, or check, the Serve config of every overlay."""
    stale = []
    for folder in sorted(OVERLAYS.iterdir()):
        file = folder / "serve-config.yaml"
        try:
            text = patch(folder.name)
        except ConfigError as error:
            sys.exit(f"error: {error}")
        if check and not (file.exists() and file.read_text() == text):
            stale.append(str(file.relative_to(ROOT)))
        elif not check:
            file.write_text(text)
    if stale:
        sys.exit(f"error: {', '.join(stale)} is stale; run python -m k8s.generate")


if __name__ == "__main__":
    typer.run(main)
