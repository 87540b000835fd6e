"""A topology as a Mermaid flow chart, for a README or a wiki page."""

from __future__ import annotations

from collections.abc import Iterator

from gress_ml.topology.topology import Topology, step_of


def mermaid(topology: Topology) -> str:
    """The text of a Mermaid flow chart: topics are stadiums, steps boxes."""
    return "\n".join(["flowchart LR", *_lines(topology)]) + "\n"


def _lines(topology: Topology) -> Iterator[str]:
    names = [*topology.inputs, *(step.name for step in topology.steps)]
    ids = {name: f"n{i}" for i, name in enumerate(names)}
    for source in topology.inputs.values():
        yield f'  {ids[source.name]}(["{_text(source.name)}<br/>{_text(source.topic)}"])'
    for step in topology.steps:
        operator = step.operator_class.name
        yield f'  {ids[step.name]}["{_text(step.name)}<br/>{_text(operator)}"]'
    for i, output in enumerate(topology.outputs):
        yield f'  o{i}(["{_text(output.name)}<br/>{_text(output.topic)}"])'
    for step in topology.steps:
        yield _arrow(ids, step.source, ids[step.name], "")
    for i, output in enumerate(topology.outputs):
        yield _arrow(ids, output.source, f"o{i}", output.when.text if output.when else "")


def _arrow(ids: dict[str, str], source: str, target: str, when: str) -> str:
    side = source.partition(".")[2]
    label = ", ".join(text for text in (side, when) if text)
    arrow = f'-- "{_text(label)}" -->' if label else "-->"
    return f"  {ids[step_of(source)]} {arrow} {target}"


def _text(text: str) -> str:
    """Text that Mermaid shows as it is."""
    for character, code in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;")):
        text = text.replace(character, code)
    return text
