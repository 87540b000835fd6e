"""Graphs: truncated and bit-flipped ONNX and TFLite files, loaded in a child process."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import ClassVar

from fuzz import bytes_mutation
from fuzz.child import Child, Crashed
from fuzz.target import Target, require

_DATA = Path(__file__).parents[2] / "tests" / "data"


class Graphs(Target):
    """One input is ``model.onnx`` or ``model.tflite``, a line feed and the file."""

    name: ClassVar[str] = "graphs"
    law: ClassVar[str] = "A graph loads or is a ModelError; the process lives."

    def __init__(self) -> None:
        self._child = Child(raw=True)
        self._careful = Child(raw=False)

    def __exit__(self, *error: object) -> None:
        self._child.close()
        self._careful.close()

    def seeds(self) -> Sequence[bytes]:
        files = [path for ending in ("onnx", "tflite") for path in _DATA.rglob(f"*.{ending}")]
        return [
            f"model{path.suffix}\n".encode() + path.read_bytes()
            for path in sorted(files)
            if path.stat().st_size < 1 << 15
        ]

    def mutate(self, random: Random, pool: Sequence[bytes]) -> bytes:
        name, line, content = random.choice(pool).partition(b"\n")
        return name + line + bytes_mutation.mutated(content, random)

    def check(self, data: bytes) -> str:
        try:
            return self._child.load(data)
        except Crashed as crash:  # the run-time library alone does that; the trial must see it
            answer = self._careful.load(data)
            require("it ends the process" in answer or "was not loaded" in answer, f"{crash}")
            return f"{data[:10].decode()}: the trial ends"
