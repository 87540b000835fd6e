from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from gress_ml.operator import BatchPolicy
from gress_ml.record import FileRecord
from gress_ml.runtime.task import (
    Commit,
    Done,
    PartitionTask,
    Phase,
    RunBatch,
    SaveSnapshot,
    TakeSnapshot,
    TaskSettings,
    Wait,
)


def task(
    *,
    start: int = 0,
    committed: int | None = None,
    stateful: bool = False,
    size: int = 4,
    timeout_s: float = 0.0,
    now: float = 0.0,
    restored: bool = True,
    **settings: Any,
) -> PartitionTask:
    return PartitionTask(
        start=start,
        committed=start if committed is None else committed,
        stateful=stateful,
        settings=TaskSettings(batch=BatchPolicy(size, timeout_s), **settings),
        now=now,
        restored=restored,
    )


def records(*offsets: int) -> list[FileRecord]:
    return [FileRecord(offset, b"{}") for offset in offsets]


def offsets(action: Any) -> list[int]:
    assert isinstance(action, RunBatch), action
    assert action.end == action.records[-1].offset + 1
    return [record.offset for record in action.records]


def run(task: PartitionTask, now: float) -> list[int]:
    """Perform the batch that must come next."""
    action = task.next(now)
    found = offsets(action)
    assert isinstance(action, RunBatch)
    (task.replayed if action.replay else task.launched)(action.end)
    return found


# --- batches --------------------------------------------------------------------------------------


def test_a_lone_record_does_not_wait_without_timeout() -> None:
    partition = task(size=512)
    partition.receive(records(0), now=5.0)
    assert run(partition, 5.0) == [0]


def test_a_batch_waits_for_company_from_the_arrival_of_its_first_record() -> None:
    partition = task(size=4, timeout_s=1.0)
    partition.receive(records(0), now=10.0)
    assert partition.next(10.0) == Wait(11.0)
    partition.receive(records(1), now=10.9)
    assert partition.next(10.9) == Wait(11.0)
    assert run(partition, 11.0) == [0, 1]


def test_a_full_batch_does_not_wait() -> None:
    partition = task(size=2, timeout_s=60.0)
    partition.receive(records(0, 1, 2), now=0.0)
    assert run(partition, 0.0) == [0, 1]


def test_records_left_behind_by_a_full_batch_keep_their_own_arrival() -> None:
    partition = task(size=3, timeout_s=1.0)
    partition.receive(records(0, 1), now=0.0)
    partition.receive(records(2, 3), now=0.5)
    assert run(partition, 0.5) == [0, 1, 2]
    partition.receive(records(4), now=0.9)
    assert partition.next(0.9) == Wait(1.5)  # 3 came at 0.5
    assert run(partition, 1.5) == [3, 4]


def test_a_record_that_comes_after_a_full_batch_waits_from_its_own_arrival() -> None:
    partition = task(size=2, timeout_s=1.0)
    partition.receive(records(0, 1), now=0.0)
    assert run(partition, 0.0) == [0, 1]
    partition.receive(records(2), now=5.0)
    assert partition.next(5.0) == Wait(6.0)


def test_records_of_one_arrival_cut_by_a_batch_keep_it() -> None:
    partition = task(size=2, timeout_s=1.0)
    partition.receive(records(0, 1, 2), now=0.0)
    assert run(partition, 0.7) == [0, 1]
    assert partition.next(0.7) == Wait(1.0)
    assert run(partition, 1.0) == [2]


def test_records_read_twice_are_run_once() -> None:
    partition = task(size=10)
    partition.receive(records(0, 1, 2), now=0.0)
    partition.receive(records(1, 2, 3), now=0.0)
    assert run(partition, 0.0) == [0, 1, 2, 3]
    partition.receive(records(0, 1, 2, 3), now=0.0)
    assert partition.queued == 0


def test_gaps_in_offsets_are_normal() -> None:
    partition = task(size=2)
    partition.receive(records(3, 7, 100), now=0.0)
    assert run(partition, 0.0) == [3, 7]
    assert run(partition, 0.0) == [100]
    assert partition.position == partition.expected == 101


