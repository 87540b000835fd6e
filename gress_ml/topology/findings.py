"""Findings: collects the faults of one file, each with its place, and hides secrets in them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping

from gress_ml.errors import Finding

#: Where something stands in a file: keys and indices from the top.
KeyPath = tuple[str | int, ...]

#: Nobody reads more faults, and each may cost a search for the name that was meant.
MAX_FINDINGS = 500
#: Names and letters beyond which the nearest name is not looked for: its cost is their product.
_MOST_NAMES, _LONGEST_NAME = 500, 100


def path_text(path: KeyPath) -> str:
    """A path as people read it: ``steps[1].config.batch_size``."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def nearest(name: object, known: Iterable[str]) -> str:
    """The known name that is nearest; empty when none is near."""
    names = sorted(one for one in {*known} if len(one) <= _LONGEST_NAME)
    if len(names) > _MOST_NAMES or len(str(name)) > _LONGEST_NAME:
        return ""
    close = difflib.get_close_matches(str(name), names, n=1, cutoff=0.6)
    return close[0] if close else ""


def nearest_hint(name: object, known: Iterable[str]) -> str:
    """A hint with the known name that is nearest; empty when none is near."""
    near = nearest(name, known)
    return f"did you mean {near!r}?" if near else ""


def listing(names: Iterable[str], most: int = 40) -> str:
    """Names in order, the first of them when there are many."""
    known = sorted({*names})
    more = f", … {len(known) - most} more" if len(known) > most else ""
    return ", ".join(known[:most]) + more or "none"


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """A hint with the nearest known name, or with all of them."""
    known = {*known}
    return nearest_hint(name, known) or (f"known: {listing(known)}" if known else "")


class TooMany(Exception):  # noqa: N818 - reads as the fact it states
    """A file has more than ``MAX_FINDINGS`` faults: it is not checked further."""


class Findings:
    """The faults of one file, in the order of their places, without doubles."""

    def __init__(self, file: str) -> None:
        self.file = file
        self._found: dict[Finding, None] = {}
        self._secrets: dict[str, str] = {}  # text -> what is shown instead

    def __bool__(self) -> bool:
        return bool(self._found)

    def hide(self, secrets: Mapping[str, str]) -> None:
        """Show these texts as the given names, in findings added before and after."""
        self._secrets.update({text: shown for text, shown in secrets.items() if text.strip()})

    def add(
        self,
        place: tuple[int, int],
        path: KeyPath,
        message: str,
        hint: str = "",
        *,
        file: str | None = None,
    ) -> None:
        """Report a fault at a line and column (1-based; 0 when it has no place). Raises TooMany."""
        if len(self._found) >= MAX_FINDINGS:
            rest = f"more than {MAX_FINDINGS} faults; the file is not checked further"
            self._found[Finding(file or self.file, *place, "", rest)] = None
            raise TooMany
        found = Finding(file or self.file, *place, path_text(path), message, hint)
        self._found[found] = None

    def sorted(self) -> list[Finding]:
        """All findings by place; those without a place come last."""
        hidden = [self._hidden(finding) for finding in self._found]
        return sorted(hidden, key=lambda f: (f.line == 0, f.file, f.line, f.column))

    def _hidden(self, finding: Finding) -> Finding:
        return Finding(
            finding.file,
            finding.line,
            finding.column,
            finding.path,
            self._without_secrets(finding.message),
            self._without_secrets(finding.hint),
        )

    def _without_secrets(self, text: str) -> str:
        forms = {form: shown for secret, shown in self._secrets.items() for form in _forms(secret)}
        if not forms:
            return text
        longest_first = sorted(forms, key=len, reverse=True)
        pattern = "|".join(_bounded(form) for form in longest_first)
        return re.sub(pattern, lambda match: forms[match[0]], text)


def _forms(secret: str) -> set[str]:
    """How a text may appear in a message: as it is, without outer blanks, or escaped."""
    return {secret, secret.strip(), repr(secret)[1:-1], repr(repr(secret))[2:-2]}


def _bounded(form: str) -> str:
    """A short text counts as a whole word only, else every letter of a message would match."""
    escaped = re.escape(form)
    return escaped if len(form) > 3 else rf"(?<!\w){escaped}(?!\w)"
