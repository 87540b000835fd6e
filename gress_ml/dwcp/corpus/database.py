"""Databases: an SQLite file of a shop, its pages and its dump, before and after a shop's work."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np

from gress_ml.dwcp.corpus.wish import Kind, Wish
from gress_ml.dwcp.payloads import DATABASE

_FEW, _BATCH = 20, 400
_FULL = 0.8  # of the wanted size at first; the rest comes with later states

_FIRST = (
    "Ada",
    "Bo",
    "Chen",
    "Dora",
    "Emil",
    "Fatima",
    "Grace",
    "Hugo",
    "Ines",
    "Jon",
    "Kofi",
    "Lena",
    "Mia",
    "Noor",
    "Omar",
    "Pia",
    "Ravi",
    "Sara",
)
_LAST = (
    "Adler",
    "Brandt",
    "Costa",
    "Diaz",
    "Eriksen",
    "Fischer",
    "Garcia",
    "Haas",
    "Ito",
    "Jensen",
    "Khan",
    "Lopez",
    "Meyer",
    "Novak",
)
_CITIES = (
    "Berlin",
    "Lagos",
    "Lima",
    "Mumbai",
    "Osaka",
    "Oslo",
    "Porto",
    "Quito",
    "Riga",
    "Seoul",
    "Sofia",
    "Turin",
    "Utrecht",
    "Wien",
)
_THINGS = (
    "bolt",
    "cable",
    "drill",
    "engine",
    "filter",
    "gauge",
    "hinge",
    "ladder",
    "motor",
    "nozzle",
    "pump",
    "relay",
    "sensor",
    "valve",
)
_STATES = ("new", "paid", "packed", "sent", "returned")

_SCHEMA = """
CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT, email TEXT, city TEXT, joined REAL);
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INTEGER, item TEXT, count INTEGER,
  price REAL, state TEXT, changed REAL, note TEXT);
CREATE INDEX orders_by_customer ON orders (customer);
CREATE TABLE events (id INTEGER PRIMARY KEY, orders INTEGER, what TEXT, at REAL, token BLOB);
"""


class Shop:
    """A database that is worked on. Close it."""

    def __init__(self, path: Path, rng: np.random.Generator) -> None:
        self._rng, self._now = rng, 1.7e9
        self.path = path
        self.database = sqlite3.connect(path, isolation_level=None)
        self.database.executescript(f"PRAGMA synchronous=OFF;{_SCHEMA}")

    def fill(self, size: int) -> None:
        """Customers and orders, at least a few, until the file has that many bytes."""
        self.trade(_FEW)
        while self.path.stat().st_size < size:
            self.trade(min(_BATCH, max(_FEW, size // 500)))

    def trade(self, count: int) -> None:
        """New orders, each with an event, and a customer for every fifth."""
        rng = self._rng
        with self._transaction() as run:
            run.executemany(
                "INSERT INTO customers (name, email, city, joined) VALUES (?,?,?,?)",
                [self._customer() for _ in range(count // 5)],
            )
            run.executemany(
                "INSERT INTO orders (customer,item,count,price,state,changed,note)"
                " VALUES (?,?,?,?,?,?,?)",
                [self._order() for _ in range(count)],
            )
            run.executemany(
                "INSERT INTO events (orders, what, at, token) VALUES (?,?,?,?)",
                [
                    (int(rng.integers(1, 10**6)), "created", self._tick(), rng.bytes(16))
                    for _ in range(count)
                ],
            )

    def ship(self, share: float) -> None:
        """That share of the orders changes its state and price, recent ones mostly."""
        (most,) = self.database.execute("SELECT max(id) FROM orders").fetchone()
        count = max(1, int(share * most))
        ids = most - (self._rng.beta(1.0, 3.0, count) * most).astype(int)
        with self._transaction() as run:
            run.executemany(
                "UPDATE orders SET state=?, changed=?, price=price*1.01 WHERE id=?",
                [(self._one(_STATES), self._tick(), int(one)) for one in ids],
            )

    def forget(self, share: float) -> None:
        """The oldest orders and events go."""
        for table in ("orders", "events"):
            self.database.execute(
                f"DELETE FROM {table} WHERE id <= (SELECT min(id) FROM {table})"  # noqa: S608 - two constant names
                f" + ? * (SELECT max(id) - min(id) FROM {table})",
                (share,),
            )

    def tidy(self) -> None:
        """Vacuum: the file is written anew."""
        self.database.execute("VACUUM")

    def close(self) -> None:
        """Let go of the file."""
        self.database.close()

    def _transaction(self) -> sqlite3.Connection:
        self.database.execute("BEGIN")
        return self.database  # as a context manager it commits

    def _customer(self) -> tuple[str, str, str, float]:
        first, last = self._one(_FIRST), self._one(_LAST)
        mail = f"{first}.{last}{int(self._rng.integers(1000))}@example.com".lower()
        return f"{first} {last}", mail, self._one(_CITIES), self._tick()

    def _order(self) -> tuple[int, str, int, float, str, float, str]:
        rng = self._rng
        item = f"{self._one(_THINGS)}-{int(rng.integers(200)):03d}"
        note = f"deliver to {self._one(_CITIES)}" if rng.random() < 0.3 else ""
        price = round(float(rng.lognormal(3.0, 1.0)), 2)
        who, count = int(rng.integers(1, 10**5)), int(rng.integers(1, 9))
        return who, item, count, price, "new", self._tick(), note

    def _tick(self) -> float:
        self._now += float(self._rng.exponential(3.0))
        return round(self._now, 3)

    def _one(self, words: tuple[str, ...]) -> str:
        return words[int(self._rng.integers(len(words)))]


def _pages(shop: Shop) -> bytes:
    return shop.path.read_bytes()


def _dump(shop: Shop) -> bytes:
    return "\n".join(shop.database.iterdump()).encode()


def _work(shop: Shop, share: float, rng: np.random.Generator) -> None:
    (orders,) = shop.database.execute("SELECT count(*) FROM orders").fetchone()
    shop.ship(share)
    if rng.random() < 0.6:
        shop.trade(max(5, int(share * orders * rng.random())))
    if rng.random() < 0.2:
        shop.forget(share / 2.0)
    if rng.random() < 0.1:
        shop.tidy()


def _states(read: Callable[[Shop], bytes], wish: Wish) -> Iterator[bytes]:
    share = float(wish.rng.beta(1.0, 8.0))
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(Shop(Path(folder, "shop.db"), wish.rng)) as shop,
    ):
        shop.fill(int(_FULL * wish.size))
        yield read(shop)
        for _ in range(wish.states - 1):
            _work(shop, share, wish.rng)
            yield read(shop)


KINDS = (
    Kind(DATABASE, "pages", "an SQLite file before and after updates", partial(_states, _pages)),
    Kind(DATABASE, "dump", "an SQLite dump before and after updates", partial(_states, _dump)),
)
