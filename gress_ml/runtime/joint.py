"""Joint: records of several partitions decided in one batch, and the result taken apart again.

Small batches cost mostly what any batch costs. Where nothing depends on the partition, those that
are there at the same moment share it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import accumulate, chain

import numpy as np

from gress_ml.batch import JOINT, Origins
from gress_ml.record import Record
from gress_ml.runtime.plan import Flow, Plan, Produced, Result

#: A partition and records of it, in order.
Part = tuple[int, Sequence[Record]]


def run_joint(plan: Plan, topic: str, parts: Sequence[Part]) -> Flow:
    """Decide the records of several partitions, one part after the other.

    ``plan`` is ``partition_free``. Take the result apart with :func:`split`.
    """
    sizes = [len(records) for _, records in parts]
    together = [*chain.from_iterable(records for _, records in parts)]
    origins = Origins(
        np.repeat(np.array([partition for partition, _ in parts], np.int64), sizes),
        np.fromiter((record.offset for record in together), np.int64, len(together)),
    )
    return plan.run(topic, JOINT, together, origins)


def split(result: Result, sizes: Sequence[int]) -> list[Result]:
    """The result of each part, as if it had been decided alone.

    What belongs to no row (measures, log lines, work for later) is with the first part.
    """
    ends = [*accumulate(sizes)]
    parts = [Result() for _ in sizes]
    first = parts[0]
    first.measures, first.logs, first.degraded = result.measures, result.logs, result.degraded
    first.writes, first.publications, first.late = result.writes, result.publications, result.late
    for produced in result.produced:
        for at, own in _split_messages(produced, ends):
            parts[at].produced.append(own)
    for letter in result.dead:
        at = bisect_right(ends, letter.record)
        place = letter.record - (ends[at] - sizes[at])
        parts[at].dead.append(replace(letter, record=place))
    return parts


def _split_messages(produced: Produced, ends: Sequence[int]) -> Iterator[tuple[int, Produced]]:
    """The messages of each part that has some, in order."""
    found: dict[int, tuple[list[bytes | None], list[bytes], list[int]]] = {}
    for key, value, record in zip(produced.keys, produced.values, produced.records, strict=True):
        at = bisect_right(ends, record)
        keys, values, records = found.setdefault(at, ([], [], []))
        keys.append(key)
        values.append(value)
        records.append(record - (ends[at - 1] if at else 0))
    for at, messages in found.items():
        yield at, Produced(produced.topic, *messages)
