"""``python docs/examples/phishing_events.py``: web pages as events, for ``phishing.yaml``.

The 1,250 pages of the data set Phishing that comes with river (Mohammad, Thabtah and McCluskey,
UCI Machine Learning Repository, 2015); every tenth page has no finding. One JSON object per line.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import orjson
from river import datasets


def events() -> Iterator[dict[str, Any]]:
    """Each page with its features, and what was found of it."""
    for number, (features, found) in enumerate(datasets.Phishing()):
        known = None if number % 10 == 9 else bool(found)
        numbers = {name: float(value) for name, value in features.items()}
        yield {"page": f"page-{number}", **numbers, "is_phishing": known}


if __name__ == "__main__":
    for event in events():
        sys.stdout.buffer.write(orjson.dumps(event) + b"\n")
