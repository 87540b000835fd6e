"""Publishing: a model that passed its gate becomes a version of the registry, once."""

from __future__ import annotations

import tempfile
from pathlib import Path

from gress_ml.bundle import Publication
from gress_ml.errors import ModelNotFound, StoreUnavailable
from gress_ml.ports import Published
from gress_ml.registry.registry import Registry
from gress_ml.registry.version import Version


class RegistryPublisher:
    """A ``ModelPublisher`` on a registry. To publish the same version again changes nothing."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def publish(self, wanted: Publication, created: str) -> Published:
        """Compare with the rival, push, move the alias. Raises ModelError, StoreUnavailable."""
        try:
            return self._publish(wanted, created)
        except OSError as error:
            raise StoreUnavailable(f"registry: {error}") from error

    def _publish(self, wanted: Publication, created: str) -> Published:
        version = Version.parse(wanted.version)
        present = version in self._registry.versions(wanted.name)
        if not present:
            if self._is_worse(wanted):
                return Published.WORSE
            self._push(wanted, created)
        if wanted.alias is not None:
            self._point(wanted.name, wanted.alias, version)
        return Published.PRESENT if present else Published.PUBLISHED

    def _is_worse(self, wanted: Publication) -> bool:
        if wanted.rival is None:
            return False
        try:
            rival = self._registry.find(wanted.name, wanted.rival)
        except ModelNotFound:
            return False
        theirs = rival.manifest.scores.get(wanted.metric)
        if theirs is None:
            return False
        lead = wanted.scores[wanted.metric] - theirs
        return (lead if wanted.bigger_is_better else -lead) < -wanted.tolerance

    def _push(self, wanted: Publication, created: str) -> None:
        with tempfile.TemporaryDirectory(prefix="gress-publish-") as folder:
            paths = []
            for name, data in wanted.files.items():
                paths.append(Path(folder) / name)
                paths[-1].write_bytes(data)
            self._registry.push(
                paths,
                wanted.name,
                wanted.version,
                created=created,
                scores=wanted.scores,
                tags=wanted.tags,
            )

    def _point(self, name: str, alias: str, version: Version) -> None:
        """One that points to a newer version, as after a crash in between, stays."""
        pointed = self._registry.aliases(name).get(alias)
        if pointed is None or pointed < version:
            self._registry.alias(name, alias, str(version))
