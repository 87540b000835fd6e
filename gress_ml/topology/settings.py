"""Checks what the settings say together."""

from __future__ import annotations

from gress_ml.operator import BatchPolicy
from gress_ml.topology.draft import Draft
from gress_ml.topology.ml import registry_faults
from gress_ml.topology.topology import Settings


def check_settings(draft: Draft) -> Settings:
    """The settings as plain values; faults go to the findings."""
    spec = draft.spec
    for setting in ("commit_interval", "checkpoint_interval"):
        if getattr(spec, setting) <= 0:
            draft.at_value((setting,), f"{setting} must be longer than nothing")
    _check_ml(draft)
    return Settings(
        guarantee=spec.guarantee,
        batch=BatchPolicy(spec.batch.size, spec.batch.timeout),
        commit_interval_s=spec.commit_interval,
        commit_bytes=spec.commit_bytes,
        checkpoint_interval_s=spec.checkpoint_interval,
        checkpoint_dir=draft.project / _checkpoint_dir(draft),
        ml=spec.ml,
        project=draft.project,
    )


def _checkpoint_dir(draft: Draft) -> str:
    """The one folder of all checkpoints: a learner's state is saved with that of its partition."""
    own, learning = draft.spec.checkpoint_dir, draft.spec.ml.online_learning
    if learning.checkpoint_dir is None or not learning.enabled:
        return own
    if draft.given("checkpoint_dir") and own != learning.checkpoint_dir:
        path = ("ml", "online_learning", "checkpoint_dir")
        message = f"two folders for checkpoints: checkpoint_dir is {own!r}"
        draft.at_value(path, message, "name the same folder in both, or take one away")
    return learning.checkpoint_dir


def _check_ml(draft: Draft) -> None:
    ml = draft.spec.ml
    for key, message, hint in registry_faults(ml.model_registry):
        draft.at_value(("ml", "model_registry", key), message, hint)
    if not ml.enabled and draft.spec.steps:
        hint = "set it to true, or take the steps away"
        draft.at_value(("ml", "enabled"), "ml is switched off, so no step could run", hint)
    for i, model in enumerate(ml.models):
        if model.enabled and not (draft.project / model.path).is_file():
            place = ("ml", "models", i, "path")
            draft.at_value(place, f"unknown model: there is no file {model.path!r}")
