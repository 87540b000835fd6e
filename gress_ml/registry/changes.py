"""Changes: the log of a model's aliases, ``<name>/aliases/<number>.json``, only ever added to.

The next number can be created once, so of two writers one is told to look again. The newest change
says all aliases; the older ones are the history.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gress_ml.errors import ModelCorrupt, ModelError
from gress_ml.registry.manifest import parse_object
from gress_ml.registry.storage import Storage
from gress_ml.registry.version import Version
from gress_ml.rfc3339 import rfc3339_now

#: What was written before there was a log, and is written by hand; the log goes before.
ALIASES = "aliases.json"
LOG = "aliases"
_NUMBER = re.compile(rf"{LOG}/([0-9]{{8}})\.json")
_MAX_BYTES = 1 << 20
_TRIES = 100


class Change(BaseModel):
    """One alias was pointed at a version."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str  # tells a change from an equal one of another writer
    time: str  # RFC 3339
    alias: str
    version: str
    previous: str = ""  # the version before; empty when the alias is new
    rollback: bool = False
    aliases: Mapping[str, str] = Field(default_factory=dict)  # all of them, after the change


class AliasLog:
    """The aliases of one model, now and before. Raises ModelCorrupt, StoreUnavailable."""

    def __init__(self, storage: Storage, model: str) -> None:
        self._storage = storage
        self._model = model

    def current(self) -> Mapping[str, Version]:
        """The aliases as they are now."""
        return _versions(self._storage.where(self._model), self._last()[1])

    def history(self) -> list[Change]:
        """All changes, oldest first."""
        return [self._read(number) for number in self._numbers()]

    def before(self, alias: str) -> str | None:
        """The version that an alias would be rolled back to; None when there is none.

        A rollback undoes the newest change that is not undone yet, so two of them go two back.
        """
        past: list[str] = []
        for change in self.history():
            if change.alias != alias:
                continue
            if not past and change.previous:  # set before the log began
                past.append(change.previous)
            if change.rollback and change.version in past:
                del past[len(past) - past[::-1].index(change.version) :]
            else:
                past.append(change.version)
        return past[-2] if len(past) > 1 else None

    def point(self, alias: str, version: Version, *, rollback: bool = False) -> None:
        """Add a change."""
        for _ in range(_TRIES):
            number, aliases = self._last()
            if aliases.get(alias) == str(version):
                return
            change = Change(
                id=uuid.uuid4().hex,
                time=rfc3339_now(),
                alias=alias,
                version=str(version),
                previous=aliases.get(alias, ""),
                rollback=rollback,
                aliases={**aliases, alias: str(version)},
            )
            text = change.model_dump_json(indent=2) + "\n"
            if self._storage.create(self._path(number + 1), text.encode()):
                return
        raise ModelError(f"the aliases of {self._model} change all the time: try again.")

    def _last(self) -> tuple[int, Mapping[str, str]]:
        numbers = self._numbers()
        if numbers:
            return numbers[-1], self._read(numbers[-1]).aliases
        data = self._storage.read(f"{self._model}/{ALIASES}", _MAX_BYTES)
        place = self._storage.where(f"{self._model}/{ALIASES}")
        found = {} if data is None else parse_object(place, data)
        return 0, {alias: str(version) for alias, version in found.items()}

    def _numbers(self) -> list[int]:
        found = map(_NUMBER.fullmatch, self._storage.files(self._model))
        return sorted(int(match[1]) for match in found if match)

    def _read(self, number: int) -> Change:
        place = self._storage.where(self._path(number))
        data = self._storage.read(self._path(number), _MAX_BYTES)
        try:
            return Change.model_validate_json(data or b"")
        except ValidationError as error:
            fault = error.errors()[0]
            where = ".".join(map(str, fault["loc"])) or "file"
            raise ModelCorrupt(
                f"{place}: expected a change of an alias, found {where}: {fault['msg']}."
            ) from error

    def _path(self, number: int) -> str:
        return f"{self._model}/{LOG}/{number:08d}.json"


def _versions(place: str, aliases: Mapping[str, str]) -> Mapping[str, Version]:
    versions: dict[str, Version] = {}
    for alias, text in aliases.items():
        try:
            versions[alias] = Version.parse(text)
        except ValueError:
            raise ModelCorrupt(
                f"{place}: expected a version for each alias, found {text!r} for {alias!r}."
            ) from None
    return versions