def test_at_most_in_flight_limit_batches_await_their_acknowledgement() -> None:
    partition = task(size=1, in_flight_limit=2)
    partition.receive(records(0, 1, 2), now=0.0)
    run(partition, 0.0)
    run(partition, 0.0)
    assert partition.next(0.0) == Wait(None)
    partition.acknowledged(2)  # the later one is enough to go on
    assert run(partition, 0.0) == [2]


def test_a_full_queue_wants_no_records() -> None:
    partition = task(size=2, queue_limit=4)
    assert partition.wants_records
    partition.receive(records(0, 1, 2, 3), now=0.0)
    assert not partition.wants_records
    run(partition, 0.0)
    assert partition.wants_records


# --- commit ---------------------------------------------------------------------------------------


def test_only_the_contiguous_acknowledged_prefix_is_committed() -> None:
    partition = task(size=1, commit_interval_s=1.0)
    partition.receive(records(0, 1, 2), now=0.0)
    for _ in range(3):
        run(partition, 0.0)
    partition.acknowledged(2)
    partition.acknowledged(3)
    assert partition.committable == 0
    assert partition.next(5.0) == Wait(None)
    partition.acknowledged(1)
    assert partition.next(5.0) == Commit(3)


def test_commits_keep_their_interval() -> None:
    partition = task(size=1, commit_interval_s=1.0)
    partition.receive(records(0, 1), now=0.0)
    run(partition, 0.0)
    partition.acknowledged(1)
    assert run(partition, 0.5) == [1]
    assert partition.next(0.5) == Wait(1.0)
    assert partition.next(1.0) == Commit(1)
    partition.committed(1, now=1.2)
    partition.acknowledged(2)
    assert partition.next(1.5) == Wait(2.2)
    assert partition.next(2.2) == Commit(2)


def test_one_commit_at_a_time_and_batches_go_on_beside_it() -> None:
    partition = task(size=1, commit_interval_s=1.0)
    partition.receive(records(0, 1), now=0.0)
    run(partition, 0.0)
    partition.acknowledged(1)
    assert partition.next(1.0) == Commit(1)
    assert run(partition, 1.0) == [1]
    partition.acknowledged(2)
    assert partition.next(9.0) == Wait(None)  # due, but one is under way


def test_a_failed_commit_is_tried_again_after_the_interval() -> None:
    partition = task(size=1, commit_interval_s=1.0)
    partition.receive(records(0), now=0.0)
    run(partition, 0.0)
    partition.acknowledged(1)
    assert partition.next(1.0) == Commit(1)
    partition.commit_failed(now=1.5)
    assert partition.next(1.5) == Wait(2.5)
    assert partition.next(2.5) == Commit(1)


def test_an_exclusive_commit_has_nothing_beside_it() -> None:
    partition = task(size=1, commit_interval_s=1.0, exclusive_commit=True)
    partition.receive(records(0, 1, 2), now=0.0)
    run(partition, 0.0)
    run(partition, 0.0)
    partition.acknowledged(1)
    assert partition.next(1.0) == Wait(None)  # due: no new batch, but one is not acknowledged
    partition.acknowledged(2)
    assert partition.next(1.0) == Commit(2)
    assert partition.next(1.0) == Wait(None)
    partition.committed(2, now=1.1)
    assert run(partition, 1.1) == [2]
    partition.acknowledged(3)
    assert partition.next(2.1) == Commit(3)
    partition.committed(3, now=2.1)
    partition.receive(records(3), now=9.0)  # an interval later, and nothing to commit
    assert run(partition, 9.0) == [3]


def test_a_failed_exclusive_commit_lets_batches_go_on() -> None:
    partition = task(size=1, commit_interval_s=1.0, exclusive_commit=True)
    partition.receive(records(0, 1), now=0.0)
    run(partition, 0.0)
    partition.acknowledged(1)
    assert partition.next(1.0) == Commit(1)
    partition.commit_failed(now=1.0)
    assert run(partition, 1.0) == [1]


