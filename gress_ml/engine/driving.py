"""Driving a plan: grant its wishes until it returns its Result."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from gress_ml.operator import Lookup, Output
from gress_ml.ports import Float32
from gress_ml.runtime.plan import Call, Fetch, Flow, Result

Answers = Sequence[Float32 | None]  # one per lookup; None: the store is away


async def drive(
    flow: Flow,
    call: Callable[[Call], Output],
    fetch: Callable[[Sequence[Lookup]], Awaitable[Answers]],
) -> Result:
    """Run a plan's flow to its end. What ``call`` raises goes into the flow, which decides."""
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
        except Exception as raised:  # the plan decides what a failed call means
            error = raised
