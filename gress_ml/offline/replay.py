"""Replay: a topology over files of events, one JSON object per line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import orjson

from gress_ml.errors import ConfigError
from gress_ml.offline.run import Dead, Made, OfflineRun
from gress_ml.record import FileRecord
from gress_ml.topology.topology import Input

#: Lines per turn: bounds memory over files of any length.
_CHUNK = 20_000


@dataclass(slots=True)
class Replayed:
    """What a replay read and wrote."""

    events: int = 0
    outputs: int = 0
    dead_letters: int = 0


async def replay(
    run: OfflineRun, source: Input, events: Path, folder: Path, key: str | None = None
) -> Replayed:
    """Run an input over a file; write ``<topic>.jsonl`` for each topic into ``folder``.

    A line's number (from 0) is its offset. ``key`` names the member that is the message key, as a
    producer would set it. Raises ConfigError when a file cannot be read or written.
    """
    counts = Replayed()
    with ExitStack() as open_files:
        sinks: dict[str, IO[bytes]] = {}

        def sink(topic: str) -> IO[bytes]:
            if topic not in sinks:
                folder.mkdir(parents=True, exist_ok=True)
                sinks[topic] = open_files.enter_context((folder / f"{topic}.jsonl").open("wb"))
            return sinks[topic]

        try:
            for records in _chunks(events, key):
                counts.events += len(records)
                for made in await run.run(source, records):
                    _write(made, sink, counts)
        except OSError as error:
            raise ConfigError(f"{error.filename}: {error.strerror}") from None
    return counts


def _write(made: Made, sink: Callable[[str], IO[bytes]], counts: Replayed) -> None:
    for message in made.sent:
        sink(message.topic).write(message.value + b"\n")
    for letter in made.dead:
        sink(letter.topic).write(orjson.dumps(_as_json(letter)) + b"\n")
    counts.outputs += len(made.sent)
    counts.dead_letters += len(made.dead)


def _as_json(letter: Dead) -> dict[str, object]:
    value = None if letter.value is None else letter.value.decode(errors="replace")
    return {
        "row": letter.row,
        "operator": letter.operator,
        "code": letter.code,
        "message": letter.message,
        "value": value,
    }


def _chunks(events: Path, key: str | None) -> Iterator[list[FileRecord]]:
    with events.open("rb") as lines:
        records: list[FileRecord] = []
        for number, line in enumerate(lines):
            value = line.rstrip(b"\r\n")
            records.append(FileRecord(number, value, _key_of(value, key)))
            if len(records) == _CHUNK:
                yield records
                records = []
        if records:
            yield records


def _key_of(value: bytes, key: str | None) -> bytes | None:
    if key is None:
        return None
    try:
        event = orjson.loads(value)
    except orjson.JSONDecodeError:
        return None  # the decoder makes a dead letter of it
    found = event.get(key) if isinstance(event, dict) else None
    return None if found is None else str(found).encode()
