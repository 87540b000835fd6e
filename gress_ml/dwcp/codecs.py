"""Codecs: really compress, send nothing, really decompress, check the bytes, say what it cost.

Times are CPU times of the threads that worked: what the work takes on an otherwise idle core. So a
busy machine does not blur them; ``hosts`` says what they become on a host with other work.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import lz4.frame
import numpy as np
import zstandard

from gress_ml.dwcp.measure import block_hashes
from gress_ml.dwcp.profiles import Profile

#: Level of the ``zstd-max`` codec and of the baseline that history records.
MAX_LEVEL, BASELINE_LEVEL = 19, 3
#: Block of the delta hit rate, in bytes.
DELTA_BLOCK = 256

_LEAST_WINDOW_LOG, _MOST_WINDOW_LOG = 16, 27


class CodecError(Exception):
    """The bytes that came out are not those that went in."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """What one profile did with one payload.

    ``compress_ms`` and ``decompress_ms`` are those of the slowest stream, ``cpu_ms`` is the sum
    over streams and both ends. ``delta_hit_rate`` is in percent, 0 without a baseline.
    """

    bytes_sent: int
    compress_ms: float
    decompress_ms: float
    cpu_ms: float
    delta_hit_rate: float = 0.0


def run(profile: Profile, data: bytes, baseline: bytes | None = None) -> Encoded:
    """Compress by the profile, decompress, compare. Raises CodecError when bytes differ.

    ``baseline`` is the version that the receiver holds; only a ``delta`` profile uses it.
    """
    known = baseline if profile.delta and baseline else None
    pieces = split(data, profile.streams)
    there = _timed(profile.codec, "compress", pieces, known)
    back = _timed(profile.codec, "decompress", there.pieces, known)
    if b"".join(back.pieces) != data:
        raise CodecError(f"{profile.codec} gave other bytes back than it got ({len(data)} bytes)")
    return Encoded(
        bytes_sent=sum(map(len, there.pieces)),
        compress_ms=there.slowest_ms,
        decompress_ms=back.slowest_ms,
        cpu_ms=there.cpu_ms + back.cpu_ms,
        delta_hit_rate=delta_hit_rate(data, known) if known else 0.0,
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
    return max(1, len(data)) / len(zstandard.ZstdCompressor(level=BASELINE_LEVEL).compress(data))


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


Step = Callable[[bytes, bytes | None], bytes]

_STEPS: dict[tuple[str, str], Step] = {
    ("zstd-max", "compress"): compress_zstd_max,
    ("zstd-max", "decompress"): decompress_zstd_max,
    ("lz4", "compress"): _lz4,
    ("lz4", "decompress"): _unlz4,
    ("raw", "compress"): _raw,
    ("raw", "decompress"): _raw,
}

# --- all pieces, timed ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Timed:
    pieces: list[bytes]
    slowest_ms: float
    cpu_ms: float


def _timed(codec: str, direction: str, pieces: Sequence[bytes], baseline: bytes | None) -> _Timed:
    step = _STEPS.get((codec, direction))
    if step is None:
        raise ValueError(f"no codec {codec!r}: there are {sorted({c for c, _ in _STEPS})}")

    def one(piece: bytes) -> tuple[bytes, float]:
        start = time.thread_time_ns()
        made = step(piece, baseline)
        return made, (time.thread_time_ns() - start) / 1e6

    if len(pieces) == 1:
        done = [one(pieces[0])]
    else:
        with ThreadPoolExecutor(len(pieces)) as pool:
            done = list(pool.map(one, pieces))
    times = [spent for _, spent in done]
    return _Timed([made for made, _ in done], max(times), sum(times))
