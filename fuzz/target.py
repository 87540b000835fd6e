"""Target: one door of gress-ml, with inputs that are known to be good and the law behind it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import ClassVar

CORPUS = Path(__file__).parent / "corpus"


class Wrong(AssertionError):  # noqa: N818 - reads as the fact it states
    """A law of the target does not hold for this input."""


class Target:
    """One input is one byte string, so that each finding is one file.

    ``check`` raises for an input that breaks the law, whatever it raises; it answers with a short
    text that says how the input was treated. An input with a new answer is kept and mutated on.
    Same input, same answer: no clock and no chance in ``check``.
    """

    name: ClassVar[str]
    law: ClassVar[str]

    def __enter__(self) -> Target:
        return self

    def __exit__(self, *error: object) -> None:
        """Give back what the target holds."""

    def seeds(self) -> Sequence[bytes]:
        """Good inputs, to be mutated."""
        raise NotImplementedError

    def mutate(self, random: Random, pool: Sequence[bytes]) -> bytes:
        """A new input from those that are known."""
        raise NotImplementedError

    def check(self, data: bytes) -> str:
        """Hold the law to one input."""
        raise NotImplementedError

    def corpus(self) -> list[Path]:
        """The inputs that once broke the law, or nearly."""
        return sorted(path for path in (CORPUS / self.name).glob("*") if path.is_file())


def require(holds: bool, law: str) -> None:
    """Raises Wrong unless the law holds."""
    if not holds:
        raise Wrong(law)
