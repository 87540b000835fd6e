from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

import numpy as np
import pytest

from gress_ml.adapters.clock import ManualClock
from gress_ml.adapters.prometheus import PrometheusMetrics
from gress_ml.batch import Batch
from gress_ml.engine.calls import Calls
from gress_ml.engine.pace import TRUSTED_CALLS
from gress_ml.metrics import ACTIVE_PREDICTIONS, STEP_TIME, Kind, Metric
from gress_ml.operator import Operator, OperatorConfig, Output, Stages, Timed, in_one_go
from gress_ml.runtime.plan import Call, Step
from gress_ml.schema import Columns

BATCH = Batch.of({"x": np.zeros(3)})
IN_S = Metric("time_seconds", Kind.HISTOGRAM, "Time.", ("kind",))
IN_MS = Metric("time_ms", Kind.HISTOGRAM, "Time.")


class Doing(Operator[OperatorConfig]):
    """Does what a function says, with a deadline."""

    name = "doing"
    Config = OperatorConfig

    def __init__(
        self,
        work: Callable[[], object] = lambda: None,
        *,
        deadline_s: float | None = 60.0,
        limit: int = 1,
    ) -> None:
        super().__init__(OperatorConfig())
        self._work, self._deadline_s, self._limit = work, deadline_s, limit

    def reads(self) -> frozenset[str]:
        return frozenset()

    def signature(self, columns: Columns) -> Columns:
        return columns

    def process(self, batch: Batch) -> Output:
        self._work()
        return Output(batch, logs=[{"by": "process", "thread": threading.get_ident()}])

    @property
    def deadline_s(self) -> float | None:
        return self._deadline_s

    @property
    def max_concurrency(self) -> int:
        return self._limit

    def fallback(self, batch: Batch, cause: str) -> Output:
        return Output(batch, logs=[{"by": cause, "thread": threading.get_ident()}])

    @property
    def timers(self) -> list[tuple[Metric, tuple[str, ...]]]:
        return [(IN_S, ("all",)), (IN_MS, ())]


@pytest.fixture
def metrics() -> PrometheusMetrics:
    return PrometheusMetrics()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def calls(clock: ManualClock, metrics: PrometheusMetrics) -> Calls:
    return Calls(clock, metrics)


@pytest.fixture
def stuck() -> Iterator[threading.Event]:
    """Calls that wait for this hang until the test is over."""
    event = threading.Event()
    yield event
    event.set()


def run(calls: Calls, operator: Doing, step: str = "step") -> dict[str, object]:
    output = calls.run(Call(Step(step, operator, "in"), BATCH))
    assert isinstance(output, Output)
    return dict(output.logs[0])


def test_without_a_deadline_the_call_is_made_on_the_spot(calls: Calls) -> None:
    found = run(calls, Doing(deadline_s=None))
    assert found == {"by": "process", "thread": threading.get_ident()}


def test_with_a_deadline_the_call_is_made_in_one_thread_that_is_used_again(calls: Calls) -> None:
    found = [run(calls, Doing()) for _ in range(5)]
    assert {one["by"] for one in found} == {"process"}
    threads = {one["thread"] for one in found}
    assert len(threads) == 1
    assert threads != {threading.get_ident()}


def test_a_call_past_its_deadline_is_answered_by_the_fallback(
    calls: Calls, stuck: threading.Event
) -> None:
    started = time.monotonic()
    found = run(calls, Doing(lambda: stuck.wait(60), deadline_s=0.05))
    assert found == {"by": "timeout", "thread": threading.get_ident()}
    assert 0.04 < time.monotonic() - started < 30


def test_with_all_threads_busy_the_fallback_answers_at_once(
    calls: Calls, stuck: threading.Event
) -> None:
    hanging = Doing(lambda: stuck.wait(60), deadline_s=0.02, limit=2)
    assert [run(calls, hanging)["by"] for _ in range(2)] == ["timeout", "timeout"]
    started = time.monotonic()
    quick = Doing(limit=2)
    assert run(calls, quick)["by"] == "overload"
    assert time.monotonic() - started < 30
    assert run(calls, quick, step="another")["by"] == "process"  # the limit is that of a step


def test_a_thread_that_comes_back_takes_calls_again(calls: Calls) -> None:
    gate = threading.Event()
    assert run(calls, Doing(lambda: gate.wait(60), deadline_s=0.02))["by"] == ("timeout")
    assert run(calls, Doing())["by"] == "overload"
    gate.set()
    until = time.monotonic() + 60
    while (by := run(calls, Doing())["by"]) == "overload" and time.monotonic() < until:
        time.sleep(0.001)
    assert by == "process"


def test_calls_one_after_the_other_never_overload_one_thread(calls: Calls) -> None:
    """The thread is free before its caller hears of the result."""

    def dawdle(frame: FrameType, event: str, _: object) -> None:
        if event == "return" and frame.f_code is threading.Event.set.__code__:
            time.sleep(0.01)  # the caller goes on while the thread stands right behind its word

    threading.setprofile(dawdle)  # for the thread that is to come
    try:
        assert {run(calls, Doing())["by"] for _ in range(5)} == {"process"}
    finally:
        threading.setprofile(None)  # type: ignore[arg-type]


