"""Document: the figures of a page are between marks, and are replaced by those of a run."""

from __future__ import annotations

import re
from collections.abc import Mapping


def with_figures(page: str, figures: Mapping[str, str]) -> str:
    """The page with each ``<!-- name -->`` … ``<!-- /name -->`` filled anew.

    Marks without figures keep what they have. Raises ValueError for figures without marks.
    """
    for name, text in figures.items():
        pieces = re.split(rf"(<!-- /?{name} -->)", page)
        if len(pieces) != 5:
            raise ValueError(f"expected the marks of {name!r} once in the page")
        before, opening, _, closing, after = pieces
        page = f"{before}{opening}\n\n{text}\n\n{closing}{after}"
    return page
