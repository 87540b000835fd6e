from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest

from gress_ml.batch import Batch
from gress_ml.engine.driving import Answers, drive, drive_stages
from gress_ml.operator import Lookup, Output, Stages, Work
from gress_ml.runtime.plan import Call, Flow, Result, Step

BATCH = Batch.of({"x": np.zeros(1)})


def flow(seen: list[object]) -> Flow:
    """Two calls of which the first may fail; both answers, or what was raised, are seen."""
    wish = Call(Step("s", None, "in"), BATCH)  # type: ignore[arg-type]
    for _ in range(2):
        try:
            seen.append((yield wish))
        except ValueError as error:
            seen.append(str(error))
    return Result()


async def no_rows(lookups: Sequence[Lookup]) -> Answers:
    raise AssertionError("nothing is looked up")


async def test_a_call_may_answer_at_once_or_be_awaited() -> None:
    first, second = Output(BATCH), Output(BATCH)
    answers = iter([first, asyncio.sleep(0, second)])
    seen: list[object] = []
    await drive(flow(seen), lambda _: next(answers), no_rows)
    assert seen[0] is first
    assert seen[1] is second


async def test_what_an_awaited_call_raises_goes_into_the_flow() -> None:
    async def fail() -> Output:
        raise ValueError("bad")

    seen: list[object] = []
    await drive(flow(seen), lambda _: fail(), no_rows)
    assert seen == ["bad", "bad"]


async def test_a_call_that_answers_at_once_costs_no_turn_of_the_loop() -> None:
    turns: list[int] = []
    asyncio.get_running_loop().call_soon(turns.append, 1)
    await drive(flow([]), lambda _: Output(BATCH), no_rows)
    assert turns == []


async def test_stages_are_closed_when_they_are_cut_short() -> None:
    closed: list[bool] = []

    def stages() -> Stages:
        try:
            yield lambda: None
        finally:
            closed.append(True)
        return Output(BATCH)

    async def hang(work: Work) -> None:
        await asyncio.Event().wait()

    cut = asyncio.create_task(drive_stages(stages(), hang))
    await asyncio.sleep(0)
    cut.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cut
    assert closed == [True]


async def test_stages_without_work_give_their_output() -> None:
    def stages() -> Stages:
        return Output(BATCH)
        yield

    async def never(work: Work) -> None:
        raise AssertionError("there is no work")

    assert (await drive_stages(stages(), never)).batch is BATCH
