"""A Serve config file says what is believed of it, or is refused in one line."""

import errno
from pathlib import Path
from typing import Any, NoReturn

import pytest
import yaml

from deployments.commands.serve import check_paths
from deployments.settings.app import AppConfig, parse_app_config
from deployments.settings.config_mistake import ConfigError
from deployments.settings.serve_file import (
    APPLICATION_KEYS,
    FILE_KEYS,
    HttpOptions,
    ServeFile,
    load_serve_file,
)

ROOT = Path(__file__).parents[3]

FILES = {
    "not YAML": ("a: [1", "not valid YAML"),
    "not text": (b"\xff\xfe\x00", "not valid YAML"),
    "empty": ("", "must list one application"),
    "a list": ("- 1", "must list one application"),
    "no application": ("applications: []", "must list one application"),
    "an application that is a word": ("applications: [smallfirst]", "must list one application"),
    "two applications": ("applications: [{args: {}}, {args: {}}]", "must list one application"),
    "a tier beside the applications": (
        "applications: [{args: {}}]\nlarge: {model: big}",
        "large: unknown key; settings like large stand under applications, args",
    ),
    "args misspelt": ("applications: [{agrs: {}}]", "applications.0.agrs: unknown key"),
    "a port that is none": (
        "applications: [{args: {}}]\nhttp_options: {port: 99999}",
        "http_options.port",
    ),
    "a port that is a switch": (
        "applications: [{args: {}}]\nhttp_options: {port: yes}",
        "http_options.port must not be true or false",
    ),
    "half of TLS": (
        "applications: [{args: {}}]\nhttp_options: {ssl_certfile: /dev/null}",
        "http_options.ssl_certfile and ssl_keyfile belong together",
    ),
    "a certificate that is not there": (
        "applications: [{}]\nhttp_options: {ssl_certfile: /no/c.pem, ssl_keyfile: /no/k.pem}",
        "http_options./no/c.pem: no such file",
    ),
    "a certificate in a place that cannot be": (
        f"applications: [{{}}]\nhttp_options: {{ssl_certfile: {'c' * 300}, ssl_keyfile: /k.pem}}",
        "c: file name too long",
    ),
    "a misspelt option": (
        "applications: [{args: {}}]\nhttp_options: {prot: 1}",
        "http_options.prot: unknown key",
    ),
    "a logging config that is a word": (
        "applications: [{args: {}}]\nlogging_config: debug",
        "logging_config: must be a mapping",
    ),
    "a tier twice": (
        "applications:\n- args:\n    large: {model: a}\n    gpus: 1\n    large: {model: b}",
        "line 5: large stands there twice",
    ),
    "a setting twice": ("applications: [{args: {gpus: 1, 'gpus': 2}}]", "gpus stands there twice"),
    "a date that is none": ("applications: [{args: {small: 2024-02-30}}]", "not valid YAML: day"),
    "a number that is none": ("applications: [{args: {gpus: 0b_}}]", "not valid YAML: invalid"),
    "a tag that does not fit": ("applications: !!timestamp soon", "not valid YAML"),
    "lists without an end": ("[" * 5000, "not valid YAML: maximum recursion"),
    "an unknown key": ("applications: [{args: {gpu: 1}}]", "gpu: unknown key"),
}


@pytest.mark.parametrize(("content", "says"), FILES.values(), ids=FILES)
def test_a_broken_file_is_one_line_with_its_name(
    tmp_path: Path, content: str | bytes, says: str
) -> None:
    path = tmp_path / "serve.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigError) as caught:
        load_serve_file(path)
    assert says in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("denied", ["stat", "open"])
def test_what_only_root_may_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, denied: str
) -> None:
    (tmp_path / "config.json").write_text("{}")
    engine = {"kind": "vllm", "path": str(tmp_path)}
    config = parse_app_config({"small": {"model": "m", "engine": engine}}, "file")

    def refuse(*_args: Any, **_more: Any) -> NoReturn:
        raise PermissionError(errno.EACCES, "Permission denied")

    with monkeypatch.context() as closed:
        closed.setattr(Path, denied, refuse)
        with pytest.raises(ConfigError, match=r"^small\.engine\.path: .* \(permission denied\)"):
            check_paths(config)
        with pytest.raises(ValueError, match=r"config\.json: permission denied"):
            pem = str(tmp_path / "config.json")
            HttpOptions(ssl_certfile=pem, ssl_keyfile=pem)


def test_a_missing_file_says_how_to_name_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file; give one with --config"):
        load_serve_file(tmp_path / "absent.yaml")


def test_a_folder_is_no_config_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_serve_file(tmp_path)


def test_an_application_without_args_has_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "serve.yaml"
    path.write_text("applications: [{name: smallfirst}]")
    assert load_serve_file(path).app == AppConfig()


def test_the_deployed_file_says_what_the_defaults_say() -> None:
    deployed = yaml.safe_load((ROOT / "serve_config.yaml").read_text())
    assert load_serve_file(ROOT / "serve_config.yaml").app == AppConfig()
    assert deployed["http_options"]["request_timeout_s"] > AppConfig().gateway.max_request_s


