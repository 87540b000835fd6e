"""A learner is a function of the log: the same as river alone, however the log is cut."""

from __future__ import annotations

import random
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from river import linear_model, metrics, utils

from gress_ml.errors import SnapshotError
from gress_ml.learning.definition import build_estimator
from gress_ml.learning.gate import Gate
from gress_ml.learning.learner import (
    HOLDOUT,
    PREDICTED,
    TRAINED,
    AtLimit,
    Learner,
    Pace,
    Rows,
    Told,
)
from gress_ml.learning.scores import Scores
from gress_ml.learning.seal import sealed, unsealed
from gress_ml.learning.structure import load, save
from gress_ml.learning.task import Classification, Regression, Task

LOGISTIC = "linear_model.LogisticRegression"
TWO = Classification(("no", "yes"))


def state_of(snapshot: bytes) -> dict[str, Any]:
    """What a snapshot holds."""
    found: dict[str, Any] = load(unsealed(snapshot))
    return found


def learner(
    definition: Any = LOGISTIC,
    task: Task = TWO,
    pace: Pace | None = None,
    gate: Gate | None = None,
    metric_names: tuple[Any, ...] = ("Accuracy", "LogLoss"),
    window: int = 20,
) -> Learner:
    build = partial(build_estimator, definition)
    scores = Scores(metric_names, task, build(), window)
    return Learner(build, str(definition), task, scores, pace or Pace(), gate)


def rows(count: int, first: int = 0, seed: int = 1, held: float = 0.0) -> Rows:
    dice = random.Random(seed)
    features = [{"a": dice.gauss(0, 1), "b": dice.gauss(0, 1)} for _ in range(first + count)]
    labels = [x["a"] + x["b"] > 0 for x in features]
    return Rows(
        features[first:],
        labels[first:],
        [dice.random() < held for _ in range(first + count)][first:],
        [1000 * at for at in range(first, first + count)],
        [*range(first, first + count)],
    )


def parts(whole: Rows, cuts: list[int]) -> list[Rows]:
    edges = [0, *cuts, len(whole.labels)]
    return [
        Rows(
            whole.features[a:b],
            whole.labels[a:b],
            whole.held_out[a:b],
            whole.times_ms[a:b],
            whole.offsets[a:b],
        )
        for a, b in pairwise(edges)
    ]


def joined(told: list[Told]) -> tuple[Any, ...]:
    return (
        [answer for one in told for answer in one.answers],
        [use for one in told for use in one.uses],
        sum(one.updates for one in told),
        [candidate for one in told for candidate in one.candidates],
    )


def test_one_row_at_a_time_is_river_alone() -> None:
    alone, accuracy, loss = linear_model.LogisticRegression(), metrics.Accuracy(), metrics.LogLoss()
    rolling = utils.Rolling(metrics.Accuracy, window_size=20)
    seen = rows(200)
    expected = []
    for x, y in zip(seen.features, seen.labels, strict=True):
        expected.append(alone.predict_proba_one(x))
        guess = expected[-1][True] > 0.5
        accuracy.update(y, guess)
        rolling.update(y, guess)
        loss.update(y, expected[-1])
        alone.learn_one(x, y)
    ours = learner(pace=Pace(batch_size=1))
    assert ours.run(seen).answers == expected
    assert ours.scores.values() == {
        "Accuracy": accuracy.get(),
        "LogLoss": loss.get(),
        "rolling_Accuracy": rolling.get(),
        "rolling_LogLoss": pytest.approx(ours.scores.values()["rolling_LogLoss"]),
    }


def test_a_mini_batch_is_told_by_the_learner_before_it() -> None:
    alone, seen = linear_model.LogisticRegression(), rows(10)
    expected = []
    for start in (0, 4, 8):
        batch = [*zip(seen.features, seen.labels, strict=True)][start : start + 4]
        expected += [alone.predict_proba_one(x) for x, _ in batch]
        for x, y in batch:
            alone.learn_one(x, y)
    told = learner(pace=Pace(batch_size=4, interval_ms=1e9)).run(seen)
    assert told.answers == expected
    assert told.updates == 2  # two rows wait


def test_a_mini_batch_ends_when_an_event_comes_an_interval_later() -> None:
    seen = rows(8)
    times = [0, 1, 2, 99, 100, 101, 150, 200]
    late = Rows(seen.features, seen.labels, seen.held_out, times, seen.offsets)
    ours = learner(pace=Pace(batch_size=100, interval_ms=100.0))
    told = ours.run(late)
    assert told.updates == 2  # before the events at 100 and at 200
    assert ours.learned == 7


