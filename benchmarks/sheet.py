"""Sheet: a table for the screen and for the documentation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table. The columns ``words`` are text; all others are numbers."""

    name: str  # of its place in the documentation
    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: Sequence[int] = (0,)

    def show(self, console: Console) -> None:
        """Print it."""
        table = Table(title=self.title)
        for number, heading in enumerate(self.headings):
            table.add_column(heading, justify="left" if number in self.words else "right")
        for row in self.rows:
            table.add_row(*row)
        console.print(table)

    def markdown(self) -> str:
        """The same for a document."""
        ruler = ["---" if n in self.words else "---:" for n in range(len(self.headings))]
        lines = [self.headings, ruler, *self.rows]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)
