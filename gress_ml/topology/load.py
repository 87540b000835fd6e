"""Load: from a YAML file to a checked topology, or to all its faults at once."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from gress_ml.bundle import Bundle
from gress_ml.errors import ConfigError, GressError, ModelNotFound
from gress_ml.ports import ModelStore
from gress_ml.topology.catalogue import Catalogue, project_operators
from gress_ml.topology.document import Document, read_file
from gress_ml.topology.draft import Draft, Streams
from gress_ml.topology.environment import Environment
from gress_ml.topology.findings import Findings, TooMany
from gress_ml.topology.inputs import check_inputs
from gress_ml.topology.ml import MlSpec
from gress_ml.topology.outputs import check_outputs
from gress_ml.topology.schemas import named_schemas
from gress_ml.topology.settings import check_settings
from gress_ml.topology.spec import TopologySpec
from gress_ml.topology.steps import StepChecker
from gress_ml.topology.topology import Input, Output, Settings, Step, Topology
from gress_ml.topology.validation import Part, validate
from gress_ml.topology.wiring import check_wiring

#: Opens the model store that an ml block describes; paths start at the project folder.
OpenModels = Callable[[MlSpec, Path], ModelStore]


def project_of(path: Path) -> Path:
    """The project folder of a topology file: above ``topologies/``, else the file's own folder."""
    folder = path.resolve().parent
    return folder.parent if folder.name == "topologies" else folder


def load_topology(
    path: Path,
    models: ModelStore | OpenModels | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Topology:
    """The checked topology of a file. Raises ConfigError with all findings together.

    ``models`` is a store, or opens one from the file's ml block; without it no model is known.
    """
    findings = Findings(str(path))
    topology = None
    with suppress(TooMany):
        document = read_file(path, Environment(environment), findings)
        topology = _check(path, document, findings, models)
    if topology is None or findings:
        raise ConfigError(findings.sorted())
    return topology


def _check(
    path: Path, document: Document, findings: Findings, models: ModelStore | OpenModels | None
) -> Topology | None:
    if document.value is None and findings:
        return None
    if not isinstance(document.value, dict):
        findings.add((1, 1), (), "expected a mapping with name, inputs, steps and outputs")
        return None
    part = Part(document, (), document.value)
    spec = validate(TopologySpec, part, findings, placeholders=True).value
    if spec is None:
        return None
    return _checked(Draft(document, spec, findings, project_of(path)), models)


def _checked(draft: Draft, models: ModelStore | OpenModels | None) -> Topology:
    settings = check_settings(draft)
    inputs = check_inputs(draft, named_schemas())
    wiring = check_wiring(draft)
    streams: Streams = {
        name: found.schema.columns if found else None for name, found in inputs.items()
    }
    store = _open_models(draft, models)
    steps = StepChecker(draft, _catalogue(draft), store, streams).check(wiring)
    outputs = check_outputs(draft, wiring, streams)
    known = {name: found for name, found in inputs.items() if found is not None}
    return _assembled(draft, known, steps, outputs, settings)


def _catalogue(draft: Draft) -> Catalogue:
    catalogue = project_operators(draft.project)
    for problem in catalogue.problems:
        if problem.own:  # one of an installed package counts where its operator is missed
            place = (problem.line, 1 if problem.line else 0)
            draft.findings.add(place, (), problem.message, file=problem.file)
    return catalogue


def _open_models(draft: Draft, models: ModelStore | OpenModels | None) -> ModelStore | None:
    """The model store; None when it cannot be opened, which is a finding."""
    if models is None:
        return _NoModels()
    if not callable(models):
        return models
    try:
        return models(draft.spec.ml, draft.project)
    except GressError as error:
        draft.at_value(("ml", "model_registry", "base_path"), str(error))
        return None


def _assembled(
    draft: Draft,
    inputs: Mapping[str, Input],
    steps: tuple[Step, ...],
    outputs: tuple[Output, ...],
    settings: Settings,
) -> Topology:
    """The topology, decoding only the columns that are read."""
    topology = Topology(draft.spec.name, inputs, steps, outputs, settings)
    if draft.findings:
        return topology
    pruned = {
        name: replace(found, schema=found.schema.only(topology.columns_read(name)))
        for name, found in inputs.items()
    }
    return replace(topology, inputs=pruned)


class _NoModels:
    """A model store without a model."""

    def find(self, name: str, reference: str = "champion") -> Bundle:
        raise ModelNotFound(f"no model {name!r}: there is no model registry")

    def open_folder(self, folder: Path) -> Bundle:
        raise ModelNotFound(f"no model in {str(folder)!r}: there is no model registry")