# --- snapshots ------------------------------------------------------------------------------------


def saving(**settings: Any) -> PartitionTask:
    """A stateful task that has run and committed the records 0 and 1."""
    partition = task(stateful=True, commit_interval_s=1.0, checkpoint_interval_s=10.0, **settings)
    partition.receive(records(0, 1), now=0.0)
    run(partition, 0.0)
    partition.acknowledged(2)
    assert partition.next(1.0) == Commit(2)
    partition.committed(2, now=1.0)
    return partition


def test_a_snapshot_is_taken_at_the_interval_when_the_state_changed() -> None:
    partition = saving()
    assert partition.next(1.0) == Wait(10.0)
    assert partition.next(10.0) == TakeSnapshot(2)
    assert partition.next(10.0) == SaveSnapshot(2)
    assert partition.next(99.0) == Wait(None)  # one at a time
    partition.saved(2, now=11.0)
    assert partition.next(99.0) == Wait(None)  # nothing changed


def test_a_stateless_partition_takes_no_snapshot() -> None:
    partition = task(checkpoint_interval_s=1.0)
    partition.receive(records(0), now=0.0)
    run(partition, 0.0)
    assert partition.next(50.0) == Wait(None)


def test_after_a_failure_a_new_snapshot_is_taken_at_the_interval() -> None:
    partition = saving()
    assert partition.next(10.0) == TakeSnapshot(2)
    assert partition.next(10.0) == SaveSnapshot(2)
    partition.save_failed(now=12.0)
    assert partition.next(12.0) == Wait(22.0)
    assert partition.next(22.0) == TakeSnapshot(2)
    assert partition.next(22.0) == SaveSnapshot(2)


def test_a_snapshot_is_saved_only_when_its_offset_is_committed() -> None:
    partition = saving()
    partition.receive(records(2, 3), now=9.0)
    run(partition, 9.0)
    partition.receive(records(4), now=9.0)
    assert partition.next(10.0) == TakeSnapshot(4)
    assert run(partition, 10.0) == [4]  # work goes on
    assert partition.next(50.0) == Wait(None)
    partition.acknowledged(4)
    assert partition.next(50.0) == Commit(4)
    partition.commit_failed(now=50.0)
    assert partition.next(50.5) == Wait(51.0)
    assert partition.next(51.0) == Commit(4)
    partition.committed(4, now=51.0)
    assert partition.next(51.0) == SaveSnapshot(4)


def test_nothing_is_committed_before_there_is_a_snapshot_to_restore() -> None:
    partition = task(stateful=True, restored=False, size=1, commit_interval_s=1.0, start=5)
    assert partition.next(0.0) == TakeSnapshot(5)
    assert partition.next(0.0) == SaveSnapshot(5)
    partition.receive(records(5, 6), now=0.0)
    run(partition, 0.0)  # work goes on beside it
    partition.acknowledged(6)
    run(partition, 1.0)
    assert partition.next(9.0) == Wait(None)  # a commit is due, the snapshot is not there
    partition.saved(5, now=9.0)
    assert partition.next(9.0) == Commit(6)


def test_the_first_snapshot_is_saved_again_as_it_was_taken() -> None:
    partition = task(
        stateful=True, restored=False, size=1, commit_interval_s=1.0, checkpoint_interval_s=30.0
    )
    assert partition.next(0.0) == TakeSnapshot(0)
    assert partition.next(0.0) == SaveSnapshot(0)
    partition.save_failed(now=0.0)
    partition.receive(records(0), now=0.0)
    run(partition, 0.0)
    partition.acknowledged(1)
    assert partition.next(9.0) == Wait(30.0)
    assert partition.next(30.0) == SaveSnapshot(0)
    partition.saved(0, now=30.0)
    assert partition.next(31.0) == Commit(1)


