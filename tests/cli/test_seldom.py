from __future__ import annotations

import logging

from gress_ml.adapters.clock import ManualClock
from gress_ml.cli.seldom import Seldom


class Heard:
    """What passes a filter."""

    def __init__(self, lines: int) -> None:
        self.clock = ManualClock()
        self._filter = Seldom(lines, 10.0, self.clock.monotonic)

    def say(self, text: str, *values: object, logger: str = "client") -> str | None:
        record = logging.LogRecord(logger, logging.ERROR, "", 0, text, values, None)
        return record.getMessage() if self._filter.filter(record) else None


def test_the_first_lines_of_a_kind_pass_and_the_next_period_tells_of_the_rest() -> None:
    heard = Heard(lines=2)
    said = [heard.say("node %s is away", number) for number in range(5)]
    assert said == ["node 0 is away", "node 1 is away", None, None, None]
    heard.clock.advance(10)
    assert heard.say("node %s is away", 5) == "node 5 is away (and 3 like it)"
    heard.clock.advance(10)
    assert heard.say("node %s is away", 6) == "node 6 is away"


def test_other_kinds_and_other_loggers_are_counted_apart() -> None:
    heard = Heard(lines=1)
    assert heard.say("away")
    assert heard.say("back")
    assert heard.say("away", logger="other")
    assert heard.say("away") is None


def test_texts_that_never_come_again_do_not_fill_the_memory() -> None:
    seldom = Seldom()
    for number in range(5000):
        seldom.filter(logging.LogRecord("client", logging.ERROR, "", 0, str(number), (), None))
    assert len(seldom._kinds) <= 1000
