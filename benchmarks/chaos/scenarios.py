"""Scenarios: the table. A hundred blows over a million events in all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from benchmarks.chaos.scenario import Scenario
from benchmarks.chaos.stage import Needs
from benchmarks.chaos.subject import LEARNER, SELECTOR, SPLIT, SWAPPED, WINDOWS
from benchmarks.chaos.troubles.brokers import KILL_BROKER, RESTART_BROKER
from benchmarks.chaos.troubles.models import (
    KillInSwap,
    RegistryAway,
    SplitInRebalance,
    SwapModel,
)
from benchmarks.chaos.troubles.network import CutNetwork, SilentNetwork, SlowNetwork
from benchmarks.chaos.troubles.stores import FullDisk, KillOnFullDisk, RedisAway
from benchmarks.chaos.troubles.trouble import Kind
from benchmarks.chaos.troubles.workers import (
    CLOCK_BACK,
    CLOCK_FORWARD,
    FreezeWorker,
    Join,
    KillWorker,
    Leave,
    RestartWorker,
)

#: The session timeout, a rebalance, and some play, so that the next blow finds all at work.
_AFTER_KILL_S = 11.0

_ALL = (
    Scenario("kill", ((KillWorker(), 12),), events=125_000, rest_s=_AFTER_KILL_S),
    Scenario("rolling", ((RestartWorker(), 11),), events=100_000, rest_s=6.0),
    Scenario("zombie", ((FreezeWorker(), 5),), events=90_000, rest_s=5.0),
    Scenario("scale", ((Join(), 5), (Leave(), 5)), events=100_000, rest_s=5.0),
    Scenario(
        "static",  # a member that ends does not say so (KIP-345): a restart is like a kill
        ((KillWorker(), 5), (RestartWorker(kind=Kind.KILL, healing=None), 3)),
        events=80_000,
        rest_s=7.0,
        static_membership=True,
    ),
    Scenario("broker", ((RESTART_BROKER, 4), (KILL_BROKER, 4)), events=100_000, rest_s=9.0),
    Scenario(
        "cluster",
        ((RESTART_BROKER, 3), (KILL_BROKER, 3), (KillWorker(), 2)),
        events=80_000,
        rest_s=_AFTER_KILL_S,
        needs=Needs(brokers=3),
    ),
    Scenario(
        "network",
        ((SlowNetwork(), 3), (CutNetwork(), 3), (SilentNetwork(), 2)),
        events=85_000,
        rest_s=6.0,
        needs=Needs(network=True),
    ),
    Scenario(
        "redis",
        ((RedisAway(), 5),),
        events=50_000,
        rest_s=4.0,
        subjects=(SELECTOR,),
        needs=Needs(redis=True),
        without_history=0.5,
    ),
    Scenario(
        "disk",
        ((FullDisk(), 3), (KillOnFullDisk(), 3)),
        events=60_000,
        rest_s=5.0,
        subjects=(WINDOWS,),
        needs=Needs(small_disk=True),
    ),
    Scenario(
        "learner",  # killed in the middle of an update, and moved by a rebalance
        ((KillWorker(), 6), (Join(), 1), (Leave(), 1)),
        events=60_000,
        rest_s=_AFTER_KILL_S,
        subjects=(LEARNER,),
    ),
    Scenario(
        "weights",  # of an experiment
        ((SplitInRebalance(), 5), (KillWorker(), 2)),
        events=70_000,
        rest_s=_AFTER_KILL_S,
        subjects=(SPLIT,),
        needs=Needs(models="folder"),
    ),
    Scenario(
        "swap",
        ((SwapModel(), 6), (KillInSwap(), 2)),
        events=70_000,
        rest_s=_AFTER_KILL_S,
        subjects=(SWAPPED,),
        needs=Needs(models="folder"),
    ),
    Scenario(
        "registry",
        ((RegistryAway(), 4), (SwapModel(), 2)),
        events=60_000,
        rest_s=9.0,
        subjects=(SWAPPED,),
        needs=Needs(models="s3"),
    ),
    Scenario(
        "clock",
        ((CLOCK_FORWARD, 3), (CLOCK_BACK, 3)),
        events=60_000,
        rest_s=4.0,
        needs=Needs(clocks=True),
    ),
    Scenario(
        "mixed",
        (
            (KillWorker(), 5),
            (RestartWorker(), 3),
            (FreezeWorker(), 2),
            (Join(), 1),
            (RESTART_BROKER, 1),
            (KILL_BROKER, 1),
        ),
        events=120_000,
        rest_s=_AFTER_KILL_S,
    ),
)
SCENARIOS: Mapping[str, Scenario] = {scenario.name: scenario for scenario in _ALL}

#: What every run of the tests goes through.
SHORT = Scenario(
    "short",
    ((KillWorker(), 1), (RestartWorker(), 1), (FreezeWorker(lasts_s=8.0), 1), (KILL_BROKER, 1)),
    events=12_000,
    rest_s=5.0,
)

_QUICK_RATE = 500


def quick(scenario: Scenario) -> Scenario:
    """The same kinds of blows, one of each, over fewer events."""
    short = replace(scenario, troubles=tuple((trouble, 1) for trouble, _ in scenario.troubles))
    return replace(short, events=round(short.seconds * _QUICK_RATE))
