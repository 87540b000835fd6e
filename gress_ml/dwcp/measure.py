"""What bytes are like: four cheap numbers that are known before a transfer."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import zstandard

#: Block of the repetition score, in bytes.
BLOCK = 64

_CHUNK = 1 << 20  # histogram in pieces: bincount widens each byte to eight
_PROBE_PIECES, _PROBE_PIECE = 16, 4096
_SHINGLE_PIECES, _SHINGLE_PIECE, _SHINGLE_WORDS = 16, 16 << 10, 4
# Random odd multipliers: equal blocks get equal hashes, unequal ones almost never do.
_MULTIPLIERS = np.random.default_rng(17).integers(0, 2**63, 512, dtype=np.uint64) * 2 + 1


def entropy(data: bytes) -> float:
    """Shannon entropy of the byte histogram, in bits per byte, 0–8; 0 for no bytes."""
    if not data:
        return 0.0
    octets = np.frombuffer(data, np.uint8)
    counts = np.zeros(256, np.int64)
    for start in range(0, len(octets), _CHUNK):
        counts += np.bincount(octets[start : start + _CHUNK], minlength=256)
    shares = counts[counts > 0] / len(octets)
    return float(min(8.0, max(0.0, -np.sum(shares * np.log2(shares)))))


def block_hashes(data: bytes, block: int = BLOCK) -> npt.NDArray[np.uint64]:
    """One number per whole aligned block: equal blocks have equal numbers.

    ``block`` is a multiple of 8, at most 4096; a rest shorter than a block is left out.
    """
    if block % 8 or not 8 <= block <= 8 * len(_MULTIPLIERS):
        raise ValueError(f"block must be a multiple of 8 up to 4096, not {block}")
    whole = len(data) // block
    words = np.frombuffer(data, "<u8", count=whole * block // 8).reshape(whole, block // 8)
    hashes: npt.NDArray[np.uint64] = words @ _MULTIPLIERS[: block // 8]
    return hashes


def repetition_score(data: bytes) -> float:
    """Percent 0–100 of aligned 64-byte blocks that occurred earlier in the payload.

    0 when no block repeats or there are fewer than two; near 100 for a page of zeros.
    """
    hashes = block_hashes(data)
    if len(hashes) < 2:
        return 0.0
    return 100.0 * (len(hashes) - len(np.unique(hashes))) / len(hashes)


def compressibility_score(data: bytes) -> float:
    """Fraction 0–1 that a fast compressor saves: ``1 - zstd-1 size / size``, at least 0.

    On payloads above 64 KiB it looks at 16 pieces of 4 KiB, evenly spread.
    """
    if not data:
        return 0.0
    sample = data
    if len(data) > _PROBE_PIECES * _PROBE_PIECE:
        starts = np.linspace(0, len(data) - _PROBE_PIECE, _PROBE_PIECES).astype(int)
        sample = b"".join(data[s : s + _PROBE_PIECE] for s in starts.tolist())
    packed = len(zstandard.ZstdCompressor(level=1).compress(sample))
    return max(0.0, 1.0 - packed / len(sample))


def shingles(data: bytes) -> npt.NDArray[np.uint64]:
    """Hashes of about one in 64 of all 32-byte windows, at any offset.

    Chosen by their own hash, so the same bytes give the same shingles wherever they lie (Broder:
    On the resemblance and containment of documents, 1997).
    """
    return np.concatenate([_shingles_at(data, shift) for shift in range(8)])


def similarity(data: bytes, baseline: bytes) -> float:
    """Percent 0–100 of the payload's shingles that the baseline has too; 0 without a baseline.

    Of payloads above 256 KiB it looks at 16 pieces of 16 KiB, evenly spread; the baseline's
    shingles are of all of it, since a sender can keep them from when it sent it.
    """
    if not data or not baseline:
        return 0.0
    mine = np.concatenate([shingles(piece) for piece in _pieces(data)])
    if not len(mine):
        return 0.0
    return 100.0 * float(np.mean(np.isin(mine, shingles(baseline))))


def _pieces(data: bytes) -> list[bytes]:
    if len(data) <= _SHINGLE_PIECES * _SHINGLE_PIECE:
        return [data]
    starts = np.linspace(0, len(data) - _SHINGLE_PIECE, _SHINGLE_PIECES).astype(int)
    return [data[start : start + _SHINGLE_PIECE] for start in starts.tolist()]


def _shingles_at(data: bytes, shift: int) -> npt.NDArray[np.uint64]:
    count = (len(data) - shift) // 8
    if count < _SHINGLE_WORDS:
        return np.empty(0, np.uint64)
    words = np.frombuffer(data, "<u8", count, shift)
    windows = count - _SHINGLE_WORDS + 1
    mixed = np.full(windows, _MULTIPLIERS[8], np.uint64)
    for at in range(_SHINGLE_WORDS):
        mixed = (mixed ^ words[at : at + windows]) * _MULTIPLIERS[at]
        mixed ^= mixed >> np.uint64(29)
    chosen: npt.NDArray[np.uint64] = mixed[mixed >> np.uint64(58) == 0]
    return chosen