def test_a_drain_saves_first_when_nothing_can_be_restored_yet() -> None:
    for well in (True, False):
        partition = task(stateful=True, restored=False)
        assert partition.next(0.0) == TakeSnapshot(0)
        assert partition.next(0.0) == SaveSnapshot(0)
        partition.save_failed(now=0.0)
        partition.receive(records(0), now=0.0)
        run(partition, 0.0)
        partition.acknowledged(1)
        partition.drain()
        assert partition.next(0.0) == SaveSnapshot(0)
        if well:
            partition.saved(0, now=0.0)
            assert partition.next(0.0) == Commit(1)
        else:
            partition.save_failed(now=0.0)
            assert partition.next(0.0) == Done()  # the next owner runs it again


def test_without_a_snapshot_to_restore_exclusive_commits_hold_nothing_up() -> None:
    partition = task(
        stateful=True, restored=False, size=1, commit_interval_s=1.0, exclusive_commit=True
    )
    assert partition.next(0.0) == TakeSnapshot(0)
    assert partition.next(0.0) == SaveSnapshot(0)
    partition.receive(records(0, 1), now=0.0)
    run(partition, 0.0)
    partition.acknowledged(1)
    assert run(partition, 5.0) == [1]  # a commit is due and not possible yet


# --- replay ---------------------------------------------------------------------------------------


def test_records_before_the_committed_offset_are_replayed_and_not_committed() -> None:
    partition = task(start=0, committed=3, stateful=True, size=2, commit_interval_s=0.0)
    partition.receive(records(0, 1, 2, 3), now=0.0)
    assert partition.phase is Phase.REPLAY
    assert partition.next(0.0) == RunBatch(records(0, 1), 2, replay=True)
    partition.replayed(2)
    assert partition.next(0.0) == RunBatch(records(2), 3, replay=True)  # not over its end
    partition.replayed(3)
    assert partition.phase is Phase.LIVE
    assert partition.next(0.0) == RunBatch(records(3), 4, replay=False)


def test_a_replay_whose_end_was_compacted_away_goes_live_with_the_next_record() -> None:
    partition = task(start=0, committed=5, stateful=True)
    partition.receive(records(0, 1), now=0.0)
    assert run(partition, 0.0) == [0, 1]
    partition.receive(records(7, 8), now=1.0)
    action = partition.next(1.0)
    assert offsets(action) == [7, 8]
    assert isinstance(action, RunBatch)
    assert not action.replay


def test_a_replay_from_the_log_s_beginning_ends_with_a_snapshot_at_the_commit() -> None:
    for compacted in (False, True):  # whether the record before the commit is gone
        partition = task(start=0, committed=3, stateful=True, restored=False, size=2)
        partition.receive(records(*([0] if compacted else [0, 1, 2]), 5), now=0.0)
        while partition.position < (1 if compacted else 3):
            run(partition, 0.0)
        assert partition.next(0.0) == TakeSnapshot(3)
        assert partition.next(0.0) == SaveSnapshot(3)
        assert run(partition, 0.0) == [5]
        partition.acknowledged(6)
        partition.saved(3, now=0.0)
        assert partition.next(1.0) == Commit(6)


def test_a_replay_that_waits_for_records_does_not_spin() -> None:
    partition = task(start=0, committed=5, stateful=True, checkpoint_interval_s=1.0)
    partition.receive(records(0), now=0.0)
    run(partition, 0.0)
    assert partition.next(60.0) == Wait(None)


def test_a_replay_cut_short_saves_and_commits_nothing() -> None:
    partition = task(start=0, committed=5, stateful=True)
    partition.receive(records(0, 1), now=0.0)
    run(partition, 0.0)
    partition.drain()
    assert partition.next(0.0) == Done()


# --- drain ----------------------------------------------------------------------------------------