def test_no_event_no_update_whatever_time_it_is() -> None:
    ours = learner(pace=Pace(batch_size=100, interval_ms=5.0))
    assert ours.run(rows(1)).updates == 0
    assert ours.learned == 0


def test_rows_without_a_label_and_rows_held_out_are_never_learned() -> None:
    seen = rows(100, held=0.5)
    labels = [None if at % 3 == 0 else label for at, label in enumerate(seen.labels)]
    ours = learner(pace=Pace(batch_size=1))
    told = ours.run(Rows(seen.features, labels, seen.held_out, seen.times_ms, seen.offsets))
    for use, label, held in zip(told.uses, labels, seen.held_out, strict=True):
        wanted = PREDICTED if label is None else HOLDOUT if held else TRAINED
        assert use == wanted
    alone = linear_model.LogisticRegression()
    for x, y, held in zip(seen.features, labels, seen.held_out, strict=True):
        if y is not None and not held:
            alone.learn_one(x, y)
    assert save(state_of(ours.snapshot())["estimator"]) == save(alone)
    assert ours.scores.held == told.uses.count(HOLDOUT)
    assert "holdout_Accuracy" in ours.scores.values()


@given(
    cuts=st.lists(st.integers(0, 60), max_size=5).map(sorted),
    size=st.integers(1, 9),
    interval=st.sampled_from([1.0, 1500.0, 7000.0, 1e12]),
)
def test_however_the_log_is_cut_the_learner_is_the_same(
    cuts: list[int], size: int, interval: float
) -> None:
    seen, pace = rows(60, held=0.3), Pace(size, interval)
    gate = Gate(every=7, min_samples=10, min_holdout=3, metric="Accuracy", bound=0.0)
    whole, cut = learner(pace=pace, gate=gate), learner(pace=pace, gate=gate)
    expected = joined([whole.run(seen)])
    assert joined([cut.run(part) for part in parts(seen, cuts)]) == expected
    assert cut.snapshot() == whole.snapshot()


#: What a row may be like: river fails on it, no label, held out, when it came.
ODD = st.tuples(st.booleans(), st.booleans(), st.booleans(), st.integers(0, 9000))


@given(
    odd=st.lists(ODD, max_size=40),
    size=st.integers(1, 9),
    interval=st.sampled_from([1.0, 1500.0, 7000.0, 1e12]),
    limit=st.sampled_from([1, 1 << 20]),
)
def test_rows_of_all_kinds_at_once_are_as_one_row_after_the_other(
    odd: list[tuple[bool, bool, bool, int]], size: int, interval: float, limit: int
) -> None:
    seen = rows(len(odd))
    pace = Pace(size, interval, limit)  # the smaller limit freezes at the first look
    whole, single = learner(pace=pace), learner(pace=pace)
    for one in (whole, single):
        one._look_at = 10
    given_rows = Rows(
        [{"a": "x"} if fails else row for (fails, *_), row in zip(odd, seen.features, strict=True)],
        [None if bare else y for (_, bare, *_), y in zip(odd, seen.labels, strict=True)],
        [held for _, _, held, _ in odd],
        [time_ms for *_, time_ms in odd],
        seen.offsets,
    )
    told = [single.run(part) for part in parts(given_rows, [*range(1, len(odd))])]
    found = whole.run(given_rows)
    assert joined([found]) == joined(told)
    assert [row for row, *_ in found.faults] == [at for at, one in enumerate(odd) if one[0]]
    assert whole.snapshot() == single.snapshot()


@given(at=st.integers(0, 60), size=st.integers(1, 9))
def test_restored_anywhere_it_goes_on_as_if_never_stopped(at: int, size: int) -> None:
    seen, pace = rows(60, held=0.3), Pace(size, 7000.0)
    first, second = parts(seen, [at])
    whole = learner(pace=pace)
    whole.run(first)
    again = learner(pace=pace)
    again.restore(whole.snapshot())
    assert joined([again.run(second)]) == joined([whole.run(second)])
    assert again.snapshot() == whole.snapshot()


def test_a_row_that_river_fails_on_leaves_no_trace() -> None:
    seen = rows(20)
    bad = Rows(
        [*seen.features[:5], {"a": "x"}, *seen.features[5:]],
        [*seen.labels[:5], True, *seen.labels[5:]],
        [False] * 21,
        [0] * 21,
        [*range(21)],
    )
    without = Rows(seen.features, seen.labels, [False] * 20, [0] * 20, seen.offsets)
    first, second = learner(pace=Pace(1)), learner(pace=Pace(1))
    told = first.run(bad)
    assert [(row, code) for row, code, _ in told.faults] == [(5, "learner_failed")]
    assert told.answers == second.run(without).answers
    assert first.snapshot() == second.snapshot()


