"""Structured logs: JSON lines for machines, coloured ones for a terminal."""

from __future__ import annotations

import logging
import sys
from enum import StrEnum
from typing import Any

import structlog

from gress_ml.cli.seldom import Seldom


class LogFormat(StrEnum):
    AUTO = "auto"
    JSON = "json"
    CONSOLE = "console"


def set_up_logging(format: LogFormat = LogFormat.AUTO, level: str = "info") -> None:  # noqa: A002
    """Send our log lines and those of Faust and aiokafka (warnings) to standard error."""
    threshold = logging.getLevelNamesMapping()[level.upper()]
    stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
    shared: list[Any] = [structlog.stdlib.add_log_level, stamp]
    plain = format is LogFormat.JSON or (format is LogFormat.AUTO and not sys.stderr.isatty())
    # Tracebacks are plain: structlog's coloured ones show local variables, passwords among them.
    tail: list[Any] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if plain
        else [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
    )
    structlog.configure(
        processors=[*shared, *tail],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    foreign = logging.StreamHandler(sys.stderr)
    foreign.addFilter(Seldom())
    foreign.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *tail],
        )
    )
    logging.basicConfig(level=max(threshold, logging.WARNING), handlers=[foreign], force=True)
