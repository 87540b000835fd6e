"""Samples: a few transfers, measured on the spot by running every profile on made bytes.

They are a list of the messages that agents send: each transfer with its outcome, ``arms`` for
all profiles. So recorded traffic with dual runs can be trained on just as well. Simulated VMs on
seeded links and hosts move real bytes; what compression costs is measured, not modelled.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import orjson

from gress_ml.dwcp.codecs import baseline_ratio
from gress_ml.dwcp.dataset.fleet import START_MS
from gress_ml.dwcp.dataset.synthetic import KINDS, Corpus, generate, sizes
from gress_ml.dwcp.hosts import Host
from gress_ml.dwcp.links import LINKS, REGIONS, Link
from gress_ml.dwcp.payloads import mutate
from gress_ml.dwcp.profiles import profiles
from gress_ml.dwcp.transfer_time import DEFAULT_CPU_PRICE
from gress_ml.dwcp.transfers import (
    Message,
    Payload,
    Place,
    a_moment_later,
    describe,
    outcome_of,
    run_arm,
    traits_of,
)


@dataclass(frozen=True, slots=True)
class Plan:
    """How much to measure."""

    vms: int = 64
    transfers_per_vm: int = 64
    least_bytes: int = 4 << 10
    most_bytes: int = 2 << 20
    seed: int = 17
    cpu_price: float = DEFAULT_CPU_PRICE
    interval_s: float = 600.0  # between two transfers of a VM


@dataclass(frozen=True, slots=True)
class Sample:
    """One transfer and its outcome with all arms."""

    transfer: Message
    outcome: Message


@dataclass(slots=True)
class _Object:
    """A file or memory region of a VM, in its present version and the one last sent."""

    kind: str
    data: bytes
    dirty: float
    sent: bytes | None = None


def measure_samples(plan: Plan, workers: int = 1) -> list[Sample]:
    """Run every profile on every transfer of the plan; in order of time.

    The transfers are a function of the plan; the measured CPU times are not.
    """
    one = partial(_measure_vm, plan)
    if workers == 1:
        per_vm = [one(vm) for vm in range(plan.vms)]
    else:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            per_vm = list(pool.map(one, range(plan.vms)))
    return sorted(
        chain.from_iterable(per_vm),
        key=lambda sample: (sample.transfer["timestamp"], sample.transfer["request_id"]),
    )


def save(samples: Sequence[Sample], path: Path) -> None:
    """One JSON object per line: ``{"transfer": …, "outcome": …}``."""
    lines = (
        orjson.dumps({"transfer": sample.transfer, "outcome": sample.outcome}) for sample in samples
    )
    path.write_bytes(b"\n".join(lines) + b"\n")


def load(path: Path) -> list[Sample]:
    """What :func:`save` wrote. Raises ValueError that names the bad line."""
    samples = []
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            both = orjson.loads(line)
            samples.append(Sample(both["transfer"], both["outcome"]))
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise ValueError(f"{path}:{number}: not a sample: {error}") from error
    return samples


def _measure_vm(plan: Plan, vm: int) -> list[Sample]:
    return list(_samples_of(plan, vm, Corpus.of_this_machine()))


def _samples_of(plan: Plan, vm: int, corpus: Corpus) -> Iterator[Sample]:
    rng = np.random.default_rng((plan.seed, vm))
    # Kinds of link take turns, so each is there equally often.
    profile = list(LINKS.values())[vm % len(LINKS)]
    region = REGIONS[int(rng.integers(len(REGIONS)))]
    link, host = Link(profile, plan.seed * 10_007 + vm), Host(plan.seed * 10_009 + vm)
    objects = _objects(plan, corpus, rng)
    for number in range(plan.transfers_per_vm):
        time_s = START_MS / 1e3 + plan.interval_s * (number + float(rng.random()))
        thing = objects[int(rng.integers(len(objects)))]
        if thing.sent is not None:
            thing.data = mutate(thing.data, thing.dirty, rng)
        before = Place(link.step(time_s), host.step(), region)
        yield _sample(plan, vm, number, time_s, Payload(thing.kind, thing.data, thing.sent), before)
        thing.sent = thing.data


def _objects(plan: Plan, corpus: Corpus, rng: np.random.Generator) -> list[_Object]:
    weights = rng.dirichlet([2.0, 1.0, 1.0, 1.0])
    return [
        _Object(
            kind := KINDS[int(rng.choice(len(KINDS), p=weights))],
            generate(kind, size, corpus, rng),
            dirty=float(rng.beta(1.0, 4.0)),
        )
        for size in sizes(rng, 8, plan.least_bytes, plan.most_bytes)
    ]


def _sample(
    plan: Plan, vm: int, number: int, time_s: float, payload: Payload, place: Place
) -> Sample:
    time_ms = int(time_s * 1e3)
    transfer = describe(
        traits_of(payload),
        place,
        request_id=f"r-{vm}-{number}",
        session_id=f"s-{vm}",
        vm_id=f"vm-{vm}",
        time_ms=time_ms,
    )
    during = a_moment_later(place, np.random.default_rng((plan.seed, vm, number)))
    arms = {
        name: run_arm(profile, payload, during, plan.cpu_price)
        for name, profile in profiles().items()
    }
    cheapest = min(arms, key=lambda name: arms[name].cost)
    outcome = outcome_of(
        transfer,
        cheapest,
        arms,
        time_ms=time_ms + int(arms[cheapest].total_ms),
        baseline_ratio=baseline_ratio(payload.data),
    )
    return Sample(transfer, outcome)
