"""Streams that wait together are woken together."""

import asyncio

from deployments.replicas.beat import Beat


async def test_who_waits_is_woken_in_one_turn_of_the_loop() -> None:
    beat, loop = Beat(), asyncio.get_running_loop()
    turns: list[int] = []
    turn = 0

    async def stream(begins_later: int) -> None:
        for _ in range(begins_later):
            await asyncio.sleep(0)
        for _ in range(3):
            await beat.wait(0.2)
            turns.append(turn)

    def count() -> None:
        nonlocal turn
        turn += 1
        loop.call_soon(count)

    count()
    await beat.wait(0.2)
    await asyncio.gather(*(stream(later) for later in range(4)))
    # Twelve wakes, three moments.
    assert sorted(turns) == turns and len(set(turns)) == 3


async def test_a_waiter_that_leaves_takes_the_beat_from_nobody() -> None:
    beat = Beat()
    leaving, staying = (asyncio.create_task(beat.wait(0.02)) for _ in range(2))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.wait_for(staying, 5)


async def test_beats_that_are_late_are_not_made_up_for() -> None:
    beat, loop = Beat(), asyncio.get_running_loop()
    await beat.wait(0.01)
    await asyncio.sleep(0.05)
    before = loop.time()
    await beat.wait(0.01)
    await beat.wait(0.01)
    assert loop.time() - before >= 0.01
