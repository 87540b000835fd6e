"""Patience runs out in turns of the event loop, and tells whoever waits then."""

from __future__ import annotations

import asyncio

from gress_ml.adapters.patience import Patience


async def _turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_who_waits_is_told_once() -> None:
    told: list[int] = []
    Patience(0.0).tell(lambda: told.append(1))
    await _turns(100)
    assert told == [1]


async def test_an_answer_of_the_next_turns_is_sooner_than_no_time_at_all() -> None:
    """However long the turns take: so many of them there are."""
    told: list[str] = []
    Patience(0.0).tell(lambda: told.append("late"))
    await _turns(5)
    told.append("answer")
    await _turns(100)
    assert told == ["answer", "late"]


async def test_who_waits_after_it_has_run_out_is_told_as_well() -> None:
    told: list[str] = []
    patience = Patience(0.0)
    patience.tell(lambda: told.append("connection"))
    await _turns(100)
    patience.tell(lambda: told.append("answer"))
    await _turns(2)
    assert told == ["connection", "answer"]


async def test_nobody_is_told_once_it_has_ended() -> None:
    told: list[int] = []
    patience = Patience(0.0)
    patience.tell(lambda: told.append(1))
    patience.end()
    await _turns(100)
    assert not told
