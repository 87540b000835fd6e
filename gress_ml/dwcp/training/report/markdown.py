"""A document as Markdown, with its pictures as files beside it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gress_ml.dwcp.training.report.document import Block, Document, Grid, Picture, Text


def write(document: Document, path: Path) -> None:
    """Write the page, and each picture as ``<name>.svg`` in the same folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text_of(document))
    for block in _blocks(document):
        if isinstance(block, Picture):
            (path.parent / f"{block.name}.svg").write_text(block.svg)


def text_of(document: Document) -> str:
    """The page."""
    parts = [f"# {document.title}", *map(_block, document.lead)]
    for section in document.sections:
        parts += [f"## {section.heading}", *map(_block, section.blocks)]
    return "\n\n".join(parts) + "\n"


def _blocks(document: Document) -> Iterator[Block]:
    yield from document.lead
    for section in document.sections:
        yield from section.blocks


def _block(block: Block) -> str:
    if isinstance(block, Text):
        return block.text
    if isinstance(block, Picture):
        return f"![{block.caption}]({block.name}.svg)"
    return _table(block)


def _table(grid: Grid) -> str:
    marks = ["---", *(["---" if grid.words else "---:"] * (len(grid.header) - 1))]
    lines = [grid.header, marks, *grid.rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)
