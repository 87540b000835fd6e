"""The pictures of a report, as SVG. The same figures give the same files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from io import StringIO
from typing import Any

import numpy as np

from gress_ml.dwcp.profiles import ALGORITHMS
from gress_ml.dwcp.training import pareto
from gress_ml.dwcp.training.calibration import Bin
from gress_ml.dwcp.training.ensemble import Choice
from gress_ml.dwcp.training.evaluation import Evaluation, Slice
from gress_ml.dwcp.training.extra import library
from gress_ml.dwcp.training.pareto import Point
from gress_ml.dwcp.training.robustness import Perturbed

INK, SOFT, LINE = "#1c2430", "#5d6b7c", "#e3e8ee"
BLUE, ORANGE, GREEN, GREY = "#2f6fde", "#e08a1e", "#1a9c6b", "#b4bfcc"
_COLOURS = {"hde": BLUE, "amst": ORANGE, "none": GREEN}

_STYLE: Mapping[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "gress",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": LINE,
    "axes.labelcolor": SOFT,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.8,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "legend.frameon": False,
    "figure.facecolor": "white",
}


def _drawn(draw: Callable[[Any, Any], None], size: tuple[float, float], columns: int = 1) -> str:
    """An SVG of one or more axes side by side."""
    matplotlib = library("matplotlib")
    figures = library("matplotlib.figure")
    with matplotlib.rc_context(dict(_STYLE)):
        figure = figures.Figure(figsize=size, layout="constrained")
        axes = figure.subplots(1, columns)
        draw(axes, figure)
        buffer = StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


def policies(found: Evaluation) -> str:
    """Throughput of each way to choose, relative to the rules, with its interval."""

    def draw(axes: Any, figure: Any) -> None:
        ways = [one for one in found.policies if one.name != "rules"][::-1]
        place = np.arange(len(ways))
        value = np.array([one.gain.value for one in ways]) * 100
        low = value - np.array([one.gain.low for one in ways]) * 100
        high = np.array([one.gain.high for one in ways]) * 100 - value
        colours = [BLUE if one.name == "selector" else GREY for one in ways]
        axes.barh(place, value, color=colours, height=0.62)
        axes.errorbar(value, place, xerr=[low, high], fmt="none", ecolor=INK, capsize=3, lw=1.2)
        for at, one in zip(place, ways, strict=True):
            end = max(one.gain.high * 100, 0.0)
            axes.annotate(
                f"{one.gain.value:+.0%}", (end, at), (6, 0), textcoords="offset points", va="center"
            )
        axes.set_yticks(place, [one.name for one in ways])
        axes.axvline(0, color=INK, lw=1)
        axes.margins(x=0.12)
        axes.grid(axis="y", visible=False)
        axes.set_xlabel("throughput against the rules, %")

    return _drawn(draw, (8.2, 3.2))


def confusion(found: Evaluation) -> str:
    """Rows per true and chosen profile, and what each confusion adds to the cost."""

    def draw(axes: Any, figure: Any) -> None:
        shares = found.confusion / np.maximum(found.confusion.sum(axis=1, keepdims=True), 1)
        rows = [
            [f"{count:,}\n{share:.1%}" for count, share in zip(*pair, strict=True)]
            for pair in zip(found.confusion.tolist(), shares.tolist(), strict=True)
        ]
        costs = [[f"{cost:.2%}" for cost in line] for line in found.confusion_cost.tolist()]
        _matrix(axes[0], shares, rows, "rows, and share of the cheapest", "Blues", 1.0)
        most = max(float(found.confusion_cost.max()), 1e-9)
        _matrix(axes[1], found.confusion_cost, costs, "added to the cost of all", "Oranges", most)

    return _drawn(draw, (8.2, 3.7), 2)


def _matrix(
    axes: Any, values: Any, labels: Sequence[Sequence[str]], title: str, colours: str, most: float
) -> None:
    axes.imshow(values, cmap=colours, vmin=0, vmax=most * 1.25)
    for row, line in enumerate(labels):
        for column, text in enumerate(line):
            dark = values[row][column] > most * 0.7
            axes.text(column, row, text, ha="center", va="center", color="white" if dark else INK)
    axes.set_xticks(range(len(ALGORITHMS)), ALGORITHMS)
    axes.set_yticks(range(len(ALGORITHMS)), ALGORITHMS)
    axes.set_xlabel("sent as")
    axes.set_ylabel("cheapest")
    axes.set_title(title)
    axes.grid(visible=False)


def calibration(curve: Sequence[Bin], ece: float) -> str:
    """How often the model is right, by how sure it is."""

    def draw(axes: Any, figure: Any) -> None:
        most = max(part.rows for part in curve)
        axes.plot([0.3, 1], [0.3, 1], color=GREY, lw=1.2, ls="--", label="as sure as right")
        axes.plot([p.confidence for p in curve], [p.right for p in curve], color=BLUE, lw=1.6)
        axes.scatter(
            [p.confidence for p in curve],
            [p.right for p in curve],
            s=[20 + 240 * p.rows / most for p in curve],
            color=BLUE,
            zorder=3,
            label=f"test part, ECE {ece:.4f}",
        )
        axes.set_xlabel("confidence")
        axes.set_ylabel("share right")
        axes.legend(loc="lower right")
        axes.set_title("the larger a dot, the more rows")

    return _drawn(draw, (5.6, 4.4))


def importance(shares: Mapping[str, float], count: int = 18) -> str:
    """Mean |TreeSHAP| of the features that count most."""

    def draw(axes: Any, figure: Any) -> None:
        top = [*shares.items()][:count][::-1]
        axes.barh([name for name, _ in top], [100 * share for _, share in top], color=BLUE)
        axes.set_xlabel("mean |TreeSHAP|, % of all features")
        axes.grid(axis="y", visible=False)

    return _drawn(draw, (8.2, 5.2))


def heat(found: Evaluation) -> str:
    """Regret per payload class and link type."""

    def draw(axes: Any, figure: Any) -> None:
        kinds = sorted({kind for kind, _ in found.heat})
        links = [
            name
            for name in ("dc", "metro", "wan", "edge")
            if any(link == name for _, link in found.heat)
        ]
        links += sorted({link for _, link in found.heat} - set(links))
        grid = (
            np.array([[found.heat.get((kind, link), np.nan) for link in links] for kind in kinds])
            * 100
        )
        most = max(float(np.nanmax(grid)), 1e-9)
        axes.imshow(grid, cmap="Oranges", vmin=0, vmax=most * 1.25, aspect="auto")
        for row, line in enumerate(grid.tolist()):
            for column, value in enumerate(line):
                text = "" if value != value else f"{value:.2f} %"
                colour = "white" if value > most * 0.7 else INK
                axes.text(column, row, text, ha="center", va="center", color=colour)
        axes.set_xticks(range(len(links)), links)
        axes.set_yticks(range(len(kinds)), kinds)
        axes.grid(visible=False)

    return _drawn(draw, (8.2, 0.5 * len({kind for kind, _ in found.heat}) + 1.0))


def slices(groups: Sequence[tuple[str, Sequence[Slice]]]) -> str:
    """Gain over the rules with intervals, per slice, one panel per kind of slice."""

    def draw(axes: Any, figure: Any) -> None:
        for panel, (title, parts) in zip(axes, groups, strict=True):
            ordered = parts[::-1]
            value = np.array([one.gain.value for one in ordered]) * 100
            low = value - np.array([one.gain.low for one in ordered]) * 100
            high = np.array([one.gain.high for one in ordered]) * 100 - value
            place = np.arange(len(ordered))
            panel.errorbar(
                value, place, xerr=[low, high], fmt="o", color=BLUE, ecolor=BLUE, capsize=3
            )
            panel.set_yticks(place, [one.name.split(": ")[-1] for one in ordered])
            panel.axvline(0, color=INK, lw=1)
            panel.set_title(title)
            panel.set_xlabel("gain over the rules, %")
            panel.margins(y=0.15)

    return _drawn(draw, (8.2, 3.4), len(groups))


def robustness(levels: Sequence[Perturbed]) -> str:
    """Regret and gain as measurements get worse."""

    def draw(axes: Any, figure: Any) -> None:
        names = [f"±{one.level:.0%}" if one.level else "exact" for one in levels]
        for panel, title, values in (
            (axes[0], "regret, %", [100 * one.regret for one in levels]),
            (axes[1], "gain over the rules, %", [100 * one.gain for one in levels]),
        ):
            panel.plot(names, values, marker="o", color=BLUE)
            panel.set_ylim(0, 1.15 * max(values))
            panel.set_title(title)
            panel.set_xlabel("error of every measurement")

    return _drawn(draw, (8.2, 2.8), 2)


def sizes(points: Sequence[Point], chosen: Point) -> str:
    """Regret against the nodes per row, with the Pareto front."""

    def draw(axes: Any, figure: Any) -> None:
        front = pareto.front(points)
        axes.scatter(
            [p.nodes for p in points],
            [100 * p.regret for p in points],
            color=GREY,
            s=24,
            label="tried",
        )
        axes.plot(
            [p.nodes for p in front],
            [100 * p.regret for p in front],
            color=BLUE,
            marker="o",
            lw=1.4,
            label="front of regret and nodes",
        )
        axes.scatter(
            [chosen.nodes],
            [100 * chosen.regret],
            color=ORANGE,
            s=110,
            zorder=4,
            label=f"chosen: {chosen.rounds} rounds, depth {chosen.depth}",
        )
        axes.set_xlabel("nodes that a row passes, in all trees together")
        axes.set_ylabel("regret on the validation part, %")
        axes.legend()

    return _drawn(draw, (8.2, 3.6))


def shares(tried: Sequence[Choice], chosen: float) -> str:
    """Regret on the validation part, by the trees' share."""

    def draw(axes: Any, figure: Any) -> None:
        axes.plot(
            [one.share for one in tried],
            [100 * one.regret for one in tried],
            color=BLUE,
            marker="o",
        )
        axes.axvline(chosen, color=ORANGE, lw=1.4, label=f"chosen: {chosen:.1f}")
        axes.axvline(0.7, color=GREY, lw=1.4, ls="--", label="default: 0.7")
        axes.set_xlabel("share of the trees")
        axes.set_ylabel("regret on the validation part, %")
        axes.legend()

    return _drawn(draw, (8.2, 2.8))
