"""The ``gress`` command: one file per subcommand."""

from __future__ import annotations

import sys

import typer
from rich.console import Console

from gress_ml.cli.commands import Commands
from gress_ml.errors import ConfigError, GressError

app = typer.Typer(
    cls=Commands,
    name="gress",
    help="Streaming machine-learning decisions on Kafka.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


@app.callback()
def gress() -> None:
    """Streaming machine-learning decisions on Kafka."""


def main() -> None:
    """Run the command. Errors of our own are told in words, without a traceback."""
    try:
        app()
    except ConfigError as error:
        for finding in error.findings:
            _say(str(finding))
        sys.exit(1)
    except GressError as error:
        _say(str(error))
        sys.exit(1)


def _say(message: str) -> None:
    Console(stderr=True, soft_wrap=True, highlight=False).print(
        f"error: {message}", style="red", markup=False
    )


if __name__ == "__main__":
    main()
