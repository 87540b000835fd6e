from __future__ import annotations

import io
from pathlib import Path

import msgspec
import orjson
import pytest
from rich.console import Console

from benchmarks.contenders import BY_KEY, CONTENDERS, FAST
from benchmarks.figures import (
    NO_WORKER,
    Figures,
    Measured,
    latency_of,
    results_of,
    rows_of,
)
from benchmarks.latency import Delay
from benchmarks.one_decision import Call
from benchmarks.one_run import in_turn
from benchmarks.page import BEGIN, END, fill, table
from benchmarks.picture import draw
from benchmarks.report import show_figures, show_targets, write_figures, write_results
from benchmarks.run import chosen
from benchmarks.same_decisions import Agreement
from benchmarks.targets import TARGETS
from benchmarks.throughput import Pace

CALL = Call(150.0, 190.0)
#: Names that others read; more may come, none may go.
FIXED = {
    "throughput_gress",
    "throughput_bare",
    "throughput_faust_stock",
    "throughput_faust_take",
    "throughput_quix",
    "throughput_bytewax",
    "throughput_bytewax_batched",
    "throughput_bare_confluent",
    "throughput_exactly_once",
    "throughput_bad_1pct",
    "latency_p50_ms_10k",
    "latency_p99_ms_10k",
    "bare_latency_p50_ms_10k",
    "bare_latency_p99_ms_10k",
    "decision_p99_us",
    "worker_rss_mb",
    "start_to_first_decision_s",
}


def measured() -> Measured:
    """All contenders at one pace, but for those that a target compares."""
    found = Measured(call=CALL)
    speeds = {"bytewax_batched": 40e3, "quix": 9e3, "faust_stock": 2e3, "exactly_once": 60e3}
    for one in CONTENDERS:
        found.paces[one.key] = [Pace(speeds.get(one.key, 74e3), 12.0, 200.0, 2.0)]
        found.agreements[one.key] = Agreement(8000, 0, 0)
    found.paces["gress"] = [Pace(speed, 12.0, 200.0, 2.0) for speed in (60e3, 75e3, 74e3)]
    found.delays = {
        ("gress", FAST): [Delay(3.0, 30.0, 0)],
        ("bare", FAST): [Delay(2.5, 25.0, 1)],
        (NO_WORKER, FAST): [Delay(0.6, 2.0, 0)],
    }
    return found


@pytest.fixture
def figures() -> Figures:
    return figures_of(measured())


def figures_of(found: Measured) -> Figures:
    return Figures(
        machine=[("processor", "2 x AMD EPYC")],
        full=True,
        repetitions=5,
        rows=rows_of(found),
        kafka_alone=latency_of(found, NO_WORKER),
        failures=found.failures,
    )


def test_the_file_holds_the_medians_under_fixed_names(tmp_path: Path, figures: Figures) -> None:
    path = tmp_path / "build" / "bench.json"
    write_results(results_of(figures, CALL), path)
    written = orjson.loads(path.read_bytes())
    assert written.keys() >= FIXED
    assert all(isinstance(value, float) for value in written.values())
    assert written["throughput_gress"] == 74e3
    assert written["latency_p99_ms_10k"] == 30.0


def test_what_was_not_measured_has_no_figure() -> None:
    found = measured()
    del found.paces["exactly_once"]
    found.failures["exactly_once"] = "ended by itself"
    results = results_of(figures_of(found), None)
    assert "throughput_exactly_once" not in results
    assert "decision_p99_us" not in results
    by_name = {target.name: target.reached(results) for target in TARGETS}
    assert by_name["exactly once against at least once"] is None


def test_targets_are_judged_and_never_raised(figures: Figures) -> None:
    results = results_of(figures, CALL)
    missed = [target.name for target in TARGETS if not target.reached(results)]
    assert missed == ["exactly once against at least once", "p99 at 10,000/s"]


def test_the_report_marks_what_was_reached_and_what_was_missed(figures: Figures) -> None:
    console = Console(record=True, width=160, file=io.StringIO())
    show_figures(console, figures, CALL)
    show_targets(console, results_of(figures, CALL))
    text = console.export_text()
    assert text.count("PASS") == len(TARGETS) - 2
    assert text.count("FAIL") == 2
    assert "1.85 x" in text
    assert "8,000 of 8,000" in text


def test_a_contender_that_failed_is_named_with_its_reason() -> None:
    found = measured()
    found.failures["quix"] = "Quix Streams ended by itself"
    console = Console(record=True, width=160, file=io.StringIO())
    show_figures(console, figures_of(found), CALL)
    assert "Quix Streams ended by itself" in console.export_text()


def test_the_page_and_the_picture_are_made_of_the_written_file(
    tmp_path: Path, figures: Figures
) -> None:
    path = tmp_path / "peers.json"
    write_figures(figures, path)
    read = msgspec.json.decode(path.read_bytes(), type=Figures)
    assert read == figures
    assert draw(read).startswith("<svg")
    assert all(one.name in draw(read) and one.name in table(read) for one in CONTENDERS)


def test_only_what_is_between_the_marks_of_a_page_is_replaced() -> None:
    assert fill(f"before\n{BEGIN}\nold\n{END}\nafter\n", "new") == (
        f"before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"
    )
    with pytest.raises(ValueError, match="marks"):
        fill("no marks", "new")


def test_a_quick_run_is_marked_as_one(figures: Figures) -> None:
    quick = msgspec.structs.replace(figures, full=False)
    assert "quick" in table(quick)
    assert "quick" not in table(figures)


def test_contenders_alternate_and_slow_ones_come_less_often() -> None:
    assert in_turn([("a", 3), ("b", 1), ("c", 3)]) == ["a", "b", "c", "c", "a", "a", "c"]


def test_only_those_asked_for_are_measured_in_their_own_order() -> None:
    assert [one.key for one in chosen("quix,gress")] == ["gress", "quix"]
    assert len(chosen(None)) == len(BY_KEY)
    with pytest.raises(SystemExit, match="no contender fausst; there are: gress, bad_1pct"):
        chosen("gress,fausst")
