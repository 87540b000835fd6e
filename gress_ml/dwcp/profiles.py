"""Profiles: what an algorithm's name means, as a codec and a number of streams."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

HDE = "hde"
AMST = "amst"
NONE = "none"

#: The default class list. A bundle carries its own; probabilities go by name, never by position.
ALGORITHMS = (HDE, AMST, NONE)

#: Streams of the ``amst`` profile unless the topology says otherwise.
DEFAULT_STREAMS = 4


@dataclass(frozen=True, slots=True)
class Profile:
    """One way to send a payload. ``delta`` is against the receiver's previous version, if any."""

    algorithm: str
    codec: str
    streams: int
    delta: bool = False


def profiles(amst_streams: int = DEFAULT_STREAMS) -> Mapping[str, Profile]:
    """The profile of each algorithm; ``amst`` gets the given number of parallel streams."""
    if amst_streams < 1:
        raise ValueError(f"amst needs at least 1 stream, not {amst_streams}")
    return MappingProxyType(
        {
            HDE: Profile(HDE, "zstd-max", 1, delta=True),
            AMST: Profile(AMST, "lz4", amst_streams),
            NONE: Profile(NONE, "raw", 1),
        }
    )
