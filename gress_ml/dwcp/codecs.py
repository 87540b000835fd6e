"""Codecs: really compress, send nothing, really decompress, check the bytes, say what it cost.

Times are CPU times: what the work takes on an otherwise idle core. So a busy machine does not blur
them; ``hosts`` says what they become on a host with other work. Wall times are noted beside them
and used for nothing. Pieces for parallel streams are worked on one after another, each timed alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

import lz4.frame
import numpy as np
import zstandard

from gress_ml.dwcp.measure import block_hashes
from gress_ml.dwcp.profiles import Profile

#: Level of the ``zstd-max`` codec and of the baseline that history records.
MAX_LEVEL, BASELINE_LEVEL = 19, 3
#: Block of the delta hit rate, in bytes.
DELTA_BLOCK = 256
#: Work that takes less CPU time than this is short: one run of it says too little.
SHORT_MS = 20.0

_LEAST_WINDOW_LOG, _MOST_WINDOW_LOG = 16, 27


class CodecError(Exception):
    """The bytes that came out are not those that went in."""


@dataclass(frozen=True, slots=True)
class Work:
    """One direction over all streams, in milliseconds."""

    cpu_ms: float  # sum over streams
    slowest_ms: float  # CPU time of the slowest stream
    wall_ms: float  # as it happened here, one stream after another


@dataclass(frozen=True, slots=True)
class Encoded:
    """What one profile did with one payload. ``delta_hit_rate`` in percent, 0 without baseline."""

    bytes_sent: int
    compress: Work
    decompress: Work
    delta_hit_rate: float = 0.0
    verified_bytes: int = 0  # compared after the round trip

    @property
    def cpu_ms(self) -> float:
        """CPU time over streams and both ends."""
        return self.compress.cpu_ms + self.decompress.cpu_ms


def run(profile: Profile, data: bytes, baseline: bytes | None = None, repeats: int = 1) -> Encoded:
    """Compress by the profile, decompress, compare. Raises CodecError when bytes differ.

    ``baseline`` is the version that the receiver holds; only a ``delta`` profile uses it. With
    ``repeats`` above 1 work of less than ``SHORT_MS`` is done that often and the median counts.
    """
    known = baseline if profile.delta and baseline else None
    pieces = split(data, profile.streams)
    there = _timed(profile.codec, "compress", pieces, known, repeats)
    back = _timed(profile.codec, "decompress", there.pieces, known, repeats)
    if b"".join(back.pieces) != data:
        raise CodecError(f"{profile.codec} gave other bytes back than it got ({len(data)} bytes)")
    return Encoded(
        bytes_sent=sum(map(len, there.pieces)),
        compress=there.work,
        decompress=back.work,
        delta_hit_rate=delta_hit_rate(data, known) if known else 0.0,
        verified_bytes=len(data),
    )


def split(data: bytes, streams: int) -> list[bytes]:
    """The payload in up to ``streams`` pieces of nearly equal size; at least one, maybe empty."""
    size = max(1, -(-len(data) // streams))
    return [data[start : start + size] for start in range(0, len(data), size)] or [b""]


def delta_hit_rate(data: bytes, baseline: bytes) -> float:
    """Percent 0–100 of aligned 256-byte blocks that occur, aligned, anywhere in the baseline."""
    hashes = block_hashes(data, DELTA_BLOCK)
    if not len(hashes):
        return 0.0
    return 100.0 * float(np.mean(np.isin(hashes, block_hashes(baseline, DELTA_BLOCK))))


def baseline_ratio(data: bytes) -> float:
    """Bytes in per byte out of plain zstd-3, the yardstick that history records."""
    return max(1, len(data)) / len(_zstd_3(data, None))


# --- one piece ------------------------------------------------------------------------------------


def compress_zstd_max(data: bytes, baseline: bytes | None) -> bytes:
    """zstd level 19 with a window over baseline and payload, the baseline as raw dictionary."""
    known = baseline or b""
    window = (len(data) + len(known)).bit_length()
    parameters = zstandard.ZstdCompressionParameters.from_level(
        MAX_LEVEL,
        source_size=len(data),
        dict_size=len(known),
        window_log=min(_MOST_WINDOW_LOG, max(_LEAST_WINDOW_LOG, window)),
    )
    compressor = zstandard.ZstdCompressor(
        dict_data=_dictionary(known), compression_params=parameters
    )
    return compressor.compress(data)


def decompress_zstd_max(packed: bytes, baseline: bytes | None) -> bytes:
    """The payload again; needs the same baseline."""
    decompressor = zstandard.ZstdDecompressor(
        dict_data=_dictionary(baseline or b""), max_window_size=1 << _MOST_WINDOW_LOG
    )
    return decompressor.decompress(packed)


def _dictionary(baseline: bytes) -> zstandard.ZstdCompressionDict | None:
    # zstd takes no raw dictionary below 8 bytes.
    if len(baseline) < 8:
        return None
    return zstandard.ZstdCompressionDict(baseline, dict_type=zstandard.DICT_TYPE_RAWCONTENT)


def _lz4(data: bytes, baseline: bytes | None) -> bytes:
    return bytes(lz4.frame.compress(data))


def _unlz4(packed: bytes, baseline: bytes | None) -> bytes:
    return bytes(lz4.frame.decompress(packed))


def _raw(data: bytes, baseline: bytes | None) -> bytes:
    return data


def _zstd_3(data: bytes, baseline: bytes | None) -> bytes:
    return zstandard.ZstdCompressor(level=BASELINE_LEVEL).compress(data)


def _unzstd_3(packed: bytes, baseline: bytes | None) -> bytes:
    return zstandard.ZstdDecompressor().decompress(packed)


Step = Callable[[bytes, bytes | None], bytes]

_STEPS: dict[tuple[str, str], Step] = {
    ("zstd-max", "compress"): compress_zstd_max,
    ("zstd-max", "decompress"): decompress_zstd_max,
    ("lz4", "compress"): _lz4,
    ("lz4", "decompress"): _unlz4,
    ("raw", "compress"): _raw,
    ("raw", "decompress"): _raw,
    ("zstd-3", "compress"): _zstd_3,
    ("zstd-3", "decompress"): _unzstd_3,
}

# --- all pieces, timed ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Timed:
    pieces: list[bytes]
    work: Work


def _timed(
    codec: str, direction: str, pieces: Sequence[bytes], baseline: bytes | None, repeats: int
) -> _Timed:
    step = _STEPS.get((codec, direction))
    if step is None:
        raise ValueError(f"no codec {codec!r}: there are {sorted({c for c, _ in _STEPS})}")
    made: list[bytes] = []
    cpu: list[float] = []
    wall: list[float] = []
    for piece in pieces:
        runs = [_once(step, piece, baseline)]
        while len(runs) < repeats and runs[0][1] < SHORT_MS:
            runs.append(_once(step, piece, baseline))
        made.append(runs[0][0])
        cpu.append(median(spent for _, spent, _ in runs))
        wall.append(median(spent for _, _, spent in runs))
    return _Timed(made, Work(sum(cpu), max(cpu), sum(wall)))


def _once(step: Step, piece: bytes, baseline: bytes | None) -> tuple[bytes, float, float]:
    wall, cpu = time.perf_counter_ns(), time.thread_time_ns()
    made = step(piece, baseline)
    return made, (time.thread_time_ns() - cpu) / 1e6, (time.perf_counter_ns() - wall) / 1e6
