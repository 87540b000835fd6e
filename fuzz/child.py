"""Child: a process that loads graphs, so that a run-time library that crashes takes only it along.

``python -m fuzz.child`` reads inputs from standard input, each behind its length (8 bytes, little
endian), and answers each the same way; ``Child`` is the other side. With ``raw`` a TFLite file has
no trial before it is loaded: that is a hundred times quicker, and what crashes is tried with it.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import re
import resource
import select
import signal
import struct
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np

from gress_ml.bundle import Bundle, Manifest
from gress_ml.errors import ModelError
from gress_ml.inference import load_predictor, tflite, warm_up
from gress_ml.registry.safety import Limits, entry_of

_LENGTH = struct.Struct("<Q")
_MEMORY_BYTES = 6 << 30
_SLOW_S = 50.0  # after which the child tells where it is; before it is ended
_BROKEN = b"broken: "


class Crashed(Exception):  # noqa: N818 - reads as the fact it states
    """The run-time library took the process along."""


class Child:
    """Loads graphs in another process, which is started again when it dies."""

    def __init__(self, *, raw: bool, limit_s: float = 60.0) -> None:
        self._arguments = ["raw"] if raw else []
        self._limit_s = limit_s
        self._process: subprocess.Popen[bytes] | None = None
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed in close()

    def load(self, data: bytes) -> str:
        """How the graph was taken. Raises Crashed, or AssertionError for an error of ours."""
        process = self._alive()
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(_LENGTH.pack(len(data)) + data)
            process.stdin.flush()
        answer = self._answer(process.stdout)
        if answer is None:
            raise Crashed(self._death(process, data))
        if answer.startswith(_BROKEN):
            raise AssertionError(answer.removeprefix(_BROKEN).decode())
        return answer.decode()

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None
        self._errors.close()

    def _alive(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            self._errors.truncate(0)
            self._errors.seek(0)
            self._process = subprocess.Popen(
                [sys.executable, "-m", "fuzz.child", *self._arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                cwd=Path(__file__).parents[1],
            )
        return self._process

    def _answer(self, pipe: IO[bytes]) -> bytes | None:
        """The next answer; None when the process died or took too long."""
        end = time.monotonic() + self._limit_s
        wanted, found = _LENGTH.size, b""
        while len(found) < wanted:
            ready, _, _ = select.select([pipe], [], [], max(0.0, end - time.monotonic()))
            part = os.read(pipe.fileno(), wanted - len(found)) if ready else b""
            if not part:
                return None
            found += part
            if wanted == _LENGTH.size == len(found):
                wanted += _LENGTH.unpack(found)[0]
        return found[_LENGTH.size :]

    def _death(self, process: subprocess.Popen[bytes], data: bytes) -> str:
        """How it ended and what it was about."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.5)
        code = process.poll()
        process.kill()
        process.communicate()
        self._process = None
        self._errors.seek(0)
        said = self._errors.read()[-4000:].decode("utf-8", "replace")
        how = f"more than {self._limit_s:g} s" if code is None else _ending(code)
        frame = re.search(r'File ".*?([^/"]+)", line \d+ in (\w+)', said)
        place = f"{frame[1]}:{frame[2]}" if frame else "?"
        return f"{data.partition(b'.')[2][:6].split()[0].decode()}: {how} in {place}\n{said}"


def _ending(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit status {code}"


# --- in the child ---------------------------------------------------------------------------------


def main() -> None:
    """Answer inputs until there are no more."""
    faulthandler.enable()
    if sys.argv[1:] == ["raw"]:
        tflite.trial = lambda *_, **__: None
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # a library that prints does not get between the answers
    with tempfile.TemporaryDirectory() as folder:
        for data in _inputs(sys.stdin.buffer):
            faulthandler.dump_traceback_later(_SLOW_S)
            answer = _tried(Path(folder), data)
            faulthandler.cancel_dump_traceback_later()
            out.write(_LENGTH.pack(len(answer)) + answer)
            out.flush()


def _inputs(pipe: IO[bytes]) -> Iterator[bytes]:
    while len(head := pipe.read(_LENGTH.size)) == _LENGTH.size:
        yield pipe.read(_LENGTH.unpack(head)[0])


def _tried(folder: Path, data: bytes) -> bytes:
    try:
        return _loaded(folder, data).encode("utf-8", "replace")
    except Exception:
        return _BROKEN + traceback.format_exc().encode("utf-8", "replace")


def _loaded(folder: Path, data: bytes) -> str:
    """Load a graph as a bundle's only file, and ask it; ModelError is a good answer."""
    name, _, content = data.partition(b"\n")
    path = folder / ("model.tflite" if name == b"model.tflite" else "model.onnx")
    path.write_bytes(content)
    try:
        entry = entry_of(folder, path, Limits())
        manifest = Manifest(name="fuzz", version="1.0.0", files={"model": entry})
        predictor = load_predictor(Bundle(folder, manifest))
        warm_up(predictor, [1, 5])
        odd = [np.full((3, t.width or 1), np.nan) for t in predictor.inputs]
        if all(tensor.dtype.kind == "f" for tensor in predictor.inputs):
            predictor.predict(*odd)
    except ModelError as error:
        return str(error).replace(str(folder), "")
    return "loads"


if __name__ == "__main__":
    main()
