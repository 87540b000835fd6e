"""Run-time switches: the records of the topic ``gress.control``."""

from __future__ import annotations

import re
from collections.abc import Callable

import structlog

log = structlog.get_logger(__name__)

CONTROL_TOPIC = "gress.control"
_SWITCH = re.compile(r"[a-z0-9_.-]{1,200}")


def switch_message(switch: str, value: str) -> tuple[bytes, bytes]:
    """Key and value of the message that sets a switch. Raises ValueError for a bad name."""
    if not _SWITCH.fullmatch(switch):
        raise ValueError(f"switch {switch!r}: expected lower case letters, digits, '_', '.', '-'")
    return switch.encode(), value.encode()


class Switches:
    """Takes the records of the topic and tells ``on_switch(name, value)`` for each switch."""

    def __init__(self, on_switch: Callable[[str, str], None]) -> None:
        self._on_switch = on_switch

    def take(self, name: str, value: bytes | None) -> None:
        """One record; what is no switch is told in the log."""
        try:
            text = "" if value is None else value.decode()
        except UnicodeDecodeError:
            name, text = "", ""
        if _SWITCH.fullmatch(name):
            log.info("switch", name=name, value=text)
            self._on_switch(name, text)
        else:
            log.warning("switch_ignored", reason="the key is not a switch name")
