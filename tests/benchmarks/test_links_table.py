"""The model is held against what was measured; no namespaces are needed here."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.links.compare import errors, gains, link_model_median_error, mean_error
from benchmarks.links.grid import CONGESTION_CONTROLS, SIZES, STREAMS, Cell, cells, is_typical
from benchmarks.links.namespaces import ROOT
from benchmarks.links.report import filled, sheets
from benchmarks.links.survey import CHANCE, MOST, STEADY, settled
from benchmarks.links.table import Row, Table, read_table, write_table
from gress_ml.dwcp.fitted import FITTED

MOST_ERROR = 0.15
CELL = Cell(40.0, 50.0, 1e-3, 0.0, 1 << 20, 1, "cubic")


@pytest.fixture(scope="module")
def table() -> Table:
    return read_table()


def row(cell: Cell, *transfer_ms: float) -> Row:
    return Row(cell, transfer_ms, 1.0, 1.0, 0, 0)


def test_the_model_is_near_what_was_measured(table: Table) -> None:
    assert link_model_median_error(table) <= MOST_ERROR
    assert link_model_median_error() == link_model_median_error(table)


def test_the_model_holds_where_it_was_not_fitted(table: Table) -> None:
    halves = {error.name: error for error in errors(table.rows, lambda cell: str(cell.held_out))}
    assert halves["True"].median <= MOST_ERROR
    assert min(half.cells for half in halves.values()) > 300


def test_the_model_holds_on_the_links_of_the_profiles(table: Table) -> None:
    typical = {
        error.name: error for error in errors(table.rows, lambda cell: str(is_typical(cell)))
    }
    assert typical["True"].median <= MOST_ERROR


@pytest.mark.parametrize("name", CONGESTION_CONTROLS)
@pytest.mark.parametrize("streams", STREAMS)
@pytest.mark.parametrize("size", SIZES)
def test_the_model_holds_for_each_control_number_of_streams_and_size(
    table: Table, name: str, streams: int, size: int
) -> None:
    def group(cell: Cell) -> str:
        return str((cell.congestion_control, cell.streams, cell.size))

    found = {error.name: error.median for error in errors(table.rows, group)}
    assert found[str((name, streams, size))] <= MOST_ERROR


def test_the_model_knows_what_streams_gain(table: Table) -> None:
    found = gains(table.rows)
    assert len(found) == len(table.rows) / 2
    assert median(abs(gain.modelled / gain.measured - 1) for gain in found) <= MOST_ERROR
    large = [gain for gain in found if gain.measured > 2]  # where the choice matters
    assert len(large) > 20
    assert median(abs(gain.modelled / gain.measured - 1) for gain in large) <= MOST_ERROR


def test_fitted_numbers_are_not_worse_than_their_neighbours(table: Table) -> None:
    fitted_on = [measured for measured in table.rows if not measured.cell.held_out]
    taken = mean_error(fitted_on)
    for name, value in asdict(FITTED).items():
        for factor in (0.5, 1.5):
            moved = replace(FITTED, **{name: factor * value})
            assert taken <= mean_error(fitted_on, moved) * 1.02


def test_a_model_that_is_off_would_be_seen(table: Table) -> None:
    slower = [Row(r.cell, tuple(2 * t for t in r.transfer_ms), 1.0, 1.0, 0, 0) for r in table.rows]
    assert link_model_median_error(Table((), tuple(slower))) > 0.4


def test_the_table_has_the_whole_grid_and_the_emulator_was_on_time(table: Table) -> None:
    grid = {cell for cell in cells() if not is_typical(cell)}  # those follow the profiles
    assert grid <= {measured.cell for measured in table.rows}
    assert all(len(measured.transfer_ms) >= STEADY for measured in table.rows)
    late_ms = sorted(measured.late_us / 1e3 for measured in table.rows)
    assert late_ms[len(late_ms) * 95 // 100] < 1.0
    assert "processor" in dict(table.machine)


def test_cells_without_queue_or_loss_go_at_the_link_s_rate(table: Table) -> None:
    """The emulator was not what limited them: large transfers come within 3 % of the wire."""
    for measured in table.rows:
        cell = measured.cell
        if cell.size == max(SIZES) and cell.rtt_ms == 1.0 and not cell.loss:
            wire_ms = cell.size * 8 / 1e3 / cell.rate_mbps * 1500 / 1448
            assert wire_ms <= measured.median_ms <= 1.03 * wire_ms


def test_what_is_stored_is_read_again(table: Table, tmp_path: Path) -> None:
    write_table(table, tmp_path / "table.json")
    assert read_table(tmp_path / "table.json") == table


def test_every_table_of_the_report_shows_every_cell(table: Table) -> None:
    found = {sheet.name: sheet for sheet in sheets(table)}
    assert list(found) == ["machine", "summary", "gains", "fit", "worst", "cells"]
    shown = sum(figure != "" for line in found["cells"].rows for figure in line[1:])
    assert shown == len(table.rows)
    assert found["summary"].rows[0][:2] == ("all cells", str(len(table.rows)))


def test_the_page_shows_the_stored_table_beside_the_model_as_it_is(table: Table) -> None:
    """Where it does not: ``make links LINKS_ARGS='--stored --write'``."""
    page = (ROOT / "docs" / "link-model.md").read_text(encoding="utf-8")
    assert filled(page, table) == page


@given(st.lists(st.floats(1, 100), min_size=1), st.lists(st.floats(1, 100), min_size=1))
def test_more_repetitions_join_the_row(first: list[float], second: list[float]) -> None:
    joined = row(CELL, *first).joined(row(CELL, *second))
    assert joined.transfer_ms == (*first, *second)
    assert joined.late_us == pytest.approx(1.0)


def test_repetitions_end_when_the_median_is_known_or_enough_was_tried() -> None:
    assert not settled(row(CELL, *[10.0] * (CHANCE - 1)))
    assert settled(row(CELL, *[10.0] * CHANCE))
    wild = [10.0, 90.0] * CHANCE
    assert not settled(row(CELL, *wild[:CHANCE]))
    assert settled(row(CELL, *(wild * 2)[:MOST]))
    without_chance = Cell(40.0, 50.0, 0.0, 0.0, 1 << 20, 1, "cubic")
    assert settled(row(without_chance, *[10.0, 90.0, 50.0][:STEADY]))