def test_drain_waits_for_acknowledgements_then_commits_then_saves() -> None:
    partition = task(stateful=True, size=1)
    partition.receive(records(0, 1, 2), now=0.0)
    run(partition, 0.0)
    run(partition, 0.0)
    partition.drain()
    assert partition.queued == 0
    partition.receive(records(2, 3), now=0.0)
    assert partition.queued == 0
    assert not partition.wants_records
    assert partition.next(0.0) == Wait(None)
    partition.acknowledged(1)
    partition.acknowledged(2)
    assert partition.next(0.0) == Commit(2)
    assert partition.next(0.0) == Wait(None)
    partition.committed(2, now=0.0)
    assert partition.next(0.0) == TakeSnapshot(2)
    assert partition.next(0.0) == SaveSnapshot(2)
    assert partition.next(0.0) == Wait(None)
    partition.saved(2, now=0.0)
    assert partition.next(0.0) == Done()


def test_a_drain_ends_when_its_commit_or_its_snapshot_fails() -> None:
    partition = task(stateful=True)
    partition.receive(records(0), now=0.0)
    run(partition, 0.0)
    partition.acknowledged(1)
    partition.drain()
    assert partition.next(0.0) == Commit(1)
    partition.commit_failed(now=0.0)
    assert partition.next(0.0) == Done()  # a snapshot ahead of the commit would help nobody

    partition = saving()
    partition.drain()
    assert partition.next(2.0) == TakeSnapshot(2)
    assert partition.next(2.0) == SaveSnapshot(2)
    partition.save_failed(now=2.0)
    assert partition.next(2.0) == Done()


@pytest.mark.parametrize("what", ["commit", "snapshot"])
def test_a_drain_waits_for_what_was_begun_before_it(what: str) -> None:
    partition = saving()
    if what == "snapshot":
        assert partition.next(10.0) == TakeSnapshot(2)
        assert partition.next(10.0) == SaveSnapshot(2)
    else:
        partition.receive(records(2), now=2.0)
        run(partition, 2.0)
        partition.acknowledged(3)
        assert partition.next(2.0) == Commit(3)
    partition.drain()
    assert partition.next(10.0) == Wait(None)
    if what == "snapshot":
        partition.saved(2, now=10.0)
    else:
        partition.committed(3, now=10.0)
        assert partition.next(10.0) == TakeSnapshot(3)
        assert partition.next(10.0) == SaveSnapshot(3)
        partition.saved(3, now=10.0)
    assert partition.next(10.0) == Done()


def test_a_batch_that_was_being_run_when_the_drain_began_is_committed() -> None:
    partition = task()
    partition.receive(records(0), now=0.0)
    assert offsets(partition.next(0.0)) == [0]
    partition.drain()
    partition.launched(1)
    assert partition.next(0.0) == Wait(None)
    partition.acknowledged(1)
    assert partition.next(0.0) == Commit(1)


def test_an_untouched_partition_drains_at_once() -> None:
    partition = task(stateful=True)
    partition.drain()
    assert partition.next(0.0) == Done()


def test_expected_is_the_next_offset_to_come() -> None:
    partition = task(start=5)
    found: list[int] = [partition.expected]
    for chunk in ([5, 6], [9]):
        partition.receive(records(*chunk), now=0.0)
        found.append(partition.expected)
    action = partition.next(0.0)  # handed out and not yet run
    found.append(partition.expected)
    assert isinstance(action, RunBatch)
    assert found == [5, 7, 10, 10]


def every(values: Iterable[int], step: int) -> list[list[int]]:
    listed = list(values)
    return [listed[at : at + step] for at in range(0, len(listed), step)]


@pytest.mark.parametrize("size", [1, 3, 7, 100])
@pytest.mark.parametrize("chunk", [1, 5, 64])
def test_every_record_is_run_once_in_order_however_it_came(size: int, chunk: int) -> None:
    partition = task(size=size, in_flight_limit=1000)
    ran: list[int] = []
    for offsets_ in every(range(100), chunk):
        partition.receive(records(*offsets_), now=0.0)
        while isinstance(action := partition.next(0.0), RunBatch):
            assert len(action.records) <= size
            partition.launched(action.end)
            ran += [record.offset for record in action.records]
    assert ran == list(range(100))
