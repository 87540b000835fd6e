"""Contenders: who decides in the benchmark, each as a process of its own."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from benchmarks.peers.environment import PYTHON as PEERS_PYTHON
from benchmarks.topics import BAD_DLQ, BAD_TRANSFERS, DECISIONS, TRANSFERS

ROOT = Path(__file__).parents[1]
TOPOLOGY = ROOT / "topologies" / "compression_selector.yaml"
_BIN = Path(sys.executable).parent
FAST, SLOW = 10_000, 1_000  # events per second of the open loop


class Kind(StrEnum):
    """What a contender is there for."""

    GRESS = "gress-ml"
    BARE = "bare loop"  # the limit: the same work without a framework
    PEER = "peer"


@dataclass(frozen=True, slots=True)
class Contender:
    """How to start one, and what to know about it.

    In ``argv`` and ``before``, ``{broker}`` is the broker, ``{project}`` the folder with the
    variants of the topology, and ``{fresh}`` an empty folder for this start alone.
    """

    key: str  # in bench.json and for --only
    name: str
    kind: Kind
    package: str  # whose version is shown
    settings: str
    argv: Sequence[str]
    before: Sequence[str] = ()  # a command to run first
    reads: str = TRANSFERS
    writes: Sequence[str] = (DECISIONS,)  # each event makes one record in one of them
    transactional: bool = False
    fewer: int = 1  # a slow one shows its pace in so many times fewer events
    rates: Sequence[int] = ()  # of the open loop; those that it can bear

    @property
    def group(self) -> str:
        return f"bench-{self.key}"

    @property
    def in_peers(self) -> bool:
        """Whether it needs the peers' environment."""
        return self.argv[0] == str(PEERS_PYTHON)


def gress_worker(key: str) -> list[str]:
    """How a worker of the topology of this key is started."""
    topology = "{project}/topologies/" + f"{key}.yaml"
    return [
        *(str(_BIN / "gress"), "worker", topology),
        *("--kafka", "{broker}", "--http-port", "0"),
    ]


def _python(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", module, *arguments]


def _peer(module: str, *arguments: str) -> list[str]:
    return [str(PEERS_PYTHON), "-m", module, *arguments]


def _faust(module: str) -> list[str]:
    return [
        *(str(_BIN / "faust"), "-A", f"benchmarks.peers.{module}", "-D", "{fresh}"),
        *("worker", "--without-web", "-l", "warn"),
    ]


def _bytewax(module: str) -> list[str]:
    return _peer(
        "bytewax.run", f"benchmarks.peers.{module}", "-r", "{fresh}", "-s", "30", "-b", "0"
    )


_BYTEWAX_STORE = _peer("bytewax.recovery", "{fresh}", "1")

GRESS = Contender(
    "gress",
    "gress-ml",
    Kind.GRESS,
    "gress-ml",
    "the topology as it ships, with its defaults",
    gress_worker("gress"),
    rates=(FAST, SLOW),
)
BARE = Contender(
    "bare",
    "bare aiokafka",
    Kind.BARE,
    "aiokafka",
    "getmany(2048), msgspec, send_batch; commit 200 ms",
    _python("benchmarks.bare"),
    rates=(FAST,),
)
#: In the order of the run: those that are compared with each other stand side by side, so that
#: they meet the same noise.
CONTENDERS = (
    GRESS,
    Contender(
        "bad_1pct",
        "gress-ml, 1 % of the events damaged",
        Kind.GRESS,
        "gress-ml",
        "as gress-ml; one event in 100 is cut short and becomes a dead letter",
        gress_worker("bad_1pct"),
        reads=BAD_TRANSFERS,
        writes=(DECISIONS, BAD_DLQ),
    ),
    Contender(
        "exactly_once",
        "gress-ml, exactly once",
        Kind.GRESS,
        "gress-ml",
        "guarantee: exactly_once, commit_interval: 100ms; read_committed",
        gress_worker("exactly_once"),
        transactional=True,
        rates=(FAST,),
    ),
    BARE,
    Contender(
        "bare_exactly_once",
        "bare aiokafka, exactly once",
        Kind.BARE,
        "aiokafka",
        "a transactional producer per partition, commit 100 ms; read_committed",
        _python("benchmarks.bare_transactions"),
        transactional=True,
        rates=(FAST,),
    ),
    Contender(
        "bare_confluent",
        "bare confluent-kafka, orjson",
        Kind.BARE,
        "confluent-kafka",
        "consume(512), orjson without checks, produce, linger 1 ms; commit 200 ms",
        _python("benchmarks.bare_confluent", "plain"),
        rates=(FAST,),
    ),
    Contender(
        "bare_confluent_typed",
        "bare confluent-kafka, msgspec",
        Kind.BARE,
        "confluent-kafka",
        "the same with msgspec, types and ranges checked",
        _python("benchmarks.bare_confluent", "typed"),
    ),
    Contender(
        "bytewax_batched",
        "Bytewax, in batches",
        Kind.PEER,
        "bytewax",
        "flat_map_batch, batch_size 2048, msgspec; recovery store, snapshot 30 s",
        _bytewax("bytewax_batches"),
        _BYTEWAX_STORE,
        rates=(FAST,),
    ),
    Contender(
        "bytewax",
        "Bytewax, as documented",
        Kind.PEER,
        "bytewax",
        "map per event, batch_size 1000 (default); recovery store, snapshot 30 s",
        _bytewax("bytewax_events"),
        _BYTEWAX_STORE,
        fewer=5,
        rates=(SLOW,),
    ),
    Contender(
        "quix_batched",
        "Quix Streams, in batches",
        Kind.PEER,
        "quixstreams",
        "BatchingSink, commit_every 2048 or 0.1 s, msgspec",
        _peer("benchmarks.peers.quix_batches"),
        fewer=3,
        rates=(FAST,),
    ),
    Contender(
        "quix",
        "Quix Streams, as documented",
        Kind.PEER,
        "quixstreams",
        "apply per event, to_topic; commit 5 s (default)",
        _peer("benchmarks.peers.quix_events"),
        fewer=8,
        rates=(SLOW,),
    ),
    Contender(
        "faust_take",
        "Faust, in batches",
        Kind.PEER,
        "faust-streaming",
        "take_events(256, 10 ms), msgspec, topic.send per event; commit 2.8 s (default)",
        _faust("faust_take"),
        fewer=20,
        rates=(SLOW,),
    ),
    Contender(
        "faust_stock",
        "Faust, as documented",
        Kind.PEER,
        "faust-streaming",
        "async for per event, topic.send; commit 2.8 s (default)",
        _faust("faust_events"),
        fewer=25,
        rates=(SLOW,),
    ),
)
BY_KEY = {contender.key: contender for contender in CONTENDERS}
