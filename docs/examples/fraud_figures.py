"""``python docs/examples/fraud_figures.py PAYMENTS SCORES``: how well frauds are told from others.

PAYMENTS are the events of ``fraud_events.py``, SCORES what ``fraud.yaml`` made of them. Prints
recall and precision of the alerts, by the number of payment within a theft: the first one of a
thief who buys what others buy looks like any other.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import orjson

Row = Mapping[str, Any]
SURE = 0.8  # as in the topology


def alarmed(scores: Iterable[Row]) -> set[str]:
    """The payments that are alerted on."""
    return {s["payment"] for s in scores if s["prediction"] == "fraud" and s["confidence"] > SURE}


def recall_and_precision(payments: Iterable[Row], alarms: set[str]) -> tuple[float, float]:
    """Shares of the frauds that are alerted on, and of the alerts that are frauds."""
    frauds = {payment["payment"] for payment in payments if payment["fraud"]}
    found = len(frauds & alarms)
    return found / len(frauds), found / max(len(alarms), 1)


def recall_by_number(payments: Iterable[Row], alarms: set[str]) -> Mapping[int, tuple[int, int]]:
    """By the number of a payment within its theft: how many there are, and were alerted on."""
    seen: Counter[str] = Counter()
    there, found = Counter[int](), Counter[int]()
    for payment in payments:
        if payment["fraud"]:
            seen[payment["card"]] += 1
            there[seen[payment["card"]]] += 1
            found[seen[payment["card"]]] += payment["payment"] in alarms
    return {number: (there[number], found[number]) for number in sorted(there)}


def main() -> None:
    payments, scores = (_rows(Path(name)) for name in sys.argv[1:3])
    alarms = alarmed(scores)
    recall, precision = recall_and_precision(payments, alarms)
    frauds = sum(payment["fraud"] for payment in payments)
    print(f"{len(payments)} payments, {frauds} frauds, {len(alarms)} alerts")
    print(f"recall {recall:.3f}, precision {precision:.3f}")
    for number, (there, found) in recall_by_number(payments, alarms).items():
        print(f"payment {number} of a theft: {found} of {there}")


def _rows(file: Path) -> list[Row]:
    return [orjson.loads(line) for line in file.read_bytes().splitlines()]


if __name__ == "__main__":
    main()
