"""Checks the wiring: what each step and output reads, and in which order steps run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gress_ml.topology.draft import Draft
from gress_ml.topology.findings import KeyPath, did_you_mean
from gress_ml.topology.topology import step_of
from gress_ml.topology.validation import PLACEHOLDER


@dataclass(frozen=True, slots=True)
class Wiring:
    """Steps by index, each after its source; sources are None where they are not known."""

    order: tuple[int, ...]
    sources: tuple[str | None, ...]  # of steps, by index
    outputs: dict[str, str | None]  # of outputs, by name


def check_wiring(draft: Draft) -> Wiring:
    """Who reads what; unknown names, doubles and cycles go to the findings."""
    indices = _indices(draft)
    sources = [_step_source(draft, i, indices) for i in range(len(draft.spec.steps))]
    for cycle in _cycles(sources, indices):
        _report_cycle(draft, cycle)
        for i in cycle:
            sources[i] = None
    outputs = {name: _output_source(draft, name, indices) for name in draft.spec.outputs}
    return Wiring(_order(sources, indices), tuple(sources), outputs)


def _indices(draft: Draft) -> dict[str, int]:
    """Step names to indices; the first of a name counts."""
    found: dict[str, int] = {}
    for i, step in enumerate(draft.spec.steps):
        path = ("steps", i, "name")
        if step.name in draft.spec.inputs:
            draft.at_value(path, f"duplicate name {step.name!r}: an input has it")
            continue
        if step.name in found and step.name != PLACEHOLDER:
            line = draft.document.value_place(("steps", found[step.name], "name"))[0]
            draft.at_value(path, f"duplicate step name {step.name!r}, first on line {line}")
        found.setdefault(step.name, i)
    return found


def _step_source(draft: Draft, i: int, indices: dict[str, int]) -> str | None:
    path = ("steps", i, "input")
    source = draft.spec.steps[i].input
    if source is not None:
        return _known(draft, path, source, indices)
    if draft.given(*path) or draft.misspelt("steps", i, "input"):
        return None  # wrong: has its finding
    if i > 0:
        return draft.spec.steps[i - 1].name
    return _only_input(draft, ("steps", i), "input")


def _output_source(draft: Draft, name: str, indices: dict[str, int]) -> str | None:
    path = ("outputs", name, "from")
    source = draft.spec.outputs[name].source
    if source is not None:
        return _known(draft, path, source, indices)
    if draft.given(*path) or draft.misspelt(*path):
        return None
    if draft.spec.steps:
        return draft.spec.steps[-1].name
    return _only_input(draft, ("outputs", name), "from")


def _only_input(draft: Draft, path: KeyPath, key: str) -> str | None:
    inputs = [*draft.spec.inputs]
    if len(inputs) == 1:
        return inputs[0]
    if inputs:
        hint = f"one of: {', '.join(inputs)}"
        draft.at_value(path, f"missing key {key!r}: there are several inputs", hint)
    return None


def _known(draft: Draft, path: KeyPath, source: str, indices: dict[str, int]) -> str | None:
    name = step_of(source)
    if name in indices or (name in draft.spec.inputs and name == source):
        return source
    if name in draft.spec.inputs:
        draft.at_value(path, f"input {name!r} has no side streams")
        return None
    known = {*indices, *draft.spec.inputs} - {PLACEHOLDER}
    if path[0] == "steps":
        known -= {draft.spec.steps[path[1]].name} if isinstance(path[1], int) else set()
    draft.at_value(path, f"unknown input or step {name!r}", did_you_mean(name, known))
    return None


# --- order ----------------------------------------------------------------------------------------


def _parent(i: int, sources: list[str | None], indices: dict[str, int]) -> int | None:
    source = sources[i]
    return None if source is None else indices.get(step_of(source))


def _cycles(sources: list[str | None], indices: dict[str, int]) -> Iterator[list[int]]:
    """Each cycle once, from its first step in the file, against the flow."""
    done: set[int] = set()
    for start in range(len(sources)):
        trail: list[int] = []
        at: int | None = start
        while at is not None and at not in done and at not in trail:
            trail.append(at)
            at = _parent(at, sources, indices)
        done.update(trail)
        if at in trail:
            cycle = trail[trail.index(at) :]
            first = cycle.index(min(cycle))
            yield cycle[first:] + cycle[:first]


def _report_cycle(draft: Draft, cycle: list[int]) -> None:
    names = [draft.spec.steps[i].name for i in (*cycle, cycle[0])]
    place: KeyPath = ("steps", cycle[0], "input")
    draft.at_value(place, f"cycle: {' → '.join(reversed(names))}", "a step cannot wait for itself")


def _order(sources: list[str | None], indices: dict[str, int]) -> tuple[int, ...]:
    """Indices so that each stands after the step that it reads; else as in the file."""
    order: dict[int, None] = {}

    def put(i: int) -> None:
        trail = []
        at: int | None = i
        while at is not None and at not in order and at not in trail:
            trail.append(at)
            at = _parent(at, sources, indices)
        order.update(dict.fromkeys(reversed(trail)))

    for i in range(len(sources)):
        put(i)
    return tuple(order)
