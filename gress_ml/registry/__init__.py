"""The model registry: bundles, versions, aliases. Start with :mod:`gress_ml.registry.local`."""

from gress_ml.registry.local import Entry, LocalRegistry
from gress_ml.registry.model_file import ModelFile
from gress_ml.registry.safety import Limits
from gress_ml.registry.version import Version

__all__ = ["Entry", "Limits", "LocalRegistry", "ModelFile", "Version"]
