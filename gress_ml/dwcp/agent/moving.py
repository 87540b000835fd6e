"""Moving: one transfer from measuring to reporting, without topics and without waiting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from math import nan
from typing import Any

import numpy as np

from gress_ml.dwcp.agent.folder import Offer
from gress_ml.dwcp.codecs import CodecError, baseline_ratio
from gress_ml.dwcp.events import HISTORY_KEY
from gress_ml.dwcp.history import History, observation
from gress_ml.dwcp.hosts import Host
from gress_ml.dwcp.links import Link, link_profile
from gress_ml.dwcp.profiles import Profile, profiles
from gress_ml.dwcp.rules import choose_one
from gress_ml.dwcp.transfer_time import DEFAULT_CPU_PRICE
from gress_ml.dwcp.transfers import (
    Arm,
    Message,
    Place,
    a_moment_later,
    describe,
    failure_of,
    outcome_of,
    run_arm,
    traits_of,
)
from gress_ml.features.keys import SEPARATOR

#: ``reason`` of a result whose decision did not come in time, or made no sense.
LATE, UNUSABLE = "decision_late", "decision_unusable"


@dataclass(frozen=True, slots=True)
class Ticket:
    """An offer with its name, its VM and what the link and the host are like."""

    offer: Offer
    request_id: str
    vm_id: str
    time_ms: int
    before: Place  # as measured before the transfer
    during: Place  # as it will be


@dataclass(frozen=True, slots=True)
class Prepared:
    """A transfer that is measured and announced, and waits for its decision."""

    ticket: Ticket
    transfer: Message
    rules_choice: str


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one transfer.

    ``reason`` is the decision's own, ``decision_late`` or ``decision_unusable``. ``arms`` holds
    what was really run: all profiles on the dual-run share, else the one that was used.
    """

    transfer: Message
    decision: Message | None
    outcome: Message
    reason: str
    rules_choice: str
    arms: Mapping[str, Arm] = field(default_factory=dict)
    decision_ms: float | None = None  # from the offer to the decision; None when none came

    @property
    def total_ms(self) -> float | None:
        """What the transfer took; None when it failed."""
        used = self.arms.get(self.outcome["actual_algorithm"])
        return None if used is None else used.total_ms

    @property
    def rules_total_ms(self) -> float | None:
        """What it takes the way that the rules choose; None where that was not run."""
        arm = self.arms.get(self.rules_choice)
        return None if arm is None else arm.total_ms

    @property
    def best_total_ms(self) -> float | None:
        """What it takes the cheapest way; None where not all ways were run."""
        if len(self.arms) < len(profiles()):
            return None
        return min(self.arms.values(), key=lambda arm: arm.cost).total_ms


@dataclass(slots=True)
class Vm:
    """A virtual machine that sends: its link and its host, seeded."""

    vm_id: str
    link: Link
    host: Host
    region: str


def vms_of(links: tuple[str, ...], count: int, seed: int, region: str) -> list[Vm]:
    """``count`` VMs; the kinds of link take turns. Raises ValueError for an unknown kind."""
    if not links or count < 1:
        raise ValueError("an agent needs at least one link and one VM")
    kinds = [link_profile(name) for name in links]
    return [
        Vm(
            f"vm-{number}",
            Link(kinds[number % len(kinds)], seed * 10_007 + number),
            Host(seed * 10_009 + number),
            region,
        )
        for number in range(count)
    ]


