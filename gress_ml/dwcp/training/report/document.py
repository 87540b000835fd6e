"""Document: headings, sentences, tables and pictures, before they have a form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph. ``**bold**`` and ```code``` are the only marks."""

    text: str


@dataclass(frozen=True, slots=True)
class Grid:
    """A table; all columns but the first are numbers unless ``words``."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: bool = False


@dataclass(frozen=True, slots=True)
class Picture:
    """An SVG, with what it shows in words."""

    name: str  # of its file, without the ending
    svg: str
    caption: str


Block = Text | Grid | Picture


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and what is under it."""

    heading: str
    blocks: Sequence[Block]


@dataclass(frozen=True, slots=True)
class Document:
    """A title, what is most important, and the sections."""

    title: str
    lead: Sequence[Block]
    sections: Sequence[Section]
