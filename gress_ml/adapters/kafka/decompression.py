"""Decompression with a bound: a record batch of 1 MiB may stand for gigabytes.

aiokafka decompresses a whole batch at once and as far as it goes, so whoever may write to a topic
could fill the memory of its readers. These decoders take the place of aiokafka's. What is beyond
the bound is told and passed over: :mod:`gress_ml.adapters.kafka.unreadable`.
"""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import IO

import lz4.frame
import zstandard

from gress_ml.adapters.kafka.unreadable import Unpacked, pass_over_unreadable

#: What one record batch may hold. Producers fill batches of 1 MiB or less before compression.
MAX_BATCH_BYTES = 64 << 20

_MODULES = (
    "aiokafka.record._crecords.default_records",
    "aiokafka.record._crecords.legacy_records",
    "aiokafka.record.default_records",
    "aiokafka.record.legacy_records",
)


class BatchTooLargeError(ValueError):
    """A record batch that holds more than any producer puts into one."""


@cache
def bound_decompression() -> None:
    """From now on aiokafka's consumers of this process decompress with a bound.

    Snappy stays as it is: its format gives at most 22 bytes for each one that it takes.
    """
    decoders = {"gzip_decode": _gzip, "lz4_decode": _lz4, "zstd_decode": _zstd}
    for name in _MODULES:
        try:
            module = import_module(name)
        except ImportError:  # aiokafka without its C extensions
            continue
        for decoder, bounded in decoders.items():
            if hasattr(module, decoder):
                setattr(module, decoder, bounded)
    pass_over_unreadable()


def _gzip(payload: bytes) -> bytes:
    with gzip.GzipFile(fileobj=io.BytesIO(payload)) as stream:
        return _bounded(stream.read, payload)


def _lz4(payload: bytes) -> bytes:
    stream: IO[bytes]
    with lz4.frame.LZ4FrameFile(io.BytesIO(payload)) as stream:
        return _bounded(stream.read, payload)


def _zstd(payload: bytes) -> bytes:
    with zstandard.ZstdDecompressor().stream_reader(payload, read_across_frames=True) as stream:
        return _bounded(stream.read, payload)


def _bounded(read: Callable[[int], bytes], payload: bytes) -> bytes:
    data = read(MAX_BATCH_BYTES + 1)
    Unpacked.bytes += len(data)
    if len(data) > MAX_BATCH_BYTES:
        raise BatchTooLargeError(
            f"a record batch of {len(payload):,} bytes holds more than {MAX_BATCH_BYTES:,} when it "
            "is decompressed"
        )
    return data
