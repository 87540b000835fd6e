"""Opens the outside systems that a topology names, apart from Kafka."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gress_ml.adapters.clock import SystemClock
from gress_ml.adapters.memory import MemoryFeatures
from gress_ml.adapters.redis import RedisFeatures, RedisSettings
from gress_ml.adapters.snapshots import FolderSnapshots
from gress_ml.ports import FeatureStore, ModelPublisher, ModelStore, SnapshotStore
from gress_ml.registry import ModelFile, Registry, open_storage
from gress_ml.registry.publishing import RegistryPublisher
from gress_ml.topology.ml import FeatureStoreSpec, MlSpec
from gress_ml.topology.topology import Topology


@dataclass(frozen=True, slots=True)
class Stores:
    """The outside systems of a worker, apart from Kafka."""

    models: ModelStore
    features: FeatureStore
    snapshots: SnapshotStore
    publisher: ModelPublisher | None = None  # None: models are not published


def open_stores(topology: Topology) -> Stores:
    """Model registry, feature store and snapshots as the topology's settings say."""
    settings = topology.settings
    models = open_models(settings.ml, settings.project)
    return Stores(
        models=models,
        features=open_features(settings.ml.feature_store),
        snapshots=FolderSnapshots(settings.checkpoint_dir),
        publisher=RegistryPublisher(models),
    )


def open_models(ml: MlSpec, project: Path) -> Registry:
    """The registry that ``model_registry`` names, with the enabled single files of ``models:``.

    Relative paths start at the project folder. Nothing is asked of an object store yet. Raises
    ModelError, ConfigError.
    """
    files = [
        ModelFile(
            name=model.name,
            version=model.version,
            type=model.type,
            path=project / model.path,
            warm_up=model.warmup_on_load,
            tags=model.tags,
        )
        for model in ml.models
        if model.enabled
    ]
    spec = ml.model_registry
    place = project / spec.address if spec.type == "local" else spec.address
    return Registry(open_storage(place, spec.s3_region), files)


def open_features(spec: FeatureStoreSpec) -> FeatureStore:
    """The feature store of an ``ml:`` block; one that is switched off finds nothing."""
    clock = SystemClock()
    if not spec.enabled:
        return MemoryFeatures(clock, max_rows=0)
    if spec.backend == "memory":
        return MemoryFeatures(clock, ttl_s=spec.ttl)
    url = spec.redis_addr if "://" in spec.redis_addr else f"redis://{spec.redis_addr}"
    return RedisFeatures(url, clock, RedisSettings(ttl_s=spec.ttl))
