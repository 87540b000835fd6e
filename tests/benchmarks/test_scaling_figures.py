"""The scaling benchmark: laws, medians, marks and the plan follow from what was measured."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import orjson
import pytest
from rich.console import Console

from benchmarks.scaling.axes import DEFAULT, FULL, QUICK, axes
from benchmarks.scaling.coordinator import Upkeep
from benchmarks.scaling.document import with_figures
from benchmarks.scaling.group import LARGEST_RECORD, Group, Sharing
from benchmarks.scaling.law import fit
from benchmarks.scaling.picture import picture
from benchmarks.scaling.plan import Costs, Load, Plan, largest_group
from benchmarks.scaling.point import Point
from benchmarks.scaling.report import sheets, verdict
from benchmarks.scaling.results import AxisResult, Level, Results

PAGE = Path(__file__).parents[2] / "docs" / "scaling.md"
COSTS = Costs(
    worker_us=12.0,
    broker_us=6.0,
    store_us=1.0,
    worker_mb=160.0,
    partition_mb=3.0,
    commit_us=300.0,
    transaction_us=1500.0,
)


def point(cpu_us: float, batch: float = 512.0) -> Point:
    return Point(cpu_us, 80e3, 6.0, 1.0, 160.0, batch)


def axis(name: str, costs: Sequence[float], *, is_constant: bool = True) -> AxisResult:
    levels = [
        Level(10.0**n, [point(cost, 10.0**n), point(cost), point(cost * 3, 10.0**n)])
        for n, cost in enumerate(costs)
    ]
    return AxisResult(name, levels, is_constant)


def results() -> Results:
    names = ("partitions", "events in the log", "keys in Redis")
    constant = [axis(name, (12.0, 12.5, 13.0)) for name in names]
    batches = axis("batch size", (100.0, 20.0, 12.0), is_constant=False)
    upkeep = [Upkeep("commit", 500.0, 300.0), Upkeep("transaction", 100.0, 1500.0)]
    sharings = [Sharing(4, 64, 0.0, 7_000), Sharing(64, 1024, 0.0, 1_300_000)]
    return Results([("processor", "2 x any")], [*constant, batches], sharings, upkeep)


# --- laws -----------------------------------------------------------------------------------------


def test_a_law_is_found_where_there_is_one() -> None:
    law = fit([1.0, 0.1, 0.01], [110.0, 20.0, 11.0])
    assert (law.fixed, law.growing, law.worst) == pytest.approx((10.0, 100.0, 0.0))


def test_a_dear_level_does_not_hide_that_a_cheap_one_lies_off() -> None:
    law = fit([1.0, 0.1, 0.01], [110.0, 20.0, 22.0])
    assert law.at(0.1) == pytest.approx(20.0, rel=0.3)
    assert law.worst > 0.1


def test_one_level_makes_no_law() -> None:
    with pytest.raises(ValueError, match="two levels"):
        fit([1.0], [1.0])


def test_one_outlier_does_not_move_a_level() -> None:
    assert axis("partitions", (12.0,)).levels[0].median("cpu_us") == 12.0


def test_cost_is_constant_up_to_fifteen_percent_and_not_beyond() -> None:
    assert axis("workers", (10.0, 11.4)).kept
    assert not axis("workers", (10.0, 11.6)).kept
    assert axis("batch size", (10.0, 100.0), is_constant=False).kept
    assert "(!)" in verdict(axis("workers", (10.0, 11.6)))


def test_batches_are_counted_as_they_were_and_not_as_they_were_asked_for() -> None:
    capped = Level(4096.0, [point(12.0, batch=2048.0)])
    assert AxisResult("batch size", [capped], is_constant=False).x(capped) == 1 / 2048


# --- axes -----------------------------------------------------------------------------------------


def test_quick_measures_the_ends_of_every_axis_and_full_adds_ten_million_events() -> None:
    assert [one.name for one in axes(QUICK)] == [one.name for one in axes(DEFAULT)]
    assert {len(one.cases) for one in axes(QUICK)} == {2}
    logs = {one.log.events for long in axes(FULL) for one in long.cases}
    assert max(logs) == 10_000_000
    assert max(one.log.events for short in axes(DEFAULT) for one in short.cases) == 1_000_000


def test_no_two_logs_share_their_topics() -> None:
    logs = {one.log for size in (DEFAULT, FULL) for along in axes(size) for one in along.cases}
    assert len({log.name for log in logs}) == len(logs)


# --- what is shown --------------------------------------------------------------------------------


def test_a_figure_without_its_store_is_marked() -> None:
    found = results()
    lost = replace(point(9.0), degraded=0.25)
    found.axes.append(AxisResult("keys in memory", [Level(7.0, [lost])], is_constant=True))
    costs = next(sheet for sheet in sheets(found) if sheet.name == "costs")
    assert costs.rows[-1][1] == "7 (25% without store)"


def test_tables_are_for_the_screen_and_for_the_page() -> None:
    console = Console(record=True, width=140, file=io.StringIO())
    for sheet in sheets(results()):
        sheet.show(console)
        assert len(sheet.markdown().splitlines()) == len(sheet.rows) + 2
    text = console.export_text()
    assert "constant within 8.3%" in text
    assert "Redis servers" in text


def test_the_file_has_every_repetition(tmp_path: Path) -> None:
    path = tmp_path / "build" / "scaling.json"
    results().write(path)
    body = orjson.loads(path.read_bytes())
    assert [len(level["points"]) for level in body["axes"][0]["levels"]] == [3, 3, 3]
    assert body["axes"][-1]["law"]["fixed"] > 0
    assert body["machine"] == {"processor": "2 x any"}


def test_the_picture_has_a_panel_per_axis_and_stays_within_its_frame() -> None:
    root = ElementTree.fromstring(picture(results().axes))
    space = "{http://www.w3.org/2000/svg}"
    assert len(root.findall(f"{space}g")) == len(results().axes)
    heights = [float(dot.get("cy", "-1")) for dot in root.iter(f"{space}circle")]
    assert heights
    assert all(0 < height < 190 for height in heights)


def test_figures_are_replaced_and_words_stay() -> None:
    page = "before\n<!-- a -->\nold\n<!-- /a -->\nbetween\n<!-- b -->\n<!-- /b -->\nafter\n"
    once = with_figures(page, {"a": "new"})
    assert once == page.replace("\nold\n", "\n\nnew\n\n")
    assert with_figures(once, {"a": "new"}) == once
    with pytest.raises(ValueError, match="marks of 'c'"):
        with_figures(page, {"c": "lost"})


def test_the_page_has_a_place_for_every_table() -> None:
    figures = {sheet.name: sheet.markdown() for sheet in sheets(results())}
    page = with_figures(PAGE.read_text(encoding="utf-8"), figures)
    assert "2 x any" in page


# --- the plan -------------------------------------------------------------------------------------


def test_the_plan_follows_from_the_cost_of_an_event() -> None:
    plan = Plan(Load(events_per_s=1_000_000), COSTS)
    assert (plan.cores, plan.workers, plan.partitions) == (12.0, 20, 160)
    told = {line.what: line.result for line in plan.lines()}
    assert told["memory of a worker, models and state of its partitions included"] == "181 MB"
    assert told["exactly once: transactions, one id per partition with events"] == "1,600/s"


def test_a_cheaper_event_needs_fewer_workers() -> None:
    half = Plan(Load(), replace(COSTS, worker_us=COSTS.worker_us / 2))
    assert half.workers * 2 == Plan(Load(), COSTS).workers


def test_the_largest_group_is_between_the_one_that_fits_and_the_one_that_does_not() -> None:
    square = [Sharing(n, 16 * n, 0.0, 256 * n * n) for n in (16, 32, 128)]
    assert largest_group(square) == int((LARGEST_RECORD / 256) ** 0.5)
    assert largest_group(square[:2]) == largest_group(square)


def test_a_group_is_measured_with_the_assignor_of_a_worker() -> None:
    two, eight = Group(2).share(16), Group(8).share(16)
    assert (two.members, eight.members) == (2, 8)
    assert 0 < two.kept_bytes < eight.kept_bytes < LARGEST_RECORD
