"""Records that wait for the owner: on disk when late, and adopted from a gateway that died."""

import asyncio
from pathlib import Path

import pytest

from deployments.accounting import waiting_records
from deployments.accounting.waiting_records import WaitingFile, WaitingRecords, waiting_file
from tests.accounts import record


@pytest.fixture(autouse=True)
def old_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting_records, "YOUNG_S", 0.0)


def lines(folder: Path) -> int:
    return sum(len(file.read_bytes().splitlines()) for file in folder.glob("*.jsonl"))


def files(folder: Path) -> list[str]:
    return [file.name for file in folder.glob("*")]


def gateway(folder: Path, name: str) -> tuple[WaitingRecords, WaitingFile]:
    file = WaitingFile(folder, name)
    return WaitingRecords(lambda count: pytest.fail(f"{count} lost"), file), file


def die(file: WaitingFile) -> None:
    """As SIGKILL leaves it: the lock is free, the file is there."""
    file.close(left=True)


async def test_what_is_confirmed_in_time_never_reaches_the_disk(tmp_path: Path) -> None:
    records, _ = gateway(tmp_path, "a")
    for number in range(5):
        records.add(record(f"r{number}"))
        await records.keep_late()
        records.took(1, "owner", stored=True)
    await records.keep_late()
    assert lines(tmp_path) == 0


async def test_late_records_are_written_once_and_cleared_when_they_are_booked(
    tmp_path: Path,
) -> None:
    records, _ = gateway(tmp_path, "a")
    records.add(record("r1"))
    await records.keep_late()
    records.add(record("r2"))
    for _ in range(3):
        await records.keep_late()
    assert lines(tmp_path) == 2
    records.took(1, "owner", stored=True)
    await records.keep_late()
    assert lines(tmp_path) == 2
    records.took(1, "owner", stored=True)
    await records.keep_late()
    assert lines(tmp_path) == 0
    records.add(record("r3"))
    await records.keep_late()
    await records.keep_late()
    assert lines(tmp_path) == 1


async def test_another_gateway_takes_over_what_a_dead_one_left(tmp_path: Path) -> None:
    dying, file = gateway(tmp_path, "dying")
    for number in range(3):
        dying.add(record(f"r{number}", cost_nano_usd=number))
    await dying.keep_late()
    await dying.keep_late()
    other, other_file = gateway(tmp_path, "other")
    await other.adopt()
    assert other.first() == []
    die(file)
    await other.adopt()
    assert [one.record_id for one in other.first()] == ["r0", "r1", "r2"]
    # If the other dies too before anybody has confirmed them, they are still there.
    die(other_file)
    third, _ = gateway(tmp_path, "third")
    await third.adopt()
    assert [one.cost_nano_usd for one in third.first()] == [0, 1, 2]
    assert files(tmp_path) == ["third.jsonl"]
    third.took(3, "owner", stored=True)
    await third.keep_late()
    assert lines(tmp_path) == 0


async def test_a_torn_line_and_one_of_another_release_are_passed_over(tmp_path: Path) -> None:
    dying, file = gateway(tmp_path, "dying")
    dying.add(record("whole"))
    await dying.keep_late()
    await dying.keep_late()
    with (tmp_path / "dying.jsonl").open("ab") as end:
        end.write(b'{"of": "another release"}\n{"record_id": "to')
    die(file)
    other, _ = gateway(tmp_path, "other")
    await other.adopt()
    assert [one.record_id for one in other.first()] == ["whole"]


async def test_a_gateway_that_ends_in_peace_leaves_what_nobody_confirmed(tmp_path: Path) -> None:
    records, _ = gateway(tmp_path, "a")
    records.add(record("r1"))
    await records.close()
    assert lines(tmp_path) == 1
    other, _ = gateway(tmp_path, "b")
    await other.close()
    assert files(tmp_path) == ["a.jsonl"]


async def test_without_a_folder_what_nobody_confirmed_is_counted_as_lost(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert waiting_file(None, "a") is None
    assert waiting_file(tmp_path / "file" / "below", "a") is None
    lost = list[int]()
    records = WaitingRecords(lost.append)
    records.add(record("r1"))
    await records.keep_late()
    await records.adopt()
    await records.close()
    assert lost == [1]


async def test_a_full_disk_loses_nothing_while_the_gateway_lives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    records, file = gateway(tmp_path, "a")

    def full(_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(file, "keep", full)
    records.add(record("r1"))
    for _ in range(3):
        await records.keep_late()
    assert caplog.text.count("No space left") == 1
    assert len(records.first()) == 1


async def test_a_dead_gateways_file_is_looked_for_while_another_lives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting_records, "LATE_S", 0.01)
    monkeypatch.setattr(waiting_records, "LOOK_EVERY_S", 0.02)
    living, _ = gateway(tmp_path, "living")
    found = asyncio.Event()
    monkeypatch.setattr(living, "add", lambda _: found.set())
    loop = asyncio.create_task(living.keep_on())
    dying, file = gateway(tmp_path, "dying")
    dying.add(record("r1"))
    await dying.keep_late()
    await dying.keep_late()
    die(file)
    await asyncio.wait_for(found.wait(), 5)
    loop.cancel()


async def test_a_file_that_has_just_been_made_is_not_taken_for_a_dead_gateways(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting_records, "YOUNG_S", 60.0)
    records, _ = gateway(tmp_path, "a")
    # Between its making and its lock.
    (tmp_path / "b.jsonl").touch()
    await records.adopt()
    assert sorted(files(tmp_path)) == ["a.jsonl", "b.jsonl"]


async def test_what_an_owner_had_in_its_memory_alone_is_told_to_the_next(tmp_path: Path) -> None:
    records, _ = gateway(tmp_path, "a")
    for number in range(3):
        records.add(record(f"r{number}"))
    records.took(2, "first", stored=False)
    assert [one.record_id for one in records.first()] == ["r2"]
    # It dies before its store is back; the next one may have taken r2 only.
    records.took(1, "second", stored=True)
    assert [one.record_id for one in records.first()] == ["r0", "r1", "r2"]
    records.took(3, "second", stored=True)
    assert len(records) == 0


async def test_all_that_an_owner_took_is_over_once_its_store_is_back(tmp_path: Path) -> None:
    records, _ = gateway(tmp_path, "a")
    for number in range(3):
        records.add(record(f"r{number}"))
    records.took(2, "owner", stored=False)
    records.took(1, "owner", stored=True)
    assert len(records) == 0


async def test_what_an_owner_has_makes_room_before_anything_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting_records, "MOST", 2)
    lost = list[int]()
    records = WaitingRecords(lost.append)
    for name in ("r0", "r1"):
        records.add(record(name))
    records.took(1, "owner", stored=False)
    records.add(record("r2"))
    assert (lost, [one.record_id for one in records.first()]) == ([], ["r1", "r2"])
    records.add(record("r3"))
    assert lost == [1]


async def test_a_dead_gateways_records_are_read_once_though_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dying, file = gateway(tmp_path, "dying")
    dying.add(record("r1"))
    await dying.keep_late()
    await dying.keep_late()
    die(file)
    living, living_file = gateway(tmp_path, "living")

    def full(_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(living_file, "keep", full)
    for _ in range(3):
        await living.adopt()
    assert [one.record_id for one in living.first()] == ["r1"]
    assert "dying.jsonl" in files(tmp_path)