#: Of a row: its label, whether it is held out, its event time, and whether river fails on it.
ROWS = st.lists(
    st.tuples(
        st.sampled_from([True, False, True, False, None]),
        st.sampled_from([False, False, False, True]),
        st.integers(0, 40),
        st.sampled_from([False, False, False, True]),
    ),
    max_size=40,
)


@given(ROWS, st.integers(1, 6), st.sampled_from([5.0, 15.0, 1e9]))
def test_rows_told_together_are_told_as_one_by_one(
    given_rows: list[tuple[bool | None, bool, int, bool]], size: int, interval_ms: float
) -> None:
    """Also where times are out of order and rows fail, so that mini-batches end early or late."""
    seen = Rows(
        [{"a": "x" if bad else float(n % 7)} for n, (*_, bad) in enumerate(given_rows)],
        [label for label, *_ in given_rows],
        [held for _, held, *_ in given_rows],
        [time for _, _, time, _ in given_rows],
        [*range(len(given_rows))],
    )
    together, apart = (learner(pace=Pace(size, interval_ms)) for _ in range(2))
    one_by_one = [apart.run(part) for part in parts(seen, [*range(1, len(given_rows))])]
    whole = together.run(seen)
    assert joined([whole]) == joined(one_by_one)
    assert [row for row, *_ in whole.faults] == [
        row for row, told in enumerate(one_by_one) if told.faults
    ]
    assert together.snapshot() == apart.snapshot()


def test_an_answer_that_is_not_finite_is_a_fault_of_its_row() -> None:
    ours = learner({"linear_model.LinearRegression": None}, Regression(), Pace(1), metric_names=())
    seen = Rows([{"a": 1e200}, {"a": 1e200}], [1e200, 1.0], [False] * 2, [0, 0], [0, 1])
    told = ours.run(seen)
    assert [code for _, code, _ in told.faults] == ["bad_prediction"]


def test_an_answer_that_is_none_is_a_fault_of_its_row() -> None:
    ours = learner({"linear_model.LinearRegression": None}, Regression(), metric_names=())
    answers = iter([0.0, None, 1.0])
    ours._ask = lambda features: next(answers)
    told = ours.run(Rows([{"a": 1.0}] * 3, [1.0] * 3, [False] * 3, [0] * 3, [0, 1, 2]))
    assert [(row, code) for row, code, _ in told.faults] == [(1, "learner_failed")]
    assert told.answers == [0.0, 1.0]


def test_before_anything_is_learned_nothing_is_known_and_nothing_is_scored() -> None:
    task = Classification(("a", "b", "c"))
    ours = learner("tree.HoeffdingTreeClassifier", task, Pace(4), metric_names=("Accuracy",))
    x = {"a": 1.0}
    told = ours.run(Rows([x] * 5, ["a"] * 5, [False] * 5, [0] * 5, [*range(5)]))
    assert told.answers[:4] == [{}] * 4
    assert task.matrix(told.answers)[:, 0].tolist()[4] == 1.0
    assert ours.scores.values()["Accuracy"] == 1.0  # of the one row that was told


# --- size -----------------------------------------------------------------------------------------

#: A learner that remembers every feature name that it ever saw.
GROWING = "naive_bayes.BernoulliNB"


def growing(count: int, first: int = 0, rows_per_feature: int = 1) -> Rows:
    at = range(first, first + count)
    return Rows(
        [{f"feature-{one // rows_per_feature}": 1.0} for one in at],
        [one % 2 == 0 for one in at],
        [False] * count,
        [0] * count,
        [*at],
    )


def test_past_its_limit_it_learns_no_more_and_goes_on_telling() -> None:
    ours = learner(GROWING, pace=Pace(1, size_limit=20_000))
    told = ours.run(growing(1000))
    assert ours.frozen
    assert ours.size > 20_000
    before = ours.snapshot()
    told = ours.run(growing(10, 1000))
    assert told.uses == [PREDICTED] * 10
    assert len(told.answers) == 10
    assert state_of(ours.snapshot())["learned"] == state_of(before)["learned"]
    assert save(state_of(ours.snapshot())["estimator"]) == save(state_of(before)["estimator"])


