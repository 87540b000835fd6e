"""Finish: a trained bundle measured, judged and described."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gress_ml.bundle import Bundle
from gress_ml.dwcp.training import gates
from gress_ml.dwcp.training.gates import Facts
from gress_ml.dwcp.training.latency import Latency, latency
from gress_ml.dwcp.training.report import html, markdown
from gress_ml.dwcp.training.report.card import card
from gress_ml.dwcp.training.report.content import Finished, report
from gress_ml.dwcp.training.train import Trained

CARD = "model_card.md"


def finish(
    trained: Trained,
    bundle: Bundle,
    name: str,
    version: str,
    schema: str,
    data: Mapping[str, Any],
) -> Finished:
    """Measure the calls of the bundle's files and hold all figures against the gates."""
    files = {path.name: path.stat().st_size for path in bundle.folder.iterdir()}
    found = latency(bundle, trained.model.trees_share, trained.parts.test.features)
    facts = Facts(trained.gap, lone(found).p99_us, sum(files.values()) / 1e6)
    return Finished(
        name=name,
        version=version,
        schema=schema,
        trained=trained,
        gates=gates.gates(trained.evaluation, facts),
        latencies=found,
        files=files,
        machine=machine(),
        data=data,
    )


def lone(found: Sequence[Latency]) -> Latency:
    """The call with one row."""
    return next(one for one in found if one.rows == 1)


def machine() -> str:
    """This machine in a few words."""
    model = platform.processor() or platform.machine()
    path = Path("/proc/cpuinfo")
    if path.exists():
        names = [line for line in path.read_text().splitlines() if line.startswith("model name")]
        if names:
            model = f"{len(names)} × {names[0].partition(':')[2].strip()}"
    return f"{model}, {platform.system()}, Python {platform.python_version()}"


def figures(done: Finished, link_model_median_error: float | None) -> dict[str, float | None]:
    """The gates' figures by name, flat."""
    found = done.trained.evaluation
    return {
        "gain_over_rules": found.gain.value,
        "gain_low": found.gain.low,
        "gain_high": found.gain.high,
        "regret": found.regret.value,
        "accuracy": found.accuracy.value,
        "f1_min": min(one.f1.value for one in found.classes),
        "ece": found.ece,
        "train_validation_gap": done.trained.gap,
        "model_p50_us": lone(done.latencies).p50_us,
        "model_p99_us": lone(done.latencies).p99_us,
        "model_us_per_row_at_256": next(o.us_per_row for o in done.latencies if o.rows == 256),
        "bundle_mb": sum(done.files.values()) / 1e6,
        "link_model_median_error": link_model_median_error,
    }


def write_card(done: Finished, folder: Path, forced: str) -> None:
    """The model card, as a file of the bundle."""
    (folder / CARD).write_text(markdown.text_of(card(done, forced)))


def write_report(done: Finished, out: Path, docs: Path | None, forced: str) -> None:
    """``report.html`` and the Markdown with its pictures into ``out``; into ``docs`` as well."""
    page, known = report(done), card(done, forced)
    html.write(page, out / "report.html")
    for folder in (out, *([docs] if docs else [])):
        markdown.write(page, folder / "report.md")
        markdown.write(known, folder / CARD)


def write_figures(path: Path, found: Mapping[str, float | None]) -> None:
    """One JSON object."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=2) + "\n")
