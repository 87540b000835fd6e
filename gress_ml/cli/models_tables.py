"""The tables of ``gress models``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from gress_ml.adapters.kafka.decided import Decided
from gress_ml.bundle import Bundle
from gress_ml.registry import Change, Entry

_WIDE = 10_000  # columns


def out() -> Console:
    """Where tables and lines go. Where it is no terminal, for programs: a row is a line."""
    console = Console(soft_wrap=True, highlight=False, emoji=False)
    if not console.is_terminal:
        console.width = _WIDE
    return console


def table(*columns: str, title: str | None = None) -> Table:
    """A table without lines, whose cells are never cut: too long ones go on below."""
    made = Table(*columns, title=title, title_justify="left", box=None, pad_edge=False)
    for column in made.columns:
        column.overflow = "fold"
    return made


def versions(entries: Iterable[Entry]) -> Table:
    """Versions and the aliases that point to them."""
    made = table("model", "version", "aliases")
    for entry in entries:
        made.add_row(entry.name, str(entry.version), ", ".join(entry.aliases))
    return made


def files(bundle: Bundle) -> Table:
    """The files of a bundle."""
    made = table("file", "for", "bytes", "sha256", title=f"{bundle.name} {bundle.version}")
    for role, entry in sorted(bundle.manifest.files.items()):
        made.add_row(entry.path, role, str(entry.size), entry.sha256[:12])
    return made


def facts(bundle: Bundle) -> list[tuple[str, str]]:
    """What else a manifest says, as far as it does."""
    found = {"folder": str(bundle.folder), **_said(bundle)}
    return [(key, value) for key, value in found.items() if value]


def differences(one: Bundle, two: Bundle) -> Table | None:
    """What differs, one line each; None when nothing does."""
    said = [{**_files(bundle), **_said(bundle)} for bundle in (one, two)]
    rows = _differing(*said)
    rows += _differing(*(_scores(bundle) for bundle in (one, two)))
    if not rows:
        return None
    made = table("", f"{one.name} {one.version}", f"{two.name} {two.version}")
    for row in rows:
        made.add_row(*row)
    return made


def changes(found: Sequence[Change]) -> Table:
    """How aliases moved, oldest first."""
    made = table("time", "alias", "from", "to", "")
    for change in found:
        note = "rollback" if change.rollback else ""
        made.add_row(change.time, change.alias, change.previous, change.version, note)
    return made


def decided(found: Sequence[Decided]) -> Table:
    """From which offsets on versions decided, as they were told."""
    made = table("topic", "partition", "offset", "model", "version", "as", "topology", "time")
    for one in found:
        place = (one.topic, str(one.partition), str(one.offset))
        made.add_row(*place, one.model, one.version, one.reference, one.topology, one.time)
    return made


def _said(bundle: Bundle) -> Mapping[str, str]:
    manifest = bundle.manifest
    return {
        "classes": ", ".join(manifest.classes),
        "feature schema": manifest.feature_fingerprint[:12],
        "created": manifest.created,
        "scores": ", ".join(f"{key} {value:g}" for key, value in sorted(manifest.scores.items())),
        "tags": ", ".join(f"{key}={value}" for key, value in sorted(manifest.tags.items())),
    }


def _files(bundle: Bundle) -> Mapping[str, str]:
    entries = sorted(bundle.manifest.files.values(), key=lambda entry: entry.path)
    return {entry.path: f"{entry.size} bytes, {entry.sha256[:12]}" for entry in entries}


def _scores(bundle: Bundle) -> Mapping[str, str]:
    scores = sorted(bundle.manifest.scores.items())
    return {f"score {key}": f"{value:g}" for key, value in scores}


def _differing(one: Mapping[str, Any], two: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    keys = dict.fromkeys([*one, *two])
    rows = [(key, one.get(key, ""), two.get(key, "")) for key in keys if key != "scores"]
    return [row for row in rows if row[1] != row[2]]
