"""The lock of a home folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from gress_ml.dev.lock import home_lock
from gress_ml.errors import GressError


def test_one_holder_at_a_time(tmp_path: Path) -> None:
    with (
        home_lock(tmp_path),
        pytest.raises(GressError, match="another `gress dev`"),
        home_lock(tmp_path, patience_s=0.1),
    ):
        pass


def test_a_lock_whose_file_was_removed_protects_nothing(tmp_path: Path) -> None:
    """As when `down` ends while another command waits: the waiter must lock the new file."""
    home = tmp_path / "home"
    with home_lock(home):
        (home / "lock").unlink()
        with home_lock(home, patience_s=60.0):
            assert (home / "lock").exists()
