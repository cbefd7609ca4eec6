"""Turns at making pages."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from reweight.ui.turns import Turns


def test_a_newcomer_does_not_wait_for_all_that_another_address_has_asked_for():
    async def run() -> list[str]:
        turns, done = Turns(4), []

        async def work(address: str) -> None:
            async with turns.of(address):
                for _ in range(3):
                    await asyncio.sleep(0)
                done.append(address)

        tasks = [asyncio.create_task(work("many")) for _ in range(100)]
        await asyncio.sleep(0)
        await asyncio.gather(work("new"), *tasks)
        assert not turns._own, "an address is forgotten with its last turn"
        return done

    with ThreadPoolExecutor(1) as thread:
        done = thread.submit(asyncio.run, run()).result()
    assert done.index("new") < 6 and len(done) == 101
