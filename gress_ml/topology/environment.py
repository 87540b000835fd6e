"""Environment: fills ``${NAME}`` and ``${NAME:-default}`` in texts. Its values are never shown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

#: A default is bounded, so that a text of many beginnings and no end is read in linear time.
_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]{0,1000}))?\}")


@dataclass(frozen=True, slots=True)
class Filled:
    """A text with its references replaced."""

    text: str
    missing: tuple[str, ...]  # variables that are not set and have no default
    secret: bool  # whether a variable's value is in the text


class Environment:
    """Variables that a file may use, and which of their values came into it.

    ``${NAME:-default}`` gives the default when the variable is not set or empty, as in a shell.
    """

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables
        #: Texts that must not be shown, and what is shown instead.
        self.secrets: dict[str, str] = {}

    def fill(self, text: str) -> Filled:
        """The text with the values of the variables that it names."""
        missing: list[str] = []
        used: list[str] = []

        def value(match: re.Match[str]) -> str:
            name, default = match[1], match[2]
            found = self._variables.get(name)
            if default is not None and not found:
                return str(default)
            if found is None:
                missing.append(name)
                return ""
            used.append(name)
            self.hide(found, f"${{{name}}}")
            return found

        return Filled(_REFERENCE.sub(value, text), tuple(missing), bool(used))

    def hide(self, secret: str, shown: str) -> None:
        """Remember a text that must not be shown, such as ``7`` made of a variable's ``007``."""
        self.secrets.setdefault(secret, shown)


class NoEnvironment(Environment):
    """For files that name no variables: each text stays as it is written."""

    def __init__(self) -> None:
        super().__init__({})

    def fill(self, text: str) -> Filled:
        """The text itself."""
        return Filled(text, (), secret=False)
