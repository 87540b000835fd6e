"""Driving a plan, or a call in stages: grant its wishes until it returns its result."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from gress_ml.operator import Lookup, Output, Stages, Work
from gress_ml.ports import Float32
from gress_ml.runtime.plan import Call, Fetch, Flow, Result

Answers = Sequence[Float32 | None]  # one per lookup; None: the store is away


async def drive(
    flow: Flow,
    call: Callable[[Call], Output | Awaitable[Output]],
    fetch: Callable[[Sequence[Lookup]], Awaitable[Answers]],
) -> Result:
    """Run a plan's flow to its end. What ``call`` raises goes into the flow, which decides.

    A call that gives its output at once costs no turn of the event loop.
    """
    answer: Any = None
    error: Exception | None = None
    while True:
        try:
            wish = flow.send(answer) if error is None else flow.throw(error)
        except StopIteration as end:
            result: Result = end.value
            return result
        answer, error = None, None
        if isinstance(wish, Fetch):
            answer = await fetch(wish.lookups)
            continue
        try:
            answer = call(wish)
            if not isinstance(answer, Output):
                answer = await answer
        except Exception as raised:  # the plan decides what a failed call means
            error = raised


async def drive_stages(stages: Stages, do: Callable[[Work], Awaitable[Any]]) -> Output:
    """Run a call's stages to their end. What ``do`` raises goes into them."""
    answer: Any = None
    error: Exception | None = None
    try:
        while True:
            work = stages.send(answer) if error is None else stages.throw(error)
            answer, error = None, None
            try:
                answer = await do(work)
            except Exception as raised:  # the operator decides what failed work means
                error = raised
    except StopIteration as end:
        output: Output = end.value
        return output
    finally:
        stages.close()