def test_past_its_limit_it_begins_anew_where_told_so() -> None:
    ours = learner(GROWING, pace=Pace(1, size_limit=20_000, at_limit=AtLimit.RESTART))
    sizes = []
    for start in range(0, 10_000, 500):
        ours.run(growing(500, start))
        sizes.append(len(save(state_of(ours.snapshot())["estimator"])))
    assert not ours.frozen
    assert max(sizes[10:]) <= max(sizes[:10])


def test_the_nearer_it_grows_to_its_limit_the_more_often_it_is_measured() -> None:
    limit = 60_000
    ours = learner("linear_model.LogisticRegression", pace=Pace(1, size_limit=limit))
    looks = []
    while not ours.frozen and len(looks) < 100:
        ours.run(growing(500, 500 * len(looks), rows_per_feature=8))
        looks.append(state_of(ours.snapshot())["look_at"])
    gaps = [after - before for before, after in pairwise(sorted({*looks}))]
    assert gaps[0] > gaps[-1] == 1000
    assert ours.frozen
    assert limit < ours.size <= limit + 1000 * ours.size / ours.learned


def test_what_does_not_grow_is_measured_seldom() -> None:
    ours = learner(pace=Pace(1))
    ours.run(rows(1000))
    assert state_of(ours.snapshot())["look_at"] == 11_000


# --- the gate -------------------------------------------------------------------------------------


def test_a_candidate_is_offered_only_behind_its_gate() -> None:
    gate = Gate(every=20, min_samples=60, min_holdout=10, metric="Accuracy", bound=0.7)
    ours = learner(pace=Pace(5, 1e9), gate=gate)
    told = ours.run(rows(400, held=0.3))
    assert told.candidates
    assert all(one.learned >= 60 for one in told.candidates)
    assert all(one.scores["holdout_Accuracy"] >= 0.7 for one in told.candidates)
    assert len({one.offset for one in told.candidates}) == len(told.candidates)
    first = told.candidates[0]
    again = learner(pace=Pace(5, 1e9))
    again.run(parts(rows(400, held=0.3), [first.offset])[0])
    assert state_of(again.snapshot())["learned"] == first.learned
    assert save(state_of(again.snapshot())["estimator"]) == first.estimator


def test_a_gate_that_no_score_reaches_stays_shut() -> None:
    gate = Gate(every=10, min_samples=10, min_holdout=1, metric="Accuracy", bound=1.01)
    assert not learner(gate=gate).run(rows(300, held=0.3)).candidates
    gate = Gate(every=10, min_samples=10, min_holdout=1, metric="LogLoss", bound=0.0)
    assert not learner(gate=gate).run(rows(300, held=0.3)).candidates
    gate = Gate(every=10, min_samples=10, min_holdout=10_000, metric="Accuracy", bound=0.0)
    assert not learner(gate=gate).run(rows(300, held=0.3)).candidates


# --- restoring ------------------------------------------------------------------------------------


def test_state_of_another_definition_is_not_taken_over() -> None:
    first = learner()
    first.run(rows(10))
    with pytest.raises(SnapshotError, match="defined in another way"):
        learner("linear_model.Perceptron").restore(first.snapshot())


def test_state_of_another_river_is_not_taken_over() -> None:
    state = state_of(learner().snapshot())
    state["river"] = "0.1"
    with pytest.raises(SnapshotError, match=r"learned with river 0\.1"):
        learner().restore(sealed(save(state)))


@pytest.mark.parametrize("key", ["estimator", "scores", "waiting", "learned", "frozen"])
def test_state_with_a_part_of_another_type_is_refused(key: str) -> None:
    state = state_of(learner().snapshot())
    state[key] = "something else"
    with pytest.raises(SnapshotError):
        learner().restore(sealed(save(state)))


def test_with_other_metrics_the_learner_stays_and_the_scores_begin_anew() -> None:
    first = learner()
    first.run(rows(50))
    second = learner(metric_names=("F1",))
    second.restore(first.snapshot())
    assert second.learned == first.learned
    assert second.scores.values() == {"F1": 0.0}


@given(at=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
def test_a_state_with_a_damaged_byte_is_refused(at: float, flip: int) -> None:
    data = bytearray(learner().snapshot())
    data[int(at * len(data))] ^= flip
    with pytest.raises(SnapshotError, match="damaged"):
        learner().restore(bytes(data))


@pytest.mark.parametrize("kept", [0, 1, 31, 32, 100])
def test_a_state_that_was_cut_off_is_refused(kept: int) -> None:
    with pytest.raises(SnapshotError, match="damaged"):
        learner().restore(learner().snapshot()[:kept])
