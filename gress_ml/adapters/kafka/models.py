"""Model announcements: the records of the topic ``gress.models``, and those that say who decided.

An announcement is a wish to look: the registry says what is so, and a worker that missed one looks
at its next rebalance.
"""

from __future__ import annotations

import orjson

#: Compacted; key: the model's name. Every worker reads it.
MODELS_TOPIC = "gress.models"


def announcement(model: str, alias: str, version: str, time: str) -> tuple[bytes, bytes]:
    """Key and value of the message that something of a model has changed."""
    value = {"model": model, "alias": alias, "version": version, "time": time}
    return model.encode(), orjson.dumps(value)
