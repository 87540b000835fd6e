"""Media: pictures that the system has and sheets made of them, and sound, by real encoders."""

from __future__ import annotations

import io
import wave
from collections.abc import Iterator
from functools import partial
from importlib.util import find_spec

import numpy as np

from gress_ml.dwcp.corpus.tree import Tree, states_of, tar
from gress_ml.dwcp.corpus.wish import Kind, Wish
from gress_ml.dwcp.payloads import MEDIA

_RATE = 22_050  # samples per second of sound
_BITS_PER_PIXEL = {"JPEG": 3.0, "PNG": 10.0, "WEBP": 2.0}  # about
_MOST_SIDE = {"JPEG": 4096, "PNG": 2048, "WEBP": 512}  # what each encodes in about a second


def _pictures(wish: Wish) -> Iterator[bytes]:
    picked = wish.pool.pick(MEDIA, wish.size, wish.rng)
    yield from states_of(Tree.of(picked, wish.rng), wish.states, tar)


def _no_pillow() -> str:
    return "" if find_spec("PIL") else "Pillow is not installed"


def _sheets(form: str, wish: Wish) -> Iterator[bytes]:
    """Contact sheets: pictures of the system laid on a canvas with grain, one more each time."""
    from PIL import Image  # not needed by anything else

    rng = wish.rng
    side = int(np.clip(np.sqrt(8 * wish.size / _BITS_PER_PIXEL[form]), 32, _MOST_SIDE[form]))
    found = [
        data for one in wish.pool.pick(MEDIA, 1 << 18, rng) for data in [next(one.versions(), b"")]
    ]
    slope = np.linspace(40, 200, side)[:, None, None] + rng.normal(0, 6.0, (side, side, 3))
    sheet = Image.fromarray(np.clip(slope, 0, 255).astype(np.uint8))
    for number in range(wish.states):
        for _ in range(1 if number else 24):
            data = found[int(rng.integers(len(found)))] if found else b""
            try:
                # by way of RGBA: Pillow warns of transparent colours in a palette
                picture = Image.open(io.BytesIO(data)).convert("RGBA").convert("RGB")
            except (OSError, ValueError):  # sound, or a picture that Pillow does not know
                continue
            edge = int(rng.integers(16, max(17, side // 3)))
            place = rng.integers(0, side, 2).tolist()
            sheet.paste(picture.resize((edge, edge)), (place[0], place[1]))
        made = io.BytesIO()
        sheet.save(made, form, quality=85, compress_level=3)
        yield made.getvalue()


def _sound(wish: Wish) -> Iterator[bytes]:
    """A recording in 16-bit samples, longer each time: tones that fade, over hiss."""
    rng = wish.rng
    samples = wish.size // 2
    hiss = float(rng.uniform(1.0, 300.0))
    time_s = np.arange(samples) / _RATE
    wave_form = rng.normal(0.0, hiss, samples)
    for _ in range(12):
        start = int(rng.integers(max(1, samples)))
        beat = time_s[: samples - start]
        tone = 4000.0 * np.sin(2 * np.pi * rng.uniform(80, 2000) * beat) * np.exp(-3.0 * beat)
        wave_form[start:] += tone
    recorded = np.clip(wave_form, -32768, 32767).astype("<i2")
    for share in np.sort(rng.uniform(0.4, 1.0, wish.states)).tolist():
        made = io.BytesIO()
        with wave.open(made, "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(_RATE)
            file.writeframes(recorded[: int(share * samples)].tobytes())
        yield made.getvalue()


KINDS = (
    Kind(MEDIA, "pictures", "pictures and sounds that the system holds", _pictures),
    Kind(MEDIA, "sound", "a made recording as WAV, growing", _sound),
    *(
        Kind(
            MEDIA,
            form.lower(),
            f"pictures of the system on a sheet, encoded as {form}",
            partial(_sheets, form),
            _no_pillow,
        )
        for form in ("JPEG", "PNG", "WEBP")
    ),
)