@pytest.mark.parametrize("error", [ValueError("bad"), SystemExit(3), KeyboardInterrupt()])
def test_what_the_call_raises_is_raised_to_the_caller(calls: Calls, error: BaseException) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(type(error)):
        run(calls, Doing(fail))
    with pytest.raises(type(error)):
        run(calls, Doing(fail, deadline_s=None), step="another")
    assert run(calls, Doing())["by"] == "process"  # the thread lives


def test_calls_are_timed_each_metric_in_its_own_unit(
    calls: Calls, clock: ManualClock, metrics: PrometheusMetrics
) -> None:
    run(calls, Doing(lambda: clock.advance(0.25), deadline_s=None))
    run(calls, Doing(lambda: clock.advance(0.5)))
    page = metrics.page().decode()
    assert f'{STEP_TIME.name}_sum{{step="step"}} 0.75' in page
    assert 'time_seconds_sum{kind="all"} 0.75' in page
    assert "time_ms_sum 750.0" in page
    assert "time_ms_count 2.0" in page


def test_that_no_call_is_active_is_told_before_the_first(
    calls: Calls, metrics: PrometheusMetrics
) -> None:
    assert f"{ACTIVE_PREDICTIONS.name} 0.0" in metrics.page().decode()


def test_active_calls_are_those_that_run(
    calls: Calls, metrics: PrometheusMetrics, stuck: threading.Event
) -> None:
    seen: list[float] = []
    run(calls, Doing(lambda: seen.append(metrics.value(ACTIVE_PREDICTIONS))))
    assert metrics.value(ACTIVE_PREDICTIONS) == 0
    run(calls, Doing(lambda: stuck.wait(60), deadline_s=0.02))
    assert metrics.value(ACTIVE_PREDICTIONS) == 1  # it hangs still
    run(calls, Doing(), step="another")
    assert metrics.value(ACTIVE_PREDICTIONS) == 1


def test_a_call_that_hangs_does_not_keep_the_process_from_ending() -> None:
    program = """
import threading
import numpy as np
from test_calls import BATCH, Doing, run
from gress_ml.adapters.clock import SystemClock
from gress_ml.adapters.prometheus import PrometheusMetrics
from gress_ml.engine.calls import Calls

hang = Doing(lambda: threading.Event().wait(), deadline_s=0.05)
print(run(Calls(SystemClock(), PrometheusMetrics()), hang)["by"])
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=__file__.rpartition("/")[0],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "timeout\n"), done.stderr


def test_after_enough_calls_in_time_they_are_made_on_the_spot(calls: Calls) -> None:
    here = threading.get_ident()
    threads = [run(calls, Doing())["thread"] for _ in range(TRUSTED_CALLS + 1)]
    assert here not in threads[:-1]
    assert threads[-1] == here


def test_a_call_on_the_spot_past_its_deadline_has_its_answer_and_trust_is_gone(
    calls: Calls, clock: ManualClock
) -> None:
    for _ in range(TRUSTED_CALLS):
        run(calls, Doing())
    assert run(calls, Doing(lambda: clock.advance(60.1)))["by"] == "process"
    after = run(calls, Doing())
    assert (after["by"], after["thread"] == threading.get_ident()) == ("process", False)


def test_answers_of_the_fallback_earn_no_trust(calls: Calls, stuck: threading.Event) -> None:
    """A model that hangs must not be called on the spot: the whole worker would hang with it."""
    hanging = Doing(lambda: stuck.wait(60), deadline_s=0.02)
    assert run(calls, hanging)["by"] == "timeout"
    answers = {run(calls, hanging)["by"] for _ in range(TRUSTED_CALLS + 1)}
    assert answers == {"overload"}


def test_a_topology_without_steps_bounds_no_batch(calls: Calls) -> None:
    assert calls.most_rows([]) > 10**9


def test_a_step_that_was_warmed_up_begins_on_the_spot(calls: Calls) -> None:
    class Warm(Doing):
        warmed_up = True

    assert run(calls, Warm())["thread"] == threading.get_ident()


class Asking(Doing):
    """Its work is timed by itself."""

    def stages(self, batch: Batch) -> Stages:
        answer = yield Timed(lambda: self._work(), [(IN_S, ("work",)), (IN_MS, ())])
        assert (yield lambda: "plain") == "plain"
        return Output(batch, logs=[{"answer": answer}])

    def process(self, batch: Batch) -> Output:
        return in_one_go(self.stages(batch))

    @property
    def timers(self) -> list[tuple[Metric, tuple[str, ...]]]:
        return []


@pytest.mark.parametrize("deadline_s", [None, 5.0])
def test_timed_work_is_observed_on_the_spot_and_in_a_thread(
    clock: ManualClock, metrics: PrometheusMetrics, calls: Calls, deadline_s: float | None
) -> None:
    run(calls, Asking(lambda: clock.advance(0.25), deadline_s=deadline_s))
    page = metrics.page().decode()
    assert 'time_seconds_sum{kind="work"} 0.25' in page
    assert "time_ms_sum 250.0" in page


def test_timed_work_that_is_past_its_deadline_is_not_observed(
    metrics: PrometheusMetrics, calls: Calls, stuck: threading.Event
) -> None:
    run(calls, Asking(lambda: stuck.wait(10), deadline_s=0.02))
    assert "time_seconds" not in metrics.page().decode()
