"""A Serve config file says what is believed of it, or is refused in one line."""

from pathlib import Path

import pytest
import yaml

from deployments.settings.app import AppConfig
from deployments.settings.config_mistake import ConfigError
from deployments.settings.serve_file import (
    APPLICATION_KEYS,
    FILE_KEYS,
    HttpOptions,
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


def test_the_known_keys_are_rays() -> None:
    from ray.serve.schema import ServeApplicationSchema, ServeDeploySchema

    assert set(ServeDeploySchema.model_fields) == FILE_KEYS
    assert set(ServeApplicationSchema.model_fields) == APPLICATION_KEYS
