"""``gress switch``: set a run-time switch in every worker."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from gress_ml.adapters.kafka.control import CONTROL_TOPIC, switch_message
from gress_ml.adapters.kafka.settings import KafkaSettings
from gress_ml.cli.compacted import publish
from gress_ml.errors import ConfigError


def switch(
    setting: Annotated[str, typer.Argument(help="NAME=VALUE", metavar="NAME=VALUE")],
    kafka: Annotated[
        str | None, typer.Option(help="Bootstrap servers; default: GRESS_KAFKA.")
    ] = None,
) -> None:
    """Set a run-time switch, e.g. compression_ml.enabled=false: back to the rules at once."""
    name, separator, value = setting.partition("=")
    if not separator:
        raise ConfigError(f"{setting!r}: expected NAME=VALUE, e.g. compression_ml.enabled=false")
    try:
        key, message = switch_message(name, value)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    asyncio.run(publish(KafkaSettings.from_env(bootstrap=kafka), CONTROL_TOPIC, key, message))
    typer.echo(f"{name} = {value}")
