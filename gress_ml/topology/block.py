"""Block: the base of every typed block of a topology file."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Block(BaseModel):
    """Frozen, strict about names, a docstring under each key (editors show it)."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
