"""Commands: the subcommands of ``gress``, each imported when it is used.

A worker that restarts holds its partitions up: it should not load what the other commands need.
"""

from __future__ import annotations

import gc
from importlib import import_module
from types import ModuleType
from typing import Any, cast

import typer
from typer.core import TyperGroup
from typer.main import get_command, get_group

#: In the order of ``gress --help``. The module of the same name has the command: a function of that
#: name, or a Typer, ``app``, with commands of its own.
COMMANDS = (
    *("demo", "new", "worker", "agent", "check", "test", "replay", "graph", "schema", "docs"),
    *("switch", "dataset", "train", "models", "experiment", "dev"),
)


class Commands(TyperGroup):
    """A group whose commands are those of ``COMMANDS``."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        # names alone: what Typer lists, and suggests where one is misspelt
        self.commands = cast(Any, dict.fromkeys(COMMANDS))

    def list_commands(self, ctx: Any) -> list[str]:
        return [*COMMANDS]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        module = _imported(f"gress_ml.cli.{cmd_name}")
        if hasattr(module, "app"):
            group = get_group(module.app)
            group.name = cmd_name
            return group
        alone = typer.Typer(add_completion=False)
        alone.command(cmd_name)(getattr(module, cmd_name))
        return get_command(alone)


def _imported(name: str) -> ModuleType:
    """The module. The garbage collector rests meanwhile, and leaves alone what imports have made.

    It would go through all of that again and again, only to find that it is needed.
    """
    gc.disable()
    try:
        return import_module(name)
    finally:
        gc.freeze()
        gc.enable()
