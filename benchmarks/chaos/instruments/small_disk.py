"""SmallDisk: a folder on a disk of its own that can be full.

The law: a full disk is the kernel's own (ENOSPC of a tmpfs), for all processes that use the
folder. Where none can be mounted there is no stand-in: ``Unavailable`` says why.
"""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path
from typing import Self

from benchmarks.chaos.instruments.unavailable import Unavailable

_FILLER = ".filler"  # hidden: whoever lists the folder for files of its own passes it over
_BLOCK = 4096  # a tmpfs gives out whole pages


class SmallDisk:
    """A tmpfs of ``kib`` at ``folder``, from enter to exit; what is on it goes with it::

    with SmallDisk(folder, kib=400) as disk:
        disk.fill()
        disk.free()
    """

    def __init__(self, folder: Path, kib: int = 400) -> None:
        self.folder = folder
        self._kib = kib

    @property
    def free_bytes(self) -> int:
        """What can still be written."""
        told = os.statvfs(self.folder)
        return told.f_bavail * told.f_frsize

    def fill(self) -> None:
        """Let nothing more be written. What was written can be read and overwritten."""
        with (self.folder / _FILLER).open("ab", buffering=0) as filler:
            try:
                while True:
                    filler.write(bytes(_BLOCK))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise

    def free(self) -> None:
        """Give back what ``fill`` took."""
        (self.folder / _FILLER).unlink(missing_ok=True)

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.folder.is_mount():  # of a run that was killed
            self._unmount()
        self._mount()
        return self

    def __exit__(self, *_: object) -> None:
        self._unmount()

    def _mount(self) -> None:
        command = ["mount", "-t", "tmpfs", "-o", f"size={self._kib}k", "gress-small-disk"]
        try:
            subprocess.run(
                [*command, self.folder], capture_output=True, text=True, timeout=30, check=True
            )
        except FileNotFoundError as error:
            raise Unavailable("there is no mount on this machine") from error
        except subprocess.CalledProcessError as error:
            raise Unavailable(f"mount refused: {error.stderr.strip()}") from error

    def _unmount(self) -> None:
        # lazily: a process that still has a file open there keeps it, and the folder is free
        subprocess.run(["umount", "--lazy", self.folder], timeout=30, check=True)
