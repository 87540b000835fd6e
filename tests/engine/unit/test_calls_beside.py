"""Calls whose work is done in a thread while the event loop goes on."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import numpy as np
import pytest

from gress_ml.adapters.clock import ManualClock
from gress_ml.adapters.prometheus import PrometheusMetrics
from gress_ml.batch import Batch
from gress_ml.engine.calls import Calls
from gress_ml.engine.pace import TRUSTED_CALLS
from gress_ml.metrics import ACTIVE_PREDICTIONS, STEP_TIME
from gress_ml.operator import Operator, OperatorConfig, Output, Stages, in_one_go
from gress_ml.runtime.plan import Call, Step
from gress_ml.schema import Columns

BATCH = Batch.of({"x": np.zeros(300)})


class Asking(Operator[OperatorConfig]):
    """Asks a model twice, and says in which threads its parts ran."""

    name = "asking"
    Config = OperatorConfig

    def __init__(
        self, model: Callable[[], object] = lambda: None, *, deadline_s: float | None = None
    ) -> None:
        super().__init__(OperatorConfig())
        self._model, self._deadline_s = model, deadline_s

    def reads(self) -> frozenset[str]:
        return frozenset()

    def signature(self, columns: Columns) -> Columns:
        return columns

    def process(self, batch: Batch) -> Output:
        return in_one_go(self.stages(batch))

    def stages(self, batch: Batch) -> Stages:
        models = []
        for _ in range(2):
            try:
                models.append((yield self._ask))
            except ValueError as error:
                models.append(str(error))
        return Output(batch, logs=[{"own": threading.get_ident(), "models": models}])

    def _ask(self) -> int:
        self._model()
        return threading.get_ident()

    @property
    def deadline_s(self) -> float | None:
        return self._deadline_s

    @property
    def warmed_up(self) -> bool:
        return True

    def fallback(self, batch: Batch, cause: str) -> Output:
        return Output(batch, logs=[{"by": cause}])


@pytest.fixture
def metrics() -> PrometheusMetrics:
    return PrometheusMetrics()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def calls(clock: ManualClock, metrics: PrometheusMetrics) -> Calls:
    return seasoned(Calls(clock, metrics, cores=2), clock)


@pytest.fixture
def stuck() -> Iterator[threading.Event]:
    """Calls that wait for this hang until the test is over."""
    event = threading.Event()
    yield event
    event.set()


def seasoned(calls: Calls, clock: ManualClock) -> Calls:
    """The same calls, after which calls with 300 rows are expected to take long."""
    slow = Asking(lambda: clock.advance(1.0), deadline_s=5.0)
    assert isinstance(calls.run(call(slow)), Output)
    return calls


def call(operator: Operator[Any], batch: Batch = BATCH) -> Call:
    return Call(Step("step", operator, "in"), batch)


def begun(calls: Calls, operator: Operator[Any]) -> Coroutine[Any, Any, Output]:
    output = calls.run(call(operator))
    assert not isinstance(output, Output)
    return output


def at_once(calls: Calls, operator: Operator[Any]) -> dict[str, Any]:
    output = calls.run(call(operator))
    assert isinstance(output, Output)
    return dict(output.logs[0])


async def run(calls: Calls, operator: Operator[Any]) -> dict[str, Any]:
    return dict((await begun(calls, operator)).logs[0])


async def test_the_work_of_a_long_call_is_done_in_a_thread_and_all_else_on_the_loop(
    calls: Calls,
) -> None:
    found = await run(calls, Asking())
    assert found["own"] == threading.get_ident()
    assert len({*found["models"]}) == 1
    assert found["own"] not in found["models"]


async def test_the_loop_goes_on_while_the_work_is_done(calls: Calls) -> None:
    gate = threading.Event()
    long = asyncio.create_task(run(calls, Asking(lambda: gate.wait(60))))
    for _ in range(10):
        await asyncio.sleep(0)
    assert not long.done()
    gate.set()
    assert len((await long)["models"]) == 2


async def test_batches_of_several_partitions_wait_for_the_thread_one_after_the_other(
    calls: Calls,
) -> None:
    """They share it, whichever partition's operator began; none is refused for that."""
    inside, most = 0, 0

    def model() -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        inside -= 1

    operators = [Asking(model, deadline_s=0.01) for _ in range(4)]
    found = await asyncio.gather(*(run(calls, operator) for operator in operators))
    assert all("models" in one for one in found)
    assert most == 1


def test_a_small_batch_is_decided_on_the_spot(calls: Calls) -> None:
    assert isinstance(calls.run(call(Asking(), Batch.of({"x": np.zeros(3)}))), Output)


async def test_calls_that_turn_out_short_are_made_on_the_spot_again(calls: Calls) -> None:
    for _ in range(100):
        output = calls.run(call(Asking()))
        if isinstance(output, Output):
            return
        await output
    raise AssertionError("an empty call is still expected to take long")


def test_one_core_has_nothing_to_do_beside(clock: ManualClock, metrics: PrometheusMetrics) -> None:
    calls = seasoned(Calls(clock, metrics, cores=1), clock)
    assert isinstance(calls.run(call(Asking())), Output)


def test_an_operator_without_stages_is_called_on_the_spot(calls: Calls) -> None:
    class Whole(Asking):
        def process(self, batch: Batch) -> Output:
            return Output(batch)

        def stages(self, batch: Batch) -> None:  # type: ignore[override]
            return None

    assert isinstance(calls.run(call(Whole())), Output)