@dataclass(slots=True)
class Mover:
    """Turns offers into messages and results. Its history is what the rules need to choose."""

    vms: list[Vm]
    session_id: str
    dual_run_share: float = 0.05
    cpu_price: float = DEFAULT_CPU_PRICE
    _history: History = field(default_factory=History)
    _count: int = 0

    def ticket(self, offer: Offer, time_ms: int) -> Ticket:
        """Give the offer to its VM; in order, so a seed gives the same links and loads again."""
        number = offer.piece.owner % len(self.vms)
        vm = self.vms[number]
        self._count += 1
        before = Place(vm.link.step(time_ms / 1e3), vm.host.step(), vm.region)
        during = a_moment_later(before, np.random.default_rng((number, self._count)))
        return Ticket(offer, f"{self.session_id}-{self._count}", vm.vm_id, time_ms, before, during)

    def prepare(self, ticket: Ticket) -> Prepared:
        """Measure the payload. Changes nothing, so several threads may prepare at once."""
        transfer = describe(
            traits_of(ticket.offer.payload),
            ticket.before,
            request_id=ticket.request_id,
            session_id=self.session_id,
            vm_id=ticket.vm_id,
            time_ms=ticket.time_ms,
        )
        hde_ratio, hit_rate, _, _ = self._history.row(_key(transfer))
        choice = choose_one(
            transfer["rtt_ms"], transfer["bandwidth_available_mbps"], hde_ratio, hit_rate
        )
        return Prepared(ticket, transfer, choice)

    def move(self, prepared: Prepared, decision: Message | None) -> tuple[str, Mapping[str, Arm]]:
        """Run the decided profile, or that of the rules without a decision; why, and what it took.

        On the dual-run share all profiles are run. Raises CodecError.
        """
        ticket = prepared.ticket
        profile, reason = _decided(prepared, decision)
        dual = is_dual_run(prepared.transfer["request_id"], self.dual_run_share)
        ways = {**(profiles() if dual else {}), profile.algorithm: profile}
        arms = {
            name: run_arm(way, ticket.offer.payload, ticket.during, self.cpu_price)
            for name, way in ways.items()
        }
        return reason, {profile.algorithm: arms.pop(profile.algorithm), **arms}

    def report(self, prepared: Prepared, decision: Message | None, time_ms: int) -> Result:
        """Move the payload and say what it took; a codec that fails is an outcome too."""
        try:
            reason, arms = self.move(prepared, decision)
        except CodecError as error:
            profile, reason = _decided(prepared, decision)
            failed = failure_of(prepared.transfer, profile.algorithm, str(error), time_ms=time_ms)
            return Result(prepared.transfer, decision, failed, reason, prepared.rules_choice)
        ratio = baseline_ratio(prepared.ticket.offer.payload.data) if len(arms) > 1 else None
        outcome = outcome_of(
            prepared.transfer, next(iter(arms)), arms, time_ms=time_ms, baseline_ratio=ratio
        )
        return Result(prepared.transfer, decision, outcome, reason, prepared.rules_choice, arms)

    def learn(self, prepared: Prepared, result: Result) -> None:
        """Remember what arrived: it is the next delta's baseline and the rules' history."""
        if not result.arms:
            return
        prepared.ticket.offer.arrived()
        arms = {name: _seen(arm) for name, arm in result.arms.items()}
        ratio = result.outcome.get("baseline_ratio") or nan
        seen = observation(result.transfer["payload_size"], arms, ratio)
        self._history.observe(_key(result.transfer), seen)


def is_dual_run(request_id: str, share: float) -> bool:
    """Whether all profiles are run on this transfer: decided by a hash, so a repeat agrees."""
    digest = blake2b(request_id.encode(), digest_size=8, person=b"dual-run").digest()
    return int.from_bytes(digest, "big") < share * 2**64


def _decided(prepared: Prepared, decision: Message | None) -> tuple[Profile, str]:
    ruled = profiles()[prepared.rules_choice]
    if decision is None:
        return ruled, LATE
    algorithm, streams = decision.get("algorithm"), decision.get("streams")
    known = profiles().get(algorithm) if isinstance(algorithm, str) else None
    if known is None or type(streams) is not int or not 1 <= streams <= 256:
        return ruled, UNUSABLE
    return (
        Profile(known.algorithm, known.codec, streams, known.delta),
        str(decision.get("reason", "")),
    )


def _key(transfer: Message) -> bytes:
    return SEPARATOR.join(str(transfer[name]) for name in HISTORY_KEY).encode()


def _seen(arm: Arm) -> Mapping[str, Any]:
    return {
        "bytes_sent": arm.bytes_sent,
        "transfer_ms": arm.transfer_ms,
        "delta_hit_rate": arm.delta_hit_rate,
    }
