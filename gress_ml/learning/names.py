"""The classes of river that a definition may name, as ``linear_model.LogisticRegression``."""

from __future__ import annotations

import difflib
import importlib
import inspect
from functools import cache
from types import ModuleType

_PACKAGES = (
    *("active", "anomaly", "bandit", "cluster", "compose", "conf", "covariance", "drift"),
    *("dummy", "ensemble", "facto", "feature_extraction", "feature_selection", "forest"),
    *("imblearn", "linear_model", "metrics", "misc", "model_selection", "multiclass"),
    *("naive_bayes", "neighbors", "optim", "preprocessing", "proba", "rules", "sketch"),
    *("stats", "tree"),
)

#: Data sets, which may be fetched, and bases of classes.
_NO_PARTS = frozenset({"base", "datasets", "multioutput"})


@cache
def known_classes() -> dict[str, type]:
    """Every public class of river that a learner may be made of, by its name without ``river.``."""
    found: dict[str, type] = {}
    for package in _PACKAGES:
        _collect(package, importlib.import_module(f"river.{package}"), found)
    return dict(sorted(found.items()))


def _collect(path: str, module: ModuleType, found: dict[str, type]) -> None:
    for name in getattr(module, "__all__", ()):
        public = getattr(module, name, None)
        if isinstance(public, ModuleType):
            if name not in _NO_PARTS:
                _collect(f"{path}.{name}", public, found)
        elif isinstance(public, type) and not inspect.isabstract(public):
            found[f"{path}.{name}"] = public


def is_class_name(text: str) -> bool:
    """Whether a text of a definition means a class of river: ``package.Class``, right or wrong."""
    package, _, rest = text.partition(".")
    return package in _PACKAGES and bool(rest) and text.replace(".", "").isidentifier()


def nearest(name: str, known: list[str]) -> str:
    """A hint with the name that may be meant; the last part counts, where packages differ."""
    last = {one.rpartition(".")[2]: one for one in known}
    elsewhere = last.get(name.rpartition(".")[2])
    close = [elsewhere] if elsewhere else difflib.get_close_matches(name, known, 1)
    return f"; did you mean {close[0]!r}?" if close else ""
