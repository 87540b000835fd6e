"""The documents of the repository: where they are, and what stands in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
EXAMPLES = DOCS / "examples"
_FOLDERS = (
    "docs",
    "deploy",
    "benchmarks",
    "models",
    "topologies",
    "operators",
    "gress_ml",
    "tests",
)
_FENCE = re.compile(r"^( *)```([^\n]*)\n(.*?)^\1```", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: what it is marked as, and its text without the indent of the fence."""

    info: str
    text: str


def documents() -> list[Path]:
    """All Markdown files that belong to the repository."""
    found = [*ROOT.glob("*.md")]
    for folder in _FOLDERS:
        found += (ROOT / folder).rglob("*.md")
    return sorted(path for path in found if not any(p.startswith(".") for p in path.parts[1:]))


def name_of(path: Path) -> str:
    """The path from the repository's root, for test names and messages."""
    return str(path.relative_to(ROOT))


def blocks(text: str) -> Iterator[Block]:
    """The fenced blocks of a document."""
    for indent, info, body in _FENCE.findall(text):
        yield Block(info.strip(), re.sub(f"^{indent}", "", body, flags=re.MULTILINE))


def prose(text: str) -> str:
    """The document without its fenced blocks."""
    return _FENCE.sub("", text)


def code(text: str) -> Iterator[str]:
    """Lines of shell blocks, and what stands in backticks."""
    for block in blocks(text):
        if block.info in ("sh", "bash", "shell", ""):
            yield from block.text.splitlines()
    yield from re.findall(r"`([^`\n]+)`", prose(text))


def table_cells(text: str) -> Iterator[list[str]]:
    """The cells of each row of the tables."""
    for line in prose(text).splitlines():
        if line.startswith("|"):
            yield [cell.strip() for cell in line.strip("|").split("|")]
