"""The Serve config file as the commands read it; on Kubernetes Serve itself reads the same one."""

from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from deployments.settings.app import AppConfig, parse_app_config
from deployments.settings.config_mistake import ConfigError, first_mistake

# Ray 2.60's own keys. A key that Serve would ignore is a setting that somebody believes in.
FILE_KEYS = frozenset(
    {
        "applications",
        "controller_options",
        "grpc_options",
        "http_options",
        "logging_config",
        "proxy_location",
        "target_capacity",
        "tracing_config",
    }
)
APPLICATION_KEYS = frozenset(
    {
        "args",
        "autoscaling_policy",
        "deployments",
        "external_scaler_enabled",
        "host",
        "import_path",
        "logging_config",
        "name",
        "port",
        "route_prefix",
        "runtime_env",
    }
)


class HttpOptions(BaseModel):
    """What `smallfirst serve` takes of `http_options`; Serve knows more."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    host: str = "127.0.0.1"
    port: int = Field(8000, ge=1, le=65535)
    request_timeout_s: float | None = Field(None, gt=0)


class ServeFile(BaseModel):
    """A Serve config file: where to listen, and the one application."""

    model_config = ConfigDict(frozen=True)

    http: HttpOptions
    app: AppConfig


def load_serve_file(path: Path) -> ServeFile:
    """What a Serve config file says. Raises: `ConfigError`, one line that names key and mend."""
    document = _document(path)
    try:
        (application,) = document["applications"]
        args = application.get("args") or {}
    except (TypeError, KeyError, ValueError, AttributeError):
        raise ConfigError(f"{path}: applications: must list one application") from None
    for where, keys, known in (
        ("", document, FILE_KEYS),
        ("applications.0.", application, APPLICATION_KEYS),
    ):
        for key in keys:
            if key not in known:
                raise ConfigError(f"{path}: {where}{key}: unknown key{_belongs(key)}")
    try:
        http = HttpOptions.model_validate(document.get("http_options") or {})
    except ValidationError as error:
        raise ConfigError(f"{path}: http_options.{first_mistake(error)}") from None
    return ServeFile(http=http, app=parse_app_config(args, str(path)))


def _belongs(key: Any) -> str:
    """Where a misplaced key should stand."""
    if key in AppConfig.model_fields:
        return f"; settings like {key} stand under applications, args"
    return "; remove it or check its spelling"


def _document(path: Path) -> dict[str, Any]:
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; give one with --config") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(document, dict):
        raise ConfigError(f"{path}: applications: must list one application")
    return document