def test_the_deployed_file_says_where_to_listen() -> None:
    http = load_serve_file(ROOT / "serve_config.yaml").http
    assert http == HttpOptions(host="127.0.0.1", port=8000, request_timeout_s=630)


def written(tmp_path: Path, document: dict[str, Any]) -> ServeFile:
    path = tmp_path / "serve.yaml"
    path.write_text(yaml.safe_dump(document))
    return load_serve_file(path)


# Each says something that `smallfirst serve` would not do.
FILE_WISHES = {
    "proxy_location": "Disabled",
    "grpc_options": {"port": 9000},
    "target_capacity": 50,
    "tracing_config": {"enabled": True},
    "controller_options": {"runtime_env": {"env_vars": {"A": "b"}}},
}
APPLICATION_WISHES = {
    "name": "mine",
    "import_path": "elsewhere:build",
    "route_prefix": "/llm",
    "runtime_env": {"pip": ["x"]},
    "host": "1.2.3.4",
    "port": 9000,
    "deployments": [{"name": "Gateway", "num_replicas": 3}],
    "logging_config": {"log_level": "DEBUG"},
    "autoscaling_policy": {"policy_function": "a:b"},
    "external_scaler_enabled": True,
}


@pytest.mark.parametrize("key", FILE_WISHES)
def test_a_setting_that_serve_would_drop_is_refused_by_name(tmp_path: Path, key: str) -> None:
    with pytest.raises(ConfigError, match=rf"yaml: {key}: can.* `smallfirst serve`; remove it"):
        written(tmp_path, {"applications": [{"args": {}}], key: FILE_WISHES[key]})


@pytest.mark.parametrize("key", APPLICATION_WISHES)
def test_so_is_one_of_the_application(tmp_path: Path, key: str) -> None:
    with pytest.raises(ConfigError, match=rf"applications.0.{key}: can"):
        written(tmp_path, {"applications": [{"args": {}, key: APPLICATION_WISHES[key]}]})


def test_every_key_of_rays_is_kept_or_refused() -> None:
    # A key that the next Ray brings has to be decided on.
    assert FILE_WISHES.keys() | {"applications", "http_options", "logging_config"} == FILE_KEYS
    assert APPLICATION_WISHES.keys() | {"args"} == APPLICATION_KEYS


@pytest.mark.parametrize("empty", [None, {}, [], ""])
def test_an_empty_setting_says_nothing(tmp_path: Path, empty: Any) -> None:
    keys = FILE_WISHES.keys() - {"target_capacity", "proxy_location"}
    file = written(tmp_path, {"applications": [{"args": {}}], **dict.fromkeys(keys, empty)})
    assert file.app == AppConfig()


def test_http_options_are_rays_all_of_them(tmp_path: Path) -> None:
    from ray.serve.config import HTTPOptions
    from ray.serve.schema import HTTPOptionsSchema

    assert HttpOptions.model_fields.keys() == HTTPOptionsSchema.model_fields.keys()
    pem = tmp_path / "pem"
    pem.touch()
    given = {
        "host": "::",
        "port": 8443,
        "root_path": "/llm",
        "request_timeout_s": 5.0,
        "keep_alive_timeout_s": 9,
        "ssl_keyfile": str(pem),
        "ssl_certfile": str(pem),
        "ssl_keyfile_password": "secret",
        "ssl_ca_certs": str(pem),
    }
    http = written(tmp_path, {"applications": [{"args": {}}], "http_options": given}).http
    handed_on = HTTPOptions(**http.model_dump(exclude_none=True))
    assert {key: getattr(handed_on, key) for key in given} == given
    assert "secret" not in repr(http)


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000"),
        ("0.0.0.0", "http://127.0.0.1:8000"),
        ("::", "http://[::1]:8000"),
        ("fd00::1", "http://[fd00::1]:8000"),
        ("node-1", "http://node-1:8000"),
    ],
)
def test_the_url_is_one_that_a_client_here_can_use(host: str, url: str) -> None:
    assert HttpOptions(host=host).url == url


def test_a_key_may_stand_in_what_is_merged_in_as_well(tmp_path: Path) -> None:
    file = tmp_path / "merged.yaml"
    file.write_text(
        "applications:\n- args:\n"
        "    small: &one {model: a, num_cpus: 1, engine: {kind: simulated}}\n"
        "    large: {<<: *one, model: b}\n"
    )
    tiers = load_serve_file(file).app.tiers
    assert [(tier.model, tier.num_cpus) for tier in tiers.values()] == [("a", 1), ("b", 1)]


def test_what_is_logged_is_handed_on(tmp_path: Path) -> None:
    said = {"log_level": "DEBUG", "enable_access_log": True}
    document = {"applications": [{"args": {}}], "logging_config": said}
    assert written(tmp_path, document).logging_config == said
    # The ledger has a line per request.
    without = written(tmp_path, {"applications": [{"args": {}}]})
    assert without.logging_config == {"enable_access_log": False}


def test_the_known_keys_are_rays() -> None:
    from ray.serve.schema import ServeApplicationSchema, ServeDeploySchema

    assert set(ServeDeploySchema.model_fields) == FILE_KEYS
    assert set(ServeApplicationSchema.model_fields) == APPLICATION_KEYS
