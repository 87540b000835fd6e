"""Unavailable: this machine cannot do it, and why."""

from __future__ import annotations


class Unavailable(Exception):  # noqa: N818 - reads as the fact it states
    """An instrument that this machine does not have. The storm reports "skipped" and the reason."""
