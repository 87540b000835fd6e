"""The ``gress`` command: one file per subcommand."""

from __future__ import annotations

import sys

import typer
from rich.console import Console

from gress_ml.cli import dataset, dev, experiment, models
from gress_ml.cli.agent import agent
from gress_ml.cli.check import check
from gress_ml.cli.demo import demo
from gress_ml.cli.docs import docs
from gress_ml.cli.graph import graph
from gress_ml.cli.new import new
from gress_ml.cli.replay import replay
from gress_ml.cli.schema import schema
from gress_ml.cli.switch import switch
from gress_ml.cli.test import test
from gress_ml.cli.train import train
from gress_ml.cli.worker import worker
from gress_ml.errors import ConfigError, GressError

app = typer.Typer(
    name="gress",
    help="Streaming machine-learning decisions on Kafka.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
for command in (demo, new, worker, agent, check, test, replay, graph, schema, docs, switch, train):
    app.command()(command)
app.add_typer(models.app, name="models")
app.add_typer(experiment.app, name="experiment")
app.add_typer(dataset.app, name="dataset")
app.add_typer(dev.app, name="dev")


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
