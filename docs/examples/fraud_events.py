"""``python docs/examples/fraud_events.py [SEED]``: a month of card payments, for ``fraud.yaml``.

Made up: 400 cards, each with a home, a taste and an amount that is usual for it. Some travel, some
have a day of many purchases; of some a thief makes a handful of payments within an hour or two, a
few of which look like any other. One JSON object per line, in order of time; ``fraud`` says what
was true, and the topology does not read it. The same seed gives the same payments.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from typing import Any

import orjson

START_MS = 1_775_001_600_000  # 2026-04-01 00:00 UTC
DAY_MS = 86_400_000
DAYS, CARDS = 30, 400
CATEGORIES = ("groceries", "fuel", "restaurants", "travel", "electronics", "online", "cash")
COUNTRIES = ("DE", "FR", "GB", "US", "BR", "SG")
#: Share of the cards that are stolen in the month.
STOLEN = 0.3

Payment = dict[str, Any]


def events(seed: int = 17) -> Iterator[Payment]:
    """All payments of the month in order of time."""
    payments = [each for card in range(CARDS) for each in _of_card(f"card-{card}", seed)]
    for number, payment in enumerate(sorted(payments, key=lambda each: (each["at"], each["card"]))):
        yield {"payment": f"p-{number}", **payment}


def _of_card(card: str, seed: int) -> Iterator[Payment]:
    dice = random.Random(f"{card} {seed}")
    home, usual = dice.choice(COUNTRIES), dice.lognormvariate(3.3, 0.6)
    taste = [dice.random() + 0.1 for _ in CATEGORIES]
    trip = dice.randrange(DAYS) if dice.random() < 0.25 else None

    def payment(at: float, category: str, amount: float, country: str, fraud: bool) -> Payment:
        return {
            "card": card,
            "at": round(at),
            "amount": round(max(amount, 0.5), 2),
            "category": category,
            "country": country,
            "home": home,
            "fraud": fraud,
        }

    for day in range(DAYS):
        away = trip is not None and trip <= day < trip + 5
        country = dice.choice(COUNTRIES) if away else home
        many = 9 if dice.random() < 0.01 else 0  # the Saturday before the holidays
        for _ in range(many + min(int(dice.expovariate(0.5)), 6)):
            hour = dice.gauss(15, 4) % 24 if dice.random() < 0.9 else dice.uniform(0, 24)
            if many:
                hour = dice.uniform(14, 16)
            (category,) = dice.choices(CATEGORIES, taste)
            amount = usual * dice.lognormvariate(0, 0.7) * (4 if category == "travel" else 1)
            yield payment(_ms(day, hour), category, amount, country, False)
    if dice.random() < STOLEN:
        yield from _thefts(dice, payment, usual, home)


def _thefts(dice: random.Random, payment: Any, usual: float, home: str) -> Iterator[Payment]:
    at = _ms(dice.randrange(3, DAYS), dice.uniform(0, 24))
    country = home if dice.random() < 0.4 else dice.choice(COUNTRIES)
    for _ in range(dice.randint(2, 9)):
        (category,) = dice.choices(("electronics", "online", "cash", "groceries"), (4, 4, 3, 1))
        amount = usual * dice.lognormvariate(1.0, 0.9)
        yield payment(at, category, amount, country, True)
        at += dice.expovariate(1 / 12) * 60_000  # the next one some minutes later


def _ms(day: int, hour: float) -> float:
    return START_MS + day * DAY_MS + hour * 3_600_000


if __name__ == "__main__":
    for event in events(*map(int, sys.argv[1:2])):
        sys.stdout.buffer.write(orjson.dumps(event) + b"\n")
