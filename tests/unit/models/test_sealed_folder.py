"""A sealed folder is complete or absent, and every change in it is seen."""

import os
from pathlib import Path

import pytest

from models.sealed_folder import MANIFEST, is_intact, remove_leftovers, seal, written_aside


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    with written_aside(folder) as aside:
        (aside / "part").mkdir()
        (aside / "part" / "weights").write_bytes(b"0123456789")
        (aside / "config").write_text("{}")
        seal(aside, {"version": 1})
    return folder


def test_a_sealed_folder_is_intact(sealed: Path) -> None:
    assert is_intact(sealed)


def test_a_copy_with_other_times_is_still_intact(sealed: Path) -> None:
    os.utime(sealed / "config", ns=(1, 1))
    assert is_intact(sealed)


@pytest.mark.parametrize("damage", ["truncate", "flip", "delete", "manifest", "not json", "list"])
def test_damage_is_seen(sealed: Path, damage: str) -> None:
    weights = sealed / "part" / "weights"
    match damage:
        case "truncate":
            weights.write_bytes(b"01234")
        case "flip":
            weights.write_bytes(b"012345678X")
        case "delete":
            weights.unlink()
        case "manifest":
            (sealed / MANIFEST).unlink()
        case "not json":
            (sealed / MANIFEST).write_text('{"files": {')
        case "list":
            (sealed / MANIFEST).write_text("[]")
    assert not is_intact(sealed)


def test_a_changed_size_is_seen_even_with_the_old_time(sealed: Path) -> None:
    weights = sealed / "part" / "weights"
    times = weights.stat()
    weights.write_bytes(b"01234")
    os.utime(weights, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert not is_intact(sealed)


def test_an_error_while_writing_leaves_the_old_folder_and_no_rest(sealed: Path) -> None:
    with pytest.raises(KeyboardInterrupt), written_aside(sealed) as aside:
        (aside / "half").write_text("x")
        raise KeyboardInterrupt
    assert is_intact(sealed)
    assert [path.name for path in sealed.parent.iterdir()] == ["model"]


def test_a_new_folder_takes_the_place_of_the_old_one(sealed: Path) -> None:
    with written_aside(sealed) as aside:
        (aside / "new").write_text("x")
    assert [path.name for path in sealed.iterdir()] == ["new"]
    assert [path.name for path in sealed.parent.iterdir()] == ["model"]


def test_leftovers_of_a_killed_writer_are_removed(sealed: Path) -> None:
    (sealed.parent / ".model.abc.partial").mkdir()
    (sealed.parent / ".other.abc.partial").mkdir()
    remove_leftovers(sealed)
    names = sorted(path.name for path in sealed.parent.iterdir())
    assert names == [".other.abc.partial", "model"]
