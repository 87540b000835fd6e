"""Run-time switches: the newest value of each key of the control topic."""

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


def switches(on_switch: Callable[[str, str], None]) -> Callable[[str, bytes | None], None]:
    """Tells ``on_switch(name, value)`` for each record of the topic that sets a switch."""

    def take(name: str, value: bytes | None) -> None:
        try:
            text = "" if value is None else value.decode()
        except UnicodeDecodeError:
            log.warning("switch_ignored", name=name, reason="the value is not a text")
            return
        if _SWITCH.fullmatch(name):
            log.info("switch", name=name, value=text)
            on_switch(name, text)
        else:
            log.warning("switch_ignored", reason="the key is not a switch name")

    return take
