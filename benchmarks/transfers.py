"""Transfers: the events of the benchmark, about 655 bytes each, history included."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import orjson

from gress_ml.dwcp.dataset import REGIONS, START_MS
from gress_ml.dwcp.hosts import Host
from gress_ml.dwcp.links import LINKS, Link
from gress_ml.dwcp.payloads import PAYLOAD_TYPES
from gress_ml.dwcp.transfers import Message
from gress_ml.rfc3339 import rfc3339

_REQUEST_DIGITS = 9
_SLOT = "#" * _REQUEST_DIGITS


@dataclass(frozen=True, slots=True)
class Template:
    """A transfer, encoded but for the number in its ``request_id``."""

    key: bytes
    head: bytes
    tail: bytes

    def body(self, number: int) -> bytes:
        """The event with ``request_id`` ``r-000000042`` for 42."""
        return b"%b%09d%b" % (self.head, number, self.tail)


def request_number(decision: bytes) -> int:
    """The number of the transfer that an encoded decision answers."""
    start = decision.index(b'"request_id":"r-') + 16
    return int(decision[start : start + _REQUEST_DIGITS])


def make_templates(count: int, *, vms: int = 64, seed: int = 17) -> Sequence[Template]:
    """Transfers of simulated VMs on simulated links; the same for the same seed."""
    rng = np.random.default_rng(seed)
    links = list(LINKS.values())
    paths = [Link(links[vm % len(links)], seed * 10_007 + vm) for vm in range(vms)]
    hosts = [Host(seed * 10_009 + vm) for vm in range(vms)]
    return [
        _template(make_transfer(rng, i % vms, i, paths[i % vms], hosts[i % vms]))
        for i in range(count)
    ]


def make_transfer(
    rng: np.random.Generator, vm: int, number: int, path: Link, host: Host
) -> Message:
    """One transfer as in the contract; what would need real bytes is drawn instead of measured."""
    time_ms = START_MS + number * 1000
    link, state = path.step(time_ms / 1e3), host.step()
    hde = float(rng.lognormal(1.2, 0.6))
    return {
        "request_id": f"r-{_SLOT}",
        "session_id": f"migration-2026-{vm:06d}",
        "vm_id": f"vm-host-{vm:06d}",
        "timestamp": rfc3339(time_ms),
        "link_type": link.link_type,
        "region": REGIONS[vm % len(REGIONS)],
        "network_tier": link.tier,
        "bandwidth_available_mbps": round(link.bandwidth_available_mbps, 3),
        "bandwidth_utilization": round(link.bandwidth_utilization, 2),
        "rtt_ms": round(link.rtt_ms, 4),
        "jitter_ms": round(link.jitter_ms, 4),
        "packet_loss": round(link.loss, 9),
        "payload_size": int(rng.integers(64 << 10, 2 << 20)),
        "payload_type": PAYLOAD_TYPES[int(rng.integers(len(PAYLOAD_TYPES)))],
        "entropy_estimate": round(float(rng.uniform(2.0, 8.0)), 4),
        "repetition_score": round(float(rng.uniform(0.0, 80.0)), 3),
        "compressibility_score": round(float(rng.uniform(0.0, 0.9)), 4),
        "has_baseline": bool(rng.integers(2)),
        "cpu_usage": round(state.cpu_usage, 2),
        "memory_available_mb": round(state.memory_available_mb, 1),
        "hde_compression_ratio": round(max(hde, 0.5), 5),
        "hde_delta_hit_rate": round(float(rng.uniform(0.0, 100.0)), 3),
        "amst_transfer_rate_mbps": round(link.bandwidth_available_mbps * 0.9, 3),
        "baseline_compression_ratio": round(max(hde * 0.8, 0.5), 5),
    }


def _template(transfer: Message) -> Template:
    head, _, tail = orjson.dumps(transfer).partition(_SLOT.encode())
    return Template(transfer["vm_id"].encode(), head, tail)
