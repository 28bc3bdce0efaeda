"""One engine start at a time per GPU; other GPUs, and the CPU, wait for nobody."""

import asyncio
import os
import stat
import tempfile
from pathlib import Path

import pytest

from deployments.replicas.start_lock import lock_path, start_lock


@pytest.fixture(autouse=True)
def _own_locks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


async def second_waits(first: list[str], second: list[str]) -> bool:
    """Whether a start on `second` waits while one on `first` runs, and gets its turn after it."""
    started = asyncio.Event()

    async def start() -> None:
        async with start_lock(second):
            started.set()

    async with start_lock(first):
        task = asyncio.create_task(start())
        try:
            await asyncio.wait_for(started.wait(), 0.3)
        except TimeoutError:
            waited = True
        else:
            waited = False
    await asyncio.wait_for(task, 10)
    return waited


@pytest.mark.parametrize(
    ("first", "second", "waits"),
    [
        (["0"], ["0"], True),
        (["0", "1"], ["1", "2"], True),
        (["1", "0"], ["0", "1"], True),
        (["GPU-1a"], ["GPU-1a"], True),
        (["0"], ["1"], False),
        ([], [], False),
        (["0"], [], False),
    ],
)
async def test_a_start_waits_for_another_on_its_gpu(
    first: list[str], second: list[str], waits: bool
) -> None:
    assert await second_waits(first, second) is waits


async def test_a_failed_start_frees_the_gpu() -> None:
    with pytest.raises(RuntimeError):
        async with start_lock(["0"]):
            raise RuntimeError
    assert not await second_waits([], ["0"])


async def test_starts_that_span_gpus_in_other_orders_do_not_wait_for_each_other_forever() -> None:
    async def start(gpus: list[str]) -> None:
        for _ in range(5):
            async with start_lock(gpus):
                await asyncio.sleep(0)

    await asyncio.wait_for(asyncio.gather(start(["0", "1"]), start(["1", "0"])), 20)


def test_a_lock_stays_in_its_folder_whatever_the_gpu_is_called(tmp_path: Path) -> None:
    assert lock_path("../../MIG/0").parent == tmp_path
    assert lock_path("a") != lock_path("b")


async def test_a_start_that_hangs_holds_the_others_up_for_a_while_only(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with start_lock(["0"]), start_lock(["0"], limit_s=0.05):
        assert "GPU 0" in caplog.text
    assert not await second_waits([], ["0"])


async def test_every_user_of_the_machine_can_take_the_lock() -> None:
    before = os.umask(0o077)
    try:
        async with start_lock(["0"]):
            assert stat.S_IMODE(lock_path("0").stat().st_mode) == 0o666
    finally:
        os.umask(before)


async def test_a_lock_that_may_not_be_opened_stops_no_start(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise PermissionError("not yours")

    monkeypatch.setattr(os, "open", refuse)
    async with start_lock(["0"]):
        monkeypatch.undo()
        assert "not yours" in caplog.text
