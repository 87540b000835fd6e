"""Load: transfers at a steady rate, sent idempotently, through every outage of the broker."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import cycle
from math import inf

import orjson
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from benchmarks.chaos.scenario import Scenario
from benchmarks.transfers import Template, make_templates

_TICK_S = 0.02
_TEMPLATES = 8192
_VMS = 256
_HISTORY = (
    "hde_compression_ratio",
    "hde_delta_hit_rate",
    "amst_transfer_rate_mbps",
    "baseline_compression_ratio",
)
#: What an outcome says about its transfer.
_ASKED = ("request_id", "vm_id", "timestamp", "payload_type", "link_type", "payload_size")
#: Longer than any outage of a storm: what was given to the producer gets there.
_DELIVERY_S = 300


class LoadError(Exception):
    """The generator itself lost an event: the run says nothing about the workers."""


def events(scenario: Scenario, seed: int) -> Iterator[tuple[bytes, bytes]]:
    """Key and body of each transfer, without end; every so often one that cannot be decided."""
    templates: Sequence[Template] = make_templates(_TEMPLATES, vms=_VMS, seed=seed)
    for number, template in enumerate(cycle(templates)):
        body = template.body(number)
        if _every(scenario.without_history, number):
            body = _without_history(body)
        yield template.key, body[:-20] if _every(scenario.bad_share, number) else body


def outcomes(seed: int) -> Iterator[tuple[bytes, bytes]]:
    """What past transfers taught: history for the look-ups of most of ``events``."""
    for number, template in enumerate(make_templates(_TEMPLATES // 2, vms=_VMS, seed=seed)):
        transfer = orjson.loads(template.body(number))
        told = {name: transfer[name] for name in _ASKED}
        taught = {
            "actual_algorithm": "hde",
            "bytes_sent": transfer["payload_size"] // 4,
            "transfer_ms": 20.0 + number % 50,
            "delta_hit_rate": float(number % 100),
            "baseline_ratio": 1.0 + number % 7,
        }
        yield template.key, orjson.dumps(told | taught)


def _every(share: float, number: int) -> bool:
    """True for this share of all numbers, evenly spread."""
    return int((number + 1) * share) > int(number * share)


def _without_history(body: bytes) -> bytes:
    return orjson.dumps({k: v for k, v in orjson.loads(body).items() if k not in _HISTORY})


class Load:
    """Sends events, evenly spread. librdkafka: not the client under test."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._topic = topic
        self._failed: list[str] = []
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "enable.idempotence": True,
                "acks": "all",
                "partitioner": "murmur2_random",  # as aiokafka and Java place a key
                "linger.ms": 5,
                "message.timeout.ms": _DELIVERY_S * 1000,
                "reconnect.backoff.max.ms": 500,
                "queue.buffering.max.messages": 1_000_000,
                # a broker that restarts may name no leader at first: ask again soon, not in minutes
                "topic.metadata.refresh.interval.ms": 1000,
                "log_level": 2,  # a broker that is away is meant to be away
                "error_cb": self._note,
            }
        )

    def send(self, events: Iterator[tuple[bytes, bytes]], rate: float = inf) -> None:
        """Send all events, ``rate`` per second, and wait until all are acknowledged."""
        started = time.monotonic()
        for number, (key, body) in enumerate(events):
            while number / rate > time.monotonic() - started:
                self._producer.poll(_TICK_S)
            self._producer.produce(self._topic, body, key, on_delivery=self._delivered)
        left = self._producer.flush(_DELIVERY_S)
        if left or self._failed:
            raise LoadError(f"{left + len(self._failed)} events not taken: {self._failed[:3]}")

    def _delivered(self, error: KafkaError | None, _: Message) -> None:
        if error is not None:
            self._failed.append(str(error))

    @staticmethod
    def _note(error: KafkaError) -> None:
        if error.fatal():
            raise KafkaException(error)
