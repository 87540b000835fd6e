from __future__ import annotations

import io
from pathlib import Path

import orjson
from rich.console import Console

from benchmarks.latency import Delay
from benchmarks.one_decision import Call
from benchmarks.report import (
    TARGETS,
    Measured,
    results_of,
    show_measured,
    show_targets,
    write_results,
)
from benchmarks.same_decisions import Agreement
from benchmarks.throughput import Pace

KEYS = {
    "throughput_gress",
    "throughput_bare",
    "throughput_faust_stock",
    "latency_p50_ms_10k",
    "latency_p99_ms_10k",
    "bare_latency_p50_ms_10k",
    "bare_latency_p99_ms_10k",
    "decision_p99_us",
    "worker_rss_mb",
    "start_to_first_decision_s",
}


def measured() -> Measured:
    return Measured(
        paces={
            "gress": [Pace(speed, 12.0, 200.0, 2.0) for speed in (60e3, 75e3, 74e3)],
            "bare": [Pace(80e3, 11.0, 130.0, 1.0)],
            "stock": [Pace(2e3, 400.0, 160.0, 2.0)],
        },
        delays={"gress": [Delay(3.0, 30.0, 0)], "bare": [Delay(2.5, 9.0, 1)]},
        call=Call(150.0, 250.0),
        agreement=Agreement(10, 0, 0),
    )


def test_the_file_holds_the_medians_under_fixed_names(tmp_path: Path) -> None:
    path = tmp_path / "build" / "bench.json"
    write_results(results_of(measured(), "gress", "bare", "stock"), path)
    written = orjson.loads(path.read_bytes())
    assert written.keys() == KEYS
    assert written["throughput_gress"] == 74e3
    assert written["latency_p99_ms_10k"] == 30.0


def test_targets_are_judged_and_never_raised() -> None:
    results = results_of(measured(), "gress", "bare", "stock")
    missed = [target.name for target in TARGETS if not target.reached(results)]
    assert missed == ["p99 at 10,000/s"]


def test_the_report_marks_what_was_reached_and_what_was_missed() -> None:
    console = Console(record=True, width=120, file=io.StringIO())
    show_measured(console, measured(), "bare")
    show_targets(console, results_of(measured(), "gress", "bare", "stock"))
    text = console.export_text()
    assert text.count("✓") == len(TARGETS) - 1
    assert text.count("✗") == 1
    assert "0.93 x" in text
