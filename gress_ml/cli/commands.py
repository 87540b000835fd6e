"""Commands: the subcommands of ``gress``, each imported when it is used.

A worker that restarts holds its partitions up: it should not load what the other commands need.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, cast

import typer
from typer.core import TyperGroup
from typer.main import get_command, get_group

#: In the order of ``gress --help``: the module of each, and what in it is the command: a function,
#: or a Typer with commands of its own.
COMMANDS = {
    "demo": ("demo", "demo"),
    "new": ("new", "new"),
    "worker": ("worker", "worker"),
    "agent": ("agent", "agent"),
    "check": ("check", "check"),
    "test": ("test", "test"),
    "replay": ("replay", "replay"),
    "graph": ("graph", "graph"),
    "schema": ("schema", "schema"),
    "docs": ("docs", "docs"),
    "switch": ("switch", "switch"),
    "dataset": ("dataset", "app"),
    "train": ("train", "app"),
    "models": ("models", "app"),
    "experiment": ("experiment", "app"),
    "dev": ("dev", "app"),
}


class Commands(TyperGroup):
    """A group whose commands are the entries of ``COMMANDS``."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        # names alone: what Typer lists, and suggests where one is misspelt
        self.commands = cast(Any, dict.fromkeys(COMMANDS))

    def list_commands(self, ctx: Any) -> list[str]:
        return [*COMMANDS]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        module, attribute = COMMANDS[cmd_name]
        found = getattr(import_module(f"gress_ml.cli.{module}"), attribute)
        if isinstance(found, typer.Typer):
            group = get_group(found)
            group.name = cmd_name
            return group
        alone = typer.Typer(add_completion=False)
        alone.command(cmd_name)(found)
        return get_command(alone)
