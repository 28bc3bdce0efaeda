"""The Serve config file as the commands read it; on Kubernetes Serve itself reads the same one."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from deployments.settings.app import AppConfig, parse_app_config
from deployments.settings.config_mistake import ConfigError, first_mistake, unreadable
from deployments.settings.group import Strict
from deployments.settings.yaml_file import read_yaml

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
# Of these `smallfirst serve` does what one value says, the first where the key is left out; every
# other key that is neither here nor handed on must be empty. On one machine EveryNode and HeadOnly
# are the same proxy.
FILE_VALUES: dict[str, tuple[Any, ...]] = {
    "proxy_location": ("EveryNode", "HeadOnly"),
    "target_capacity": (100,),
}
APPLICATION_VALUES: dict[str, tuple[Any, ...]] = {
    "name": ("smallfirst",),
    "import_path": ("deployments.app:build",),
    "route_prefix": ("/",),
}
HANDED_ON = frozenset({"applications", "http_options", "logging_config", "applications.0.args"})


class HttpOptions(Strict):
    """Ray 2.60's `HTTPOptionsSchema`, key for key, listening on this machine only."""

    host: str = Field("127.0.0.1", min_length=1)
    port: int = Field(8000, ge=1, le=65535)
    root_path: str = ""
    request_timeout_s: float | None = Field(None, gt=0)
    keep_alive_timeout_s: int | None = Field(None, gt=0)
    ssl_keyfile: str | None = None
    ssl_certfile: str | None = None
    ssl_keyfile_password: str | None = Field(None, repr=False)
    ssl_ca_certs: str | None = None

    @property
    def url(self) -> str:
        """Where a program on this machine finds the endpoint."""
        everywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}
        host = everywhere.get(self.host, self.host)
        scheme = "https" if self.ssl_certfile else "http"
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{self.port}"

    @model_validator(mode="after")
    def _tls_is_whole(self) -> "HttpOptions":
        if bool(self.ssl_certfile) != bool(self.ssl_keyfile):
            raise ValueError("ssl_certfile and ssl_keyfile belong together: give both")
        if self.ssl_ca_certs and not self.ssl_certfile:
            raise ValueError("ssl_ca_certs needs ssl_certfile and ssl_keyfile")
        for path in (self.ssl_certfile, self.ssl_keyfile, self.ssl_ca_certs):
            if path and (why := unreadable(Path(path))):
                raise ValueError(f"{path}: {why}")
        return self


class ServeFile(BaseModel):
    """A Serve config file: where to listen, what to log, and the one application."""

    model_config = ConfigDict(frozen=True)

    http: HttpOptions
    app: AppConfig
    # Ray's `LoggingConfig` of proxies and controller. The ledger has a line per request.
    logging_config: dict[str, Any] = {"enable_access_log": False}

    @property
    def read_at_start(self) -> dict[str, Any]:
        """What only a new `smallfirst serve` takes over, by its place in the file; no secrets."""
        # A password is of no use without its key, and is written nowhere.
        http = self.http.model_dump(mode="json", exclude={"ssl_keyfile_password"})
        logs = self.model_dump(mode="json", include={"logging_config"})
        return {f"http_options.{key}": value for key, value in http.items()} | logs


def load_serve_file(path: Path) -> ServeFile:
    """What a Serve config file says. Raises: `ConfigError`, one line that names key and mend."""
    document = _document(path)
    try:
        (application,) = document["applications"]
        args = application.get("args") or {}
    except (TypeError, KeyError, ValueError, AttributeError):
        raise ConfigError(f"{path}: applications: must list one application") from None
    try:
        _check_keys("", document, FILE_KEYS, FILE_VALUES)
        _check_keys("applications.0.", application, APPLICATION_KEYS, APPLICATION_VALUES)
        http = HttpOptions.model_validate(document.get("http_options") or {})
    except ValidationError as error:
        raise ConfigError(f"{path}: http_options.{first_mistake(error)}") from None
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    logging_config = document.get("logging_config")
    if not isinstance(logging_config, dict | None):
        raise ConfigError(f"{path}: logging_config: must be a mapping")
    return ServeFile(
        http=http,
        app=parse_app_config(args, str(path)),
        **({"logging_config": logging_config} if logging_config else {}),
    )


def _check_keys(
    where: str, given: dict[str, Any], known: frozenset[str], values: dict[str, tuple[Any, ...]]
) -> None:
    """Refuse a key that Ray does not know, and a setting that `smallfirst serve` cannot keep."""
    for key, value in given.items():
        if key not in known:
            raise ConfigError(f"{where}{key}: unknown key{_belongs(key)}")
        kept = value in (None, False, "", [], {}) or value in values.get(key, ())
        if kept or where + key in HANDED_ON:
            continue
        only = f"can only be {values[key][0]}" if key in values else "cannot be set"
        raise ConfigError(
            f"{where}{key}: {only} under `smallfirst serve`; remove it, or deploy with Serve itself"
        )


def _belongs(key: Any) -> str:
    """Where a misplaced key should stand."""
    if key in AppConfig.model_fields:
        return f"; settings like {key} stand under applications, args"
    return "; remove it or check its spelling"


def _document(path: Path) -> dict[str, Any]:
    try:
        document = read_yaml(path)
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; give one with --config") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    if not isinstance(document, dict):
        raise ConfigError(f"{path}: applications: must list one application")
    return document
