"""What leaves is in the audit log first, and no line of it can be changed, moved or lost unseen."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from deployments.app import tier_deployment
from deployments.cli import app
from deployments.egress import audit
from deployments.egress.audit import AuditLog, problems
from deployments.egress.chain import Broken, Link, verified
from deployments.privacy.policy import Policy
from deployments.privacy.releasable import Destination, Releasable
from deployments.protocol.engine import EngineRequest
from deployments.protocol.errors import TierUnavailable
from deployments.protocol.wire import encode_request
from deployments.settings.app import AppConfig
from deployments.settings.config_mistake import ConfigError
from deployments.settings.privacy import PrivacyConfig
from deployments.upstream.engine import UpstreamEngine
from tests.fakes import local_tier
from tests.scripted_upstream import (
    DONE,
    Script,
    answered,
    chat,
    failed,
    refused,
    said,
    scripted,
    sse,
)

OUTSIDE = Destination("https://llm.example.com/v1", in_cluster=False)


def leaving(text: str = "hello") -> Releasable:
    body = {"messages": [{"role": "user", "content": text}]}
    config = PrivacyConfig(default_action="allow", audit_dir="/somewhere")
    return Policy(config).release(EngineRequest("chat", body, "r1"), body, OUTSIDE)


def written(folder: Path, key: bytes | None = None, lines: int = 5) -> Path:
    """A log with so many lines beside its first."""
    log = AuditLog(folder, key)
    for number in range(lines):
        log.write(leaving(f"text {number} of alice@example.com"))
    log.close()
    (path,) = folder.glob("*.jsonl")
    return path


def test_a_line_says_what_left_by_hashes_and_nothing_of_its_text(tmp_path: Path) -> None:
    path = written(tmp_path, lines=1)
    text = path.read_text()
    assert "alice" not in text and "text 0" not in text
    line = json.loads(text.splitlines()[1])
    assert line | {"to": OUTSIDE.url, "why": "allowed", "kinds": {"email": 1}} == line
    assert (line["seq"], line["request_id"], len(line["content"])) == (1, "r1", 64)
    assert list(problems(tmp_path, None)) == []


def lines_after_the_first(folder: Path) -> list[Any]:
    (path,) = folder.glob("*.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()[1:]]


def lines_in(folder: Path) -> int:
    return sum(len(path.read_text().splitlines()) for path in folder.glob("*.jsonl"))


CHAIN_LENGTH = 6


def chain(key: bytes | None) -> list[str]:
    link, lines = Link(), []
    for number in range(CHAIN_LENGTH):
        line, link = link.next({"time_s": number / 7, "why": "allowed"}, key)
        lines.append(line)
    return lines


@settings(max_examples=200, deadline=None)
@given(st.data(), st.sampled_from([None, b"key"]))
def test_any_change_of_a_chain_is_found(data: st.DataObject, key: bytes | None) -> None:
    lines = chain(key)
    assert verified(lines, key).count == CHAIN_LENGTH
    at = st.integers(0, CHAIN_LENGTH - 1)
    how = data.draw(st.sampled_from(["byte", "removed", "swapped", "repeated", "cut"]))
    changed, one = list(lines), data.draw(at)
    if how == "byte":
        place = data.draw(st.integers(0, len(lines[one]) - 1))
        sign = data.draw(st.characters(min_codepoint=32, max_codepoint=126))
        changed[one] = lines[one][:place] + sign + lines[one][place + 1 :]
    elif how == "removed":
        # The end of a chain is held by its head, not by the chain.
        del changed[min(one, CHAIN_LENGTH - 2)]
    elif how == "swapped":
        other = data.draw(at)
        changed[one], changed[other] = changed[other], changed[one]
    elif how == "repeated":
        changed.insert(one, lines[one])
    else:
        changed[one] = lines[one][: data.draw(st.integers(0, len(lines[one]) - 1))]
    if changed == lines:
        return
    with pytest.raises(Broken):
        verified(changed, key)


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        pytest.param(lambda lines: lines[:-1], "1 lines are missing", id="the last line"),
        pytest.param(lambda lines: lines[:1], "5 lines are missing", id="all but the first"),
        pytest.param(lambda lines: [], "has no|missing|cut", id="all of them"),
        pytest.param(lambda lines: lines[:2] + lines[3:], "removed or moved", id="one between"),
        pytest.param(lambda lines: [*lines[:2], "{}", *lines[3:]], "no record", id="another"),
    ],
)
def test_a_log_that_lost_lines_is_named(tmp_path: Path, break_it: Any, said: str) -> None:
    path = written(tmp_path)
    path.write_text("".join(line + "\n" for line in break_it(path.read_text().splitlines())))
    ((name, wrong),) = problems(tmp_path, None)
    assert name == path.name
    assert any(part in wrong for part in said.split("|")), wrong


def test_a_log_that_is_gone_is_missed_by_its_head(tmp_path: Path) -> None:
    path = written(tmp_path)
    path.unlink()
    assert [name for name, _ in problems(tmp_path, None)] == [path.name]


def test_a_chain_that_fits_needs_the_key(tmp_path: Path) -> None:
    path = written(tmp_path, b"right")
    assert list(problems(tmp_path, b"right")) == []
    for other in (None, b"wrong"):
        assert [name for name, _ in problems(tmp_path, other)] == [path.name]


def test_a_file_that_is_full_is_followed_by_one_that_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "MAX_FILE_BYTES", 600)
    log = AuditLog(tmp_path, None)
    for _ in range(6):
        log.write(leaving())
    log.close()
    files = sorted(tmp_path.glob("*.jsonl"))
    assert len(files) >= 3
    assert list(problems(tmp_path, None)) == []
    files[1].unlink()
    files[1].with_suffix(".head").unlink()
    ((name, wrong),) = problems(tmp_path, None)
    assert name == files[2].name and "missing" in wrong


def signed_log(folder: Path, monkeypatch: pytest.MonkeyPatch, key: bytes | None) -> list[Path]:
    """The files of a log of several."""
    monkeypatch.setattr(audit, "MAX_FILE_BYTES", 1500)
    log = AuditLog(folder, key)
    for number in range(14):
        log.write(leaving(f"text {number}"))
    log.close()
    files = sorted(folder.glob("*.jsonl"))
    assert len(files) >= 4
    assert list(problems(folder, key)) == []
    return files


def moved(path: Path, name: str) -> None:
    for end in (".jsonl", ".head"):
        path.with_suffix(end).rename(path.with_name(name + end))


def removed(path: Path) -> None:
    for end in (".jsonl", ".head"):
        path.with_suffix(end).unlink()


def the_first_is_gone(files: list[Path]) -> None:
    removed(files[0])
    for number, path in enumerate(files[1:]):
        moved(path, files[number].stem)


def one_between_is_gone(files: list[Path]) -> None:
    removed(files[1])
    for number, path in enumerate(files[2:]):
        moved(path, f"egress-{'a' * 12}-{number:06}")


def two_are_exchanged(files: list[Path]) -> None:
    name = files[1].stem
    moved(files[1], f"egress-{'b' * 12}-000001")
    moved(files[2], name)


def one_is_another_writers(files: list[Path]) -> None:
    moved(files[0], f"egress-{'c' * 12}-000000")


def a_copy_stands_beside(files: list[Path]) -> None:
    for end in (".jsonl", ".head"):
        source = files[0].with_suffix(end)
        source.with_name(f"{files[0].stem}-copy{end}").write_bytes(source.read_bytes())


def a_note_stands_beside(files: list[Path]) -> None:
    files[0].with_name("egress-notes.jsonl").write_text("{}\n")


def a_number_has_another_form(files: list[Path]) -> None:
    moved(files[-1], files[-1].stem[:-6] + "0" + files[-1].stem[-6:])


def the_tail_is_cut(files: list[Path]) -> None:
    lines = files[-2].read_text().splitlines(keepends=True)[:-1]
    files[-2].write_text("".join(lines))
    said = f"{len(lines):020} {json.loads(lines[-1])['hash']}"
    files[-2].with_suffix(".head").write_text(said + "\n")


def the_tail_is_cut_and_the_seal_is_kept(files: list[Path]) -> None:
    seal = files[-2].with_suffix(".head").read_text().split()[-1]
    the_tail_is_cut(files)
    head = files[-2].with_suffix(".head")
    head.write_text(f"{head.read_text().strip()} {seal}\n")


def the_last_is_cut(files: list[Path]) -> None:
    the_tail_is_cut([*files, files[-1]])


def a_head_says_less(files: list[Path]) -> None:
    first = json.loads(files[0].read_text().splitlines()[0])
    files[0].with_suffix(".head").write_text(f"{1:020} {first['hash']}\n")


def a_head_says_nothing(files: list[Path]) -> None:
    files[0].with_suffix(".head").write_text(f"{0:020} {'0' * 64}\n")


@pytest.mark.parametrize("key", [b"key" * 9, None], ids=["signed", "plain"])
@pytest.mark.parametrize(
    "change",
    [
        the_first_is_gone, one_between_is_gone, two_are_exchanged, one_is_another_writers,
        a_copy_stands_beside, a_note_stands_beside, a_number_has_another_form, the_tail_is_cut,
        the_tail_is_cut_and_the_seal_is_kept, the_last_is_cut, a_head_says_less,
        a_head_says_nothing,
    ],
)  # fmt: skip
def test_a_log_that_somebody_rearranged_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: bytes | None, change: Any
) -> None:
    change(signed_log(tmp_path, monkeypatch, key))
    found = list(problems(tmp_path, key))
    # Who may write an unsigned log can write another that fits.
    assert found or (key is None and change is the_last_is_cut)


@pytest.mark.parametrize(("behind", "whole"), [(0, True), (1, True), (2, False)])
@pytest.mark.parametrize("key", [b"key" * 9, None], ids=["signed", "plain"])
def test_a_process_that_ended_before_it_wrote_the_head_leaves_a_whole_log(
    tmp_path: Path, key: bytes | None, behind: int, whole: bool
) -> None:
    log, heads = AuditLog(tmp_path, key), []
    for number in range(4):
        log.write(leaving(f"text {number}"))
        heads.append(next(tmp_path.glob("*.head")).read_text())
    log.close()
    next(tmp_path.glob("*.head")).write_text(heads[-1 - behind])
    assert (list(problems(tmp_path, key)) == []) == whole


@pytest.mark.parametrize("key", [b"key" * 9, None], ids=["signed", "plain"])
@pytest.mark.parametrize("change", [None, the_first_is_gone, one_between_is_gone])
def test_a_log_of_an_earlier_release_still_verifies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: bytes | None, change: Any
) -> None:
    real = AuditLog._append

    def without_names(self: AuditLog, record: dict[str, Any]) -> None:
        real(self, {name: record[name] for name in record if name not in ("writer", "file")})

    monkeypatch.setattr(AuditLog, "_append", without_names)
    monkeypatch.setattr(Link, "head", lambda self, _: f"{self.count:020} {self.hash}")
    files = signed_log(tmp_path, monkeypatch, key)
    assert "writer" not in json.loads(files[0].read_text().splitlines()[0])
    if change is not None:
        change(files)
    assert (list(problems(tmp_path, key)) == []) == (change is None)


async def test_every_try_is_in_the_log_before_it_leaves(tmp_path: Path) -> None:
    async with scripted(refused(503), sse(said("a"), DONE)) as (engine, script):
        config = engine._config
        own = UpstreamEngine(config, "right", PrivacyConfig(), AuditLog(tmp_path, None))
        await own.start()
        await answered(own, chat())
        _, error = await failed(own, chat(local_only=True))
        await own.stop()
    assert lines_in(tmp_path) == 1 + len(script.bodies) == 3
    assert error.code == "local_only"


@pytest.mark.parametrize("kind", ["upstream", "targets"])
async def test_what_a_tier_is_bound_to_masks_and_records_what_leaves(
    tmp_path: Path, kind: str
) -> None:
    script = Script([sse(said("a"), DONE)])
    async with await asyncio.start_server(script.talk, "127.0.0.1", 0) as server:
        one = {"base_url": f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"}
        one |= {"model": "m"}
        several = {"kind": kind, "targets": [{"name": "first", **one}]}
        policy = {"patterns": {"mrn": r"MRN[- ]?\d{7}"}, "actions": {"mrn": "mask"}}
        config = AppConfig.model_validate(
            {
                "large": {
                    "model": "big",
                    "engine": several if kind == "targets" else {"kind": kind, **one},
                },
                "privacy": {**policy, "audit_dir": str(tmp_path)},
            }
        )
        name, tier, privacy = tier_deployment("large", config)._bound_deployment.init_args
        replica = await local_tier(tier, name, privacy)
        messages = [{"role": "user", "content": "the note of MRN 1234567"}]
        async for _ in replica.generate(encode_request(chat(messages=messages))):
            pass
        await replica.end()
    await asyncio.gather(*script.talks)
    assert len(script.bodies) == 1
    assert "1234567" not in json.dumps(script.bodies)
    (line,) = lines_after_the_first(tmp_path)
    assert (line["why"], line["kinds"]) == ("masked", {"mrn": 1})


async def test_nothing_leaves_that_cannot_be_recorded(tmp_path: Path) -> None:
    async with scripted(sse(said("a"), DONE)) as (engine, script):
        log = AuditLog(tmp_path, None)
        own = UpstreamEngine(engine._config, "right", PrivacyConfig(), log)
        await own.start()
        log.close()
        _, error = await failed(own, chat())
        assert type(error) is TierUnavailable
        assert script.bodies == []


def test_a_disk_that_is_full_costs_no_chain(tmp_path: Path) -> None:
    log = AuditLog(tmp_path, None)

    class Full:
        def __init__(self, file: Any) -> None:
            self.file = file

        def write(self, data: bytes) -> int:
            return int(self.file.write(data[:10]))

        def __getattr__(self, name: str) -> Any:
            return getattr(self.file, name)

    log.write(leaving())
    real, log._file = log._file, Full(log._file)  # type: ignore[assignment]
    with pytest.raises(TierUnavailable):
        log.write(leaving())
    log._file = real
    log.write(leaving())
    log.close()
    assert list(problems(tmp_path, None)) == []


def test_a_folder_that_cannot_be_written_is_named_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigError, match="audit_dir"):
        AuditLog(tmp_path / "file", None)


@pytest.mark.parametrize("as_json", [False, True])
def test_the_command_says_which_file_is_broken_and_how(tmp_path: Path, as_json: bool) -> None:
    path = written(tmp_path)
    args = ["audit", "verify", str(tmp_path), *(["--json"] if as_json else [])]
    whole = CliRunner().invoke(app, args)
    assert whole.exit_code == 0
    assert (json.loads(whole.stdout)["broken"] == []) if as_json else "all whole" in whole.stdout
    path.write_text(path.read_text().replace('"why":"allowed"', '"why":"masked"', 1))
    broken = CliRunner().invoke(app, args)
    assert broken.exit_code == 1
    assert path.name in broken.stdout and "line 2 was changed" in broken.stdout


@pytest.mark.parametrize(
    ("args", "said"),
    [(["/nowhere"], "no such folder"), ([], "holds no audit log"), (["--key-env", "NO"], "NO")],
)
def test_the_command_says_what_it_lacks(tmp_path: Path, args: list[str], said: str) -> None:
    folder = [] if args[:1] == ["/nowhere"] else [str(tmp_path)]
    done = CliRunner().invoke(app, ["audit", "verify", *folder, *args])
    assert done.exit_code == 2
    assert said in done.stderr
