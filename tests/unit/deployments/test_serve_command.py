"""What `smallfirst serve` refuses before it starts anything."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from deployments.cli import app

SIMULATED = """\
applications:
- args:
    small: {model: a, engine: {kind: simulated}}
    large: {model: b, engine: {kind: simulated}}
"""


def serve(tmp_path: Path, *options: str, config: str = SIMULATED, **env: str) -> Result:
    file = tmp_path / "serve.yaml"
    file.write_text(config)
    unset = {"SMALLFIRST_API_KEYS": None, "SMALLFIRST_API_KEYS_FILE": None, "SMALLFIRST_AUTH": None}
    return CliRunner(env={**unset, **env}).invoke(app, ["serve", "--config", str(file), *options])


def refused(result: Result) -> str:
    """The one line of a refusal."""
    assert result.exit_code == 2, result.output
    assert result.output.startswith("error: ") and result.output.count("\n") == 1, result.output
    return result.output


@pytest.mark.parametrize("where", ["--host 0.0.0.0", "--host 10.0.0.1", "--host ::"])
def test_nobody_listens_beyond_the_machine_without_keys_by_accident(
    tmp_path: Path, where: str
) -> None:
    assert "say --open" in refused(serve(tmp_path, *where.split()))


def test_the_files_own_host_is_held_to_the_same(tmp_path: Path) -> None:
    config = SIMULATED + "http_options: {host: 0.0.0.0}\n"
    assert "say --open" in refused(serve(tmp_path, config=config))


def test_a_key_file_that_is_missing_is_found_before_the_start(tmp_path: Path) -> None:
    absent = str(tmp_path / "keys")
    assert absent in refused(serve(tmp_path, SMALLFIRST_API_KEYS_FILE=absent))


def test_a_config_that_wants_keys_does_not_start_without(tmp_path: Path) -> None:
    config = SIMULATED + "    gateway: {auth: keys}\n"
    for options in ((), ("--open",)):
        assert "gateway.auth is keys" in refused(serve(tmp_path, *options, config=config))


def test_open_and_keys_contradict_each_other(tmp_path: Path) -> None:
    config = SIMULATED + "    gateway: {auth: open}\n"
    said = refused(serve(tmp_path, config=config, SMALLFIRST_API_KEYS="hunter2"))
    assert "SMALLFIRST_API_KEYS is set" in said and "hunter2" not in said


def asking_with(variable: str) -> str:
    """A config with an upstream whose key is in this variable."""
    upstream = f'{{kind: upstream, base_url: "http://x/v1", model: m, api_key_env: {variable}}}'
    return SIMULATED.replace("{kind: simulated}}", upstream + "}", 1)


@pytest.mark.parametrize("key", ["hun\nter2", "'hunter2'", "MY_KEY=hunter2", " \n"])
def test_a_key_that_no_upstream_gets_is_found_before_the_start(tmp_path: Path, key: str) -> None:
    said = refused(serve(tmp_path, config=asking_with("MY_KEY"), MY_KEY=key))
    assert "MY_KEY" in said and "ter2" not in said


def test_a_key_that_is_not_set_is_missed_before_the_start(tmp_path: Path) -> None:
    assert "OTHER_KEY is not set" in refused(serve(tmp_path, config=asking_with("OTHER_KEY")))


@pytest.mark.parametrize("said", ["sk-hunter2", "$MY_KEY", "'${MY_KEY}'", "''", "env/MY_KEY"])
def test_a_key_in_the_place_of_its_variables_name_is_not_shown(tmp_path: Path, said: str) -> None:
    told = refused(serve(tmp_path, config=asking_with(said)))
    assert "api_key_env: must be the NAME of an environment variable" in told
    assert "hunter2" not in told


def test_a_bundled_model_that_does_not_exist_is_no_other_one(tmp_path: Path) -> None:
    config = SIMULATED.replace("{kind: simulated}", '{kind: vllm, path: "builtin:smal"}', 1)
    assert "small.engine.path" in refused(serve(tmp_path, config=config))


def test_a_cache_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    config = SIMULATED.replace("{kind: simulated}", '{kind: vllm, path: "builtin:small"}', 1)
    file = tmp_path / "file"
    file.write_text("")
    result = serve(tmp_path, config=config, SMALLFIRST_CACHE=str(file))
    _, accounts, progress, said = result.output.splitlines()
    assert accounts.startswith("accounts: ") and "requests are answered" in accounts
    assert result.exit_code == 2 and progress.startswith("[1/3] model")
    assert said.startswith("error: ") and str(file) in said
