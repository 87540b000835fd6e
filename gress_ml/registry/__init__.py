"""The model registry: bundles, versions, aliases. Start with :mod:`gress_ml.registry.registry`."""

from gress_ml.registry.changes import Change
from gress_ml.registry.model_file import ModelFile
from gress_ml.registry.registry import Entry, Registry
from gress_ml.registry.safety import Limits
from gress_ml.registry.storage import Storage, open_storage
from gress_ml.registry.version import Version

__all__ = [
    "Change",
    "Entry",
    "Limits",
    "ModelFile",
    "Registry",
    "Storage",
    "Version",
    "open_storage",
]
