"""Events: transfers as the flagship gets them, of other sizes, or with keys to look up."""

from __future__ import annotations

import base64
import random
from collections.abc import Iterator
from itertools import cycle, islice

import orjson

from benchmarks.scaling.case import Log
from benchmarks.transfers import make_templates

HISTORY = (
    "hde_compression_ratio",
    "hde_delta_hit_rate",
    "amst_transfer_rate_mbps",
    "baseline_compression_ratio",
)
#: What an event of any size has: what is required, and history, so that nothing is looked up.
_LEAN = (
    "request_id",
    "vm_id",
    "timestamp",
    "link_type",
    "bandwidth_available_mbps",
    "rtt_ms",
    "payload_size",
    *HISTORY,
)
_TEMPLATES = 4096
#: Coprime to every number of keys: steps of this size reach all keys before any comes again.
_STRIDE = 7_919_999

Event = tuple[bytes, bytes]  # key and value


def events_of(log: Log) -> Iterator[Event]:
    """The events of a log, in order; the same for the same log."""
    if log.keys is not None:
        return _keyed(log.events, log.keys)
    if log.event_bytes is not None:
        return _padded(log.events, log.event_bytes)
    return _transfers(log.events)


def key_row(number: int) -> tuple[str, str, str]:
    """What the row of a key is stored under: VM, kind of payload, kind of link."""
    return f"vm-{number:07d}", "disk", "wan"


def _transfers(count: int) -> Iterator[Event]:
    for number, template in enumerate(islice(cycle(make_templates(_TEMPLATES)), count)):
        yield template.key, template.body(number)


def _padded(count: int, size: int) -> Iterator[Event]:
    """Of about ``size`` bytes: what is over is in many small fields that no step reads."""
    noise = random.Random(17)
    made = []
    for template in make_templates(_TEMPLATES if size < 5_000 else 512):
        transfer = orjson.loads(template.body(0))
        lean = {name: transfer[name] for name in _LEAN}
        lean |= _padding(size - len(orjson.dumps(lean)), noise)
        made.append((template.key, orjson.dumps(lean)))
    return islice(cycle(made), count)


def _padding(size: int, noise: random.Random) -> dict[str, str | float]:
    """Texts and numbers in turn, with their names about 32 bytes each."""
    fields: dict[str, str | float] = {}
    for number in range(max(0, size) // 32):
        text = base64.b64encode(noise.randbytes(12)).decode()
        value = text if number % 2 else round(noise.uniform(1e3, 1e4), 10)
        fields[f"unread_{number:04d}"] = value
    return fields


def _keyed(count: int, keys: int) -> Iterator[Event]:
    """Without history, so that the store is asked for each; the keys in scattered order."""
    transfer = orjson.loads(make_templates(1)[0].body(0))
    lean = {name: value for name, value in transfer.items() if name not in HISTORY}
    _, payload_type, link_type = key_row(0)
    lean |= {"vm_id": "@", "payload_type": payload_type, "link_type": link_type}
    head, _, tail = orjson.dumps(lean).partition(b"@")
    for number in range(count):
        key = key_row(number * _STRIDE % keys)[0].encode()
        yield key, head + key + tail
