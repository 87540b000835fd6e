"""Labelling: the second stage. Measured payloads on links and hosts: times, costs, history, label.

Nothing is compressed here, so a change of the link model costs seconds, not a new measurement.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import nan
from operator import attrgetter
from typing import Any

import numpy as np

from gress_ml.dwcp.codecs import Encoded, Work
from gress_ml.dwcp.dataset.columns import ARM_FIELDS, arm_column
from gress_ml.dwcp.dataset.fleet import Vm, fleet
from gress_ml.dwcp.dataset.noise import Noise
from gress_ml.dwcp.dataset.recipe import Labelling
from gress_ml.dwcp.events import HISTORY_FIELDS, HISTORY_KEY
from gress_ml.dwcp.history import History, Row, observation
from gress_ml.dwcp.hosts import Host
from gress_ml.dwcp.links import LINKS, REGIONS, Link
from gress_ml.dwcp.profiles import ALGORITHMS, AMST, HDE
from gress_ml.dwcp.transfers import Arm, Message, Place, Traits, a_moment_later, arm_of, describe
from gress_ml.features.keys import SEPARATOR

# Faster than dataclasses.asdict, which copies deeply: this is done for every row.
_values = attrgetter(*ARM_FIELDS)
_ARM_COLUMNS = {name: [arm_column(name, field) for field in ARM_FIELDS] for name in ALGORITHMS}

#: ``observed`` of a transfer on which all arms were run.
ALL = "all"


@dataclass(frozen=True, slots=True)
class Measured:
    """One measured payload. ``again`` holds a second measurement, where there is one."""

    about: Mapping[str, Any]  # ids, as in the columns
    traits: Traits
    arms: Mapping[str, Encoded]
    streams: Mapping[str, int]
    baseline_ratio: float
    again: Mapping[str, Encoded] | None

    @classmethod
    def of(cls, row: Mapping[str, Any], streams: int) -> Measured:
        """From a line of a part file."""
        ids = ("payload_id", "object_id", "source_id", "cohort", "version")
        size, packed = row["traits"]["payload_size"], row["baseline"]["bytes_sent"]
        return cls(
            about={name: row[name] for name in ids},
            traits=Traits(**row["traits"]),
            arms={name: _encoded(arm) for name, arm in row["arms"].items()},
            streams={name: streams if name == AMST else 1 for name in ALGORITHMS},
            baseline_ratio=round(size / packed, 5),
            again={name: _encoded(arm) for name, arm in row["again"].items()}
            if "again" in row
            else None,
        )


def _encoded(arm: Mapping[str, Any]) -> Encoded:
    both = {name: Work(**arm[name]) for name in ("compress", "decompress")}
    return Encoded(**{**arm, **both})


def label(payloads: Sequence[Measured], labelling: Labelling) -> tuple[dict[str, list[Any]], Noise]:
    """The data set as columns, rows in order of time, and what repeated measurements say of it.

    A function of its arguments and the link model.
    """
    by_id = {payload.about["payload_id"]: payload for payload in payloads}
    objects: dict[int, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for payload in sorted(payloads, key=lambda one: (one.about["object_id"], one.about["version"])):
        about = payload.about
        objects[about["cohort"]][about["object_id"]].append(about["payload_id"])
    noise = Noise()
    rows = [
        row for vm in fleet(objects, labelling) for row in _rows_of(vm, by_id, labelling, noise)
    ]
    rows.sort(key=lambda row: (row["time_ms"], row["request_id"]))
    return {name: [row[name] for row in rows] for name in rows[0]}, noise


def _rows_of(
    vm: Vm, payloads: Mapping[str, Measured], labelling: Labelling, noise: Noise
) -> Iterator[dict[str, Any]]:
    seed = labelling.seed
    link_seed = seed * 10_007 + vm.number
    link, host = Link(LINKS[vm.link_type], link_seed), Host(seed * 10_009 + vm.number)
    rng = np.random.default_rng((seed, vm.number))
    region = REGIONS[int(rng.integers(len(REGIONS)))]
    past = _Past(History(labelling.alpha))
    for number, (time_s, payload_id) in enumerate(vm.sends):
        payload, time_ms = payloads[payload_id], int(time_s * 1e3)
        before = Place(link.step(time_s), host.step(), region)
        during = a_moment_later(before, rng)
        transfer = describe(
            payload.traits,
            before,
            request_id=f"r-{vm.number}-{number}",
            session_id=f"s-{vm.number}",
            vm_id=f"vm-{vm.number}",
            time_ms=time_ms,
        )
        arms = _arms(payload.arms, payload, during, labelling)
        best = min(ALGORITHMS, key=lambda name: arms[name].cost)
        if payload.again is not None:
            noise.add(vm.link_type, arms, _arms(payload.again, payload, during, labelling))
        observed = _observed(rng, labelling.dual_run_share)
        key = SEPARATOR.join(str(transfer[name]) for name in HISTORY_KEY).encode()
        known = past.known(key, time_ms)
        past.expect(key, time_ms, best, observed, payload, arms)
        yield {
            **transfer,
            **dict(zip(HISTORY_FIELDS, known, strict=True)),
            "time_ms": time_ms,
            "payload_class": transfer["payload_type"],
            **payload.about,
            "link_condition_id": f"{vm.link_type}-{link_seed}",
            "link_seed": link_seed,
            **_columns(arms),
            "label": best,
            "baseline_ratio": payload.baseline_ratio,
            **_legacy(transfer, arms),
            "observed": observed,
            "during_bandwidth_mbps": during.link.bandwidth_available_mbps,
            "during_rtt_ms": during.link.rtt_ms,
            "during_loss": during.link.loss,
            "during_cpu_usage": during.host.cpu_usage,
        }


def _arms(
    encoded: Mapping[str, Encoded], payload: Measured, during: Place, labelling: Labelling
) -> dict[str, Arm]:
    return {
        name: arm_of(encoded[name], payload.streams[name], during, labelling.cpu_price)
        for name in ALGORITHMS
    }


def _columns(arms: Mapping[str, Arm]) -> Message:
    return {
        column: value
        for name, columns in _ARM_COLUMNS.items()
        for column, value in zip(columns, _values(arms[name]), strict=True)
    }


# --- history --------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Past:
    """History as the fleet has it: an outcome counts from when it arrived, not from its start."""

    history: History
    _coming: list[tuple[int, bytes, Row]]

    def __init__(self, history: History) -> None:
        self.history, self._coming = history, []

    def known(self, key: bytes, time_ms: int) -> list[float]:
        """The averages of a key at that time, as float32, which is how the store keeps them."""
        self._coming.sort(key=lambda one: one[0])
        while self._coming and self._coming[0][0] <= time_ms:
            _, seen_key, seen = self._coming.pop(0)
            self.history.observe(seen_key, seen)
        row: list[float] = np.array(self.history.row(key), np.float32).tolist()
        return row

    def expect(
        self,
        key: bytes,
        time_ms: int,
        best: str,
        observed: str,
        payload: Measured,
        arms: Mapping[str, Arm],
    ) -> None:
        """Take note of a transfer that has begun: what it will teach, and when."""
        used = best if observed == ALL else observed
        ran = arms if observed == ALL else {observed: arms[observed]}
        ratio = payload.baseline_ratio if observed == ALL else nan
        seen = observation(
            payload.traits.payload_size,
            {name: dict(zip(ARM_FIELDS, _values(arm), strict=True)) for name, arm in ran.items()},
            ratio,
        )
        self._coming.append((time_ms + int(arms[used].total_ms) + 1, key, seen))


def _observed(rng: np.random.Generator, dual_run_share: float) -> str:
    """All arms on the dual-run share, else one by chance: no model is favoured by what was seen."""
    dual, one = rng.random() < dual_run_share, int(rng.integers(len(ALGORITHMS)))
    return ALL if dual else ALGORITHMS[one]


# --- the utility of old ---------------------------------------------------------------------------


def _legacy(transfer: Message, arms: Mapping[str, Arm]) -> Message:
    """The winner by the telemetry plan's formula, kept for comparison only.

    ``ratio * bandwidth / (latency * cpu * 0.01 + 1e-6)`` for hde and ``rate * bandwidth * 0.01 /
    (…)`` for amst, with latency in ms and cpu in percent of that latency.
    """
    bandwidth = transfer["bandwidth_available_mbps"]
    hde, amst = arms[HDE], arms[AMST]
    ratio = transfer["payload_size"] / max(1, hde.bytes_sent)
    rate = amst.bytes_sent * 8 / 1e3 / amst.transfer_ms
    utility = {
        HDE: ratio * bandwidth / _load(hde),
        AMST: rate * bandwidth * 0.01 / _load(amst),
    }
    best = HDE if utility[HDE] > utility[AMST] else AMST
    return {"legacy_algorithm": best, "legacy_utility": utility[best]}


def _load(arm: Arm) -> float:
    cpu_percent = min(100.0, 100.0 * arm.cpu_ms / arm.total_ms)
    return arm.total_ms * cpu_percent * 0.01 + 1e-6
