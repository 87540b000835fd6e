"""Agent: offers payloads, asks for decisions, moves bytes, reports outcomes; many at once."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from gress_ml.dwcp.agent.folder import Folder, Offer
from gress_ml.dwcp.agent.moving import LATE, Mover, Prepared, Result, vms_of
from gress_ml.dwcp.agent.wire import Wire
from gress_ml.dwcp.transfer_time import DEFAULT_CPU_PRICE
from gress_ml.dwcp.transfers import Message

#: Pause before a folder in which nothing changed is looked at again.
_IDLE_S = 0.5


@dataclass(frozen=True, slots=True)
class Settings:
    """How an agent works."""

    links: tuple[str, ...] = ("wan",)
    vms: int = 4
    region: str = "us-east-1"
    outstanding: int = 16  # transfers at once
    timeout_s: float = 1.0  # without a decision by then the rules decide
    rate: float | None = None  # transfers per second, at most
    passes: int | None = 1  # over the folder; None goes on until stopped
    dual_run_share: float = 0.05
    cpu_price: float = DEFAULT_CPU_PRICE
    seed: int = 17

    def __post_init__(self) -> None:
        if self.outstanding < 1 or self.timeout_s <= 0:
            raise ValueError("outstanding is at least 1 and timeout_s above 0")
        if self.rate is not None and self.rate <= 0:
            raise ValueError(f"rate is above 0 transfers per second, not {self.rate}")
        if not 0.0 <= self.dual_run_share <= 1.0:
            raise ValueError(f"dual_run_share is 0 to 1, not {self.dual_run_share}")


@dataclass(slots=True)
class Counts:
    """What an agent has done so far."""

    offered: int = 0
    late: int = 0
    failed: int = 0
    payload_bytes: int = 0
    sent_bytes: int = 0
    algorithms: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, result: Result) -> None:
        """Count one result."""
        self.late += result.reason == LATE
        self.failed += not result.arms
        self.payload_bytes += result.transfer["payload_size"]
        self.sent_bytes += result.outcome["bytes_sent"]
        self.algorithms[result.outcome["actual_algorithm"]] += 1
        self.reasons[result.reason] += 1


class Agent:
    """Moves a folder's files by the selector's decisions, at most ``outstanding`` at once.

    ``on_result`` is called on the event loop for every transfer, in the order in which they end.
    ``stop`` ends offering; what is on its way is finished. One run per agent.
    """

    def __init__(
        self,
        folder: Folder,
        wire: Wire,
        settings: Settings | None = None,
        on_result: Callable[[Result], None] | None = None,
        session_id: str = "",
    ) -> None:
        self.settings = settings or Settings()
        self.counts = Counts()
        self._folder, self._wire, self._on_result = folder, wire, on_result
        self._waiting: dict[str, asyncio.Future[Message]] = {}
        self._stopped = asyncio.Event()
        self._places = asyncio.Semaphore(self.settings.outstanding)
        self._due = 0.0  # of the next offer, where there is a rate
        links, vms = self.settings.links, self.settings.vms
        self._mover = Mover(
            vms_of(links, vms, self.settings.seed, self.settings.region),
            session_id or f"s-{time.time_ns() // 1_000_000:x}",
            self.settings.dual_run_share,
            self.settings.cpu_price,
        )

    def stop(self) -> None:
        """Offer nothing more. Call it on the event loop, e.g. from a signal handler."""
        self._stopped.set()

    async def run(self) -> Counts:
        """Work until the passes are done or ``stop``. Raises BrokerUnavailable."""
        await self._wire.start()
        try:
            async with asyncio.TaskGroup() as group:
                reader = group.create_task(self._read_decisions())
                await self._offer_all()
                reader.cancel()
        except ExceptionGroup as failures:
            raise _first(failures) from None
        finally:
            await self._wire.stop()
        return self.counts

    # --- inner parts ------------------------------------------------------------------------------

    async def _offer_all(self) -> None:
        """Pass after pass; one begins when all of the last one has arrived."""
        passes = 0
        while not self._stopped.is_set() and passes != self.settings.passes:
            passes += 1
            before = self.counts.offered
            await self._one_pass()
            if self.counts.offered == before and self.settings.passes is None:
                await self._pause(_IDLE_S)

    async def _one_pass(self) -> None:
        offers = self._folder.one_pass()
        async with asyncio.TaskGroup() as group:
            # Reading files and changing them would hold the event loop up.
            while (offer := await asyncio.to_thread(next, offers, None)) is not None:
                await self._pause(self._due - time.monotonic())
                await self._places.acquire()
                if self._stopped.is_set():
                    break
                if self.settings.rate is not None:
                    self._due = max(self._due, time.monotonic()) + 1.0 / self.settings.rate
                self.counts.offered += 1
                group.create_task(self._one(offer))

    async def _pause(self, seconds: float) -> None:
        if seconds > 0:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), seconds)

    async def _one(self, offer: Offer) -> None:
        try:
            ticket = self._mover.ticket(offer, _now_ms())
            prepared = await asyncio.to_thread(self._mover.prepare, ticket)
            asked = time.monotonic()
            decision = await self._ask(prepared)
            decision_ms = None if decision is None else (time.monotonic() - asked) * 1000
            result = await asyncio.to_thread(self._mover.report, prepared, decision, _now_ms())
            result = replace(result, decision_ms=decision_ms)
            self._mover.learn(prepared, result)
            await self._wire.report(result.outcome)
        finally:
            self._places.release()
        self.counts.add(result)
        if self._on_result is not None:
            self._on_result(result)

    async def _ask(self, prepared: Prepared) -> Message | None:
        """The decision; None when it does not come in time."""
        request = prepared.transfer["request_id"]
        answer = self._waiting[request] = asyncio.get_running_loop().create_future()
        try:
            await self._wire.offer(prepared.transfer)
            return await asyncio.wait_for(answer, self.settings.timeout_s)
        except TimeoutError:
            return None
        finally:
            del self._waiting[request]

    async def _read_decisions(self) -> None:
        """Hands each decision to who waits for it; those of other agents and repeats are not."""
        while True:
            for decision in await self._wire.receive():
                answer = self._waiting.get(str(decision.get("request_id")))
                if answer is not None and not answer.done():
                    answer.set_result(decision)


def _first(failures: BaseExceptionGroup[Any]) -> BaseException:
    """The error that started it, out of the groups that tasks wrap around it."""
    error = failures.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