def test_a_step_that_is_not_trusted_is_held_to_its_deadline(
    clock: ManualClock, metrics: PrometheusMetrics, stuck: threading.Event
) -> None:
    calls = Calls(clock, metrics, cores=2)
    late = Asking(lambda: clock.advance(1.0), deadline_s=0.5)
    few = Batch.of({"x": np.zeros(3)})
    assert isinstance(calls.run(call(late, few)), Output)  # on the spot: it was warmed up
    output = calls.run(call(Asking(lambda: stuck.wait(60), deadline_s=0.02)))
    assert isinstance(output, Output)
    assert output.logs[0] == {"by": "timeout"}


async def test_many_rows_that_are_late_make_batches_smaller_and_leave_the_work_beside(
    clock: ManualClock, metrics: PrometheusMetrics
) -> None:
    calls = Calls(clock, metrics, cores=2)
    late = call(Asking(lambda: clock.advance(1.0), deadline_s=0.5))
    assert calls.most_rows([late.step]) > 300
    assert isinstance(calls.run(late), Output)
    assert calls.most_rows([late.step]) == 256
    after = calls.run(late)
    assert not isinstance(after, Output)
    await after


async def test_what_the_work_raises_is_raised_where_it_was_asked_for(calls: Calls) -> None:
    def fail() -> None:
        raise ValueError("no such model")

    assert (await run(calls, Asking(fail)))["models"] == ["no such model"] * 2


@pytest.mark.parametrize("error", [KeyError("bad"), TimeoutError(), SystemExit(3)])
async def test_what_nobody_catches_is_raised_to_the_caller(
    calls: Calls, error: BaseException
) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(type(error)):
        await begun(calls, Asking(fail, deadline_s=5.0))
    assert (await run(calls, Asking()))["models"]  # the thread lives


async def test_work_that_never_comes_back_is_answered_by_the_fallback_and_takes_all_trust(
    calls: Calls, stuck: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gress_ml.engine.calls.PATIENCE_S", 0.05)
    hanging = Asking(lambda: stuck.wait(60), deadline_s=0.01)
    both = await asyncio.gather(run(calls, hanging), run(calls, hanging))
    assert both == [{"by": "timeout"}] * 2
    assert at_once(calls, hanging) == {"by": "timeout"}
    assert at_once(calls, hanging) == {"by": "overload"}


async def test_a_step_whose_work_hung_is_not_done_beside_again(
    calls: Calls, clock: ManualClock, stuck: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would queue behind what hangs, for seconds, whenever trust is back."""
    monkeypatch.setattr("gress_ml.engine.calls.PATIENCE_S", 0.05)
    await run(calls, Asking(lambda: stuck.wait(60), deadline_s=5.0))
    slow = Asking(lambda: clock.advance(1.0), deadline_s=5.0)
    for _ in range(TRUSTED_CALLS + 1):
        assert "own" in at_once(calls, slow)


async def test_work_beside_is_no_reason_to_refuse_a_call_with_a_deadline(
    calls: Calls, clock: ManualClock
) -> None:
    """When trust is lost, batches of other partitions may still be on their way."""
    gate = threading.Event()
    long = asyncio.create_task(run(calls, Asking(lambda: gate.wait(60), deadline_s=5.0)))
    await asyncio.sleep(0)
    late = Asking(lambda: clock.advance(9.0), deadline_s=5.0)
    small = Batch.of({"x": np.zeros(3)})
    assert isinstance(calls.run(call(late, small)), Output)
    assert "own" in at_once(calls, Asking(deadline_s=5.0))
    gate.set()
    assert "own" in await long


async def test_without_a_deadline_work_may_take_as_long_as_it_takes(
    calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gress_ml.engine.calls.PATIENCE_S", 0.0)
    gate = threading.Event()
    long = asyncio.create_task(run(calls, Asking(lambda: gate.wait(60))))
    await asyncio.sleep(0.02)
    gate.set()
    assert len((await long)["models"]) == 2


async def test_a_call_that_is_cancelled_lets_go_and_leaves_the_thread_to_others(
    calls: Calls, stuck: threading.Event
) -> None:
    cut = asyncio.create_task(run(calls, Asking(lambda: stuck.wait(60))))
    await asyncio.sleep(0.01)
    cut.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cut
    stuck.set()
    assert (await run(calls, Asking()))["models"]


async def test_active_calls_and_their_time_are_measured(
    calls: Calls, clock: ManualClock, metrics: PrometheusMetrics
) -> None:
    seen: list[float] = []

    def model() -> None:
        seen.append(metrics.value(ACTIVE_PREDICTIONS))
        clock.advance(0.25)

    await run(calls, Asking(model))
    assert metrics.value(ACTIVE_PREDICTIONS) == 0
    assert f'{STEP_TIME.name}_sum{{step="step"}} 2.5' in metrics.page().decode()  # with seasoned's
    assert len(seen) == 2


def test_work_that_hangs_does_not_keep_the_process_from_ending() -> None:
    program = """
import asyncio
import threading
from test_calls_beside import Asking, begun, seasoned
from gress_ml.adapters.clock import ManualClock
from gress_ml.adapters.prometheus import PrometheusMetrics
from gress_ml.engine.calls import Calls


async def main():
    clock = ManualClock()
    calls = seasoned(Calls(clock, PrometheusMetrics(), cores=2), clock)
    try:
        await asyncio.wait_for(begun(calls, Asking(threading.Event().wait)), 0.1)
    except TimeoutError:
        print("left")


asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=__file__.rpartition("/")[0],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "left\n"), done.stderr
