"""Version: semantic versions, ordered as numbers."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import total_ordering
from typing import Self

# The expression of semver.org, with a leading v and missing minor and patch allowed.
_NUMBER = r"0|[1-9][0-9]*"
_IDENTIFIER = r"0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*"
_VERSION = re.compile(
    rf"[vV]?(?P<major>{_NUMBER})(?:\.(?P<minor>{_NUMBER}))?(?:\.(?P<patch>{_NUMBER}))?"
    rf"(?:-(?P<pre>(?:{_IDENTIFIER})(?:\.(?:{_IDENTIFIER}))*))?"
    r"(?:\+(?P<build>[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?",
    re.ASCII,
)


@total_ordering
@dataclass(frozen=True, slots=True)
class Version:
    """A version by SemVer 2.0: ``1.10.0`` is after ``1.9.0``, ``2.0.0-rc.1`` before ``2.0.0``.

    Versions that differ in build metadata only have equal precedence by SemVer; here the text of
    the build decides, so that the order is total.
    """

    major: int
    minor: int = 0
    patch: int = 0
    pre: tuple[int | str, ...] = ()
    build: str = ""
    _order: tuple[object, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # SemVer 11: numbers before words, a shorter list before a longer one, none after all.
        pre = tuple((0, part, "") if isinstance(part, int) else (1, 0, part) for part in self.pre)
        order = (self.major, self.minor, self.patch, not self.pre, pre, self.build)
        object.__setattr__(self, "_order", order)

    @classmethod
    def parse(cls, text: str) -> Self:
        """``v2.0``, ``2``, ``2.0.0-rc1`` and the like. Raises ValueError."""
        match = _VERSION.fullmatch(text)
        if match is None:
            raise ValueError(
                f"{text!r} is not a version: expected something like 1.2.0, v2.0 or 2.0.0-rc.1"
            )
        parts = match["pre"].split(".") if match["pre"] else []
        return cls(
            int(match["major"]),
            int(match["minor"] or 0),
            int(match["patch"] or 0),
            tuple(int(part) if part.isdigit() else part for part in parts),
            match["build"] or "",
        )

    @property
    def is_prerelease(self) -> bool:
        """Whether it comes before the release of the same numbers."""
        return bool(self.pre)

    def __lt__(self, other: Self) -> bool:
        return self._order < other._order

    def __str__(self) -> str:
        """The canonical form: three numbers, no leading v."""
        pre = "-" + ".".join(str(part) for part in self.pre) if self.pre else ""
        build = f"+{self.build}" if self.build else ""
        return f"{self.major}.{self.minor}.{self.patch}{pre}{build}"
