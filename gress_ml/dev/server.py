"""What one kind of server must tell, so that ``Servers`` can start, find and end it."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from gress_ml.dev.process import Launch
from gress_ml.errors import GressError


class NotAnswering(GressError):  # noqa: N818 - reads as the fact it states
    """The server does not answer (yet)."""


class Server(Protocol):
    """One kind of server. Stateless: what changes is in its ``Record``."""

    @property
    def name(self) -> str:
        """What it is for: ``kafka``, ``redis`` or ``postgres``."""

    @property
    def kind(self) -> str:
        """What it really is: its name, or a lesser stand-in such as ``mock-kafka``."""

    @property
    def variable(self) -> str:
        """The environment variable that names an existing server to use instead."""

    @property
    def version(self) -> str:
        """Its version, where the server itself cannot be asked; else empty."""

    @property
    def port_count(self) -> int:
        """How many ports it listens on; the first one is the one that clients use."""

    @property
    def patience_s(self) -> float:
        """How long it may take from its start to its first answer, on a slow machine."""

    @property
    def stop_signal(self) -> signal.Signals:
        """Ends it in good order, with its data complete on disk."""

    @property
    def discard_signal(self) -> signal.Signals:
        """Ends it at once: used where its data is thrown away."""

    def place(self, home: Path) -> Path:
        """The folder for its data: under ``home``, except where it could not use it."""

    def prepare(self, folder: Path) -> None:
        """Fetch and initialise what it needs. Done once; a second call finds it done."""

    def launch(self, folder: Path, ports: Sequence[int], log: Path) -> Launch:
        """The process to start."""

    def address(self, folder: Path, ports: Sequence[int]) -> str:
        """Where clients find it. Raises ``NotAnswering`` when that is not known yet."""

    def probe(self, address: str) -> str:
        """Ask the server a real question; its version, or empty where it does not tell.

        Raises ``NotAnswering``. Works for servers that we did not start, too.
        """

    def discard(self, folder: Path) -> None:
        """Remove its data and whatever else it left on the machine. It does not run any more."""
