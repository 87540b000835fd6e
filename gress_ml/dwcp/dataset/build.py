"""Build: measurements of a folder labelled and written as Parquet, with a manifest."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from gress_ml.dwcp.dataset.columns import COLUMNS
from gress_ml.dwcp.dataset.labelling import Measured, label
from gress_ml.dwcp.dataset.machine import machine
from gress_ml.dwcp.dataset.measuring import Row, measurements, recipe_of
from gress_ml.dwcp.dataset.noise import spread
from gress_ml.dwcp.dataset.parquet import write_columns, write_rows
from gress_ml.dwcp.dataset.reader import MANIFEST, PAYLOADS, TRANSFERS, Dataset, read
from gress_ml.dwcp.dataset.recipe import Labelling
from gress_ml.dwcp.profiles import ALGORITHMS


def write_labelled(folder: Path, labelling: Labelling) -> Mapping[str, Any]:
    """Label all that is measured; the manifest of what was written.

    Writes ``transfers.parquet``, ``payloads.parquet`` (each payload version with its SHA-256 and
    its measurements) and ``manifest.json``. Raises DatasetError without measurements.
    """
    rows = measurements(folder)
    begun = recipe_of(folder)
    streams = begun["recipe"]["streams"]
    columns, noise = label([Measured.of(row, streams) for row in rows], labelling)
    write_columns(folder / TRANSFERS, columns)
    write_rows(folder / PAYLOADS, [_flat(row) for row in rows])
    manifest = {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "rows": len(columns["label"]),
        "payloads": len(rows),
        "payload_bytes": sum(row["traits"]["payload_size"] for row in rows),
        "sources": len({row["source_id"] for row in rows}),
        "columns": [column.name for column in COLUMNS],
        "sha256": {name: _sha256(folder / name) for name in (TRANSFERS, PAYLOADS)},
        "labelling": asdict(labelling),
        "noise_floor": {
            "payloads": sum("again" in row for row in rows),
            "cpu_spread": {name: _spread(rows, name) for name in ALGORITHMS},
            "labels": noise.summary(),
        },
        **begun,
        "labelled_on": machine(),
    }
    (folder / MANIFEST).write_bytes(orjson.dumps(manifest, option=orjson.OPT_INDENT_2) + b"\n")
    return manifest


def write_sample(folder: Path, path: Path, rows: int) -> int:
    """About so many transfers of a data set, whole VMs of each cohort in turn; how many they are.

    Whole VMs, since history makes sense only along all of a VM's transfers.
    """
    data = read(folder)
    picked = np.flatnonzero(np.isin(data["vm_id"], list(_some_vms(data, rows))))
    write_columns(path, {name: values[picked] for name, values in data.columns.items()})
    return len(picked)


def shares(data: Dataset, by: str) -> Mapping[str, tuple[int, Mapping[str, float]]]:
    """Per value of a column: transfers, and the share of each label among them."""
    labels, values = data.label, data[by].astype(str)
    found = {}
    for value in np.unique(values).tolist():
        counts = np.bincount(labels[values == value], minlength=len(ALGORITHMS))
        parts = (counts / counts.sum()).tolist()
        found[value] = (int(counts.sum()), dict(zip(ALGORITHMS, parts, strict=True)))
    return found


def _some_vms(data: Dataset, rows: int) -> Sequence[str]:
    vms, first, counts = np.unique(data["vm_id"].astype(str), return_index=True, return_counts=True)
    cohorts, links = data["cohort"][first], data["link_type"][first].astype(str)
    # The first VM of each cohort and link, then the second of each, and so on.
    order = np.lexsort((links, cohorts))
    turn = np.zeros(len(vms), int)
    seen: dict[tuple[int, str], int] = {}
    for at in order.tolist():
        pair = (int(cohorts[at]), str(links[at]))
        turn[at] = seen.get(pair, 0)
        seen[pair] = turn[at] + 1
    chosen: list[str] = []
    have = 0
    for at in np.lexsort((links, cohorts, turn)).tolist():
        if have + counts[at] <= rows:
            chosen.append(str(vms[at]))
            have += int(counts[at])
    return chosen


def _spread(rows: Sequence[Row], algorithm: str) -> Mapping[str, float]:
    """Of compression: what of it can be told from one measurement."""
    both = [
        tuple(row[which][algorithm]["compress"]["cpu_ms"] for which in ("arms", "again"))
        for row in rows
        if "again" in row
    ]
    return spread([(first, second) for first, second in both])


def _flat(row: Row) -> Row:
    """One level: ``hde_compress_cpu_ms`` for ``arms.hde.compress.cpu_ms``."""
    ids = {name: value for name, value in row.items() if not isinstance(value, dict)}
    arms = {**row["arms"], "zstd3": row["baseline"]}
    again = {f"again_{name}": arm for name, arm in row.get("again", {}).items()}
    flat = {**ids, **row["traits"]}
    for name, arm in {**arms, **again}.items():
        for field, value in arm.items():
            if isinstance(value, dict):
                flat |= {f"{name}_{field}_{part}": figure for part, figure in value.items()}
            else:
                flat[f"{name}_{field}"] = value
    return flat


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
