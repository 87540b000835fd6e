"""Content: what the report says of a trained selector."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gress_ml.dwcp.training import pareto
from gress_ml.dwcp.training.evaluation import Evaluation, Slice
from gress_ml.dwcp.training.gates import Gate
from gress_ml.dwcp.training.intervals import Interval
from gress_ml.dwcp.training.latency import Latency
from gress_ml.dwcp.training.report import figures
from gress_ml.dwcp.training.report.document import (
    Block,
    Document,
    Grid,
    Picture,
    Section,
    Text,
)
from gress_ml.dwcp.training.scores import THRESHOLD
from gress_ml.dwcp.training.train import Trained


@dataclass(frozen=True, slots=True)
class Finished:
    """A trained selector, measured and judged."""

    name: str
    version: str
    schema: str  # name of the feature schema
    trained: Trained
    gates: Sequence[Gate]
    latencies: Sequence[Latency]
    files: Mapping[str, int]  # of the bundle: bytes
    machine: str
    data: Mapping[str, Any]  # the manifest of the data set


def report(done: Finished) -> Document:
    """The whole report."""
    return Document(
        f"{done.name} {done.version}: how well it chooses",
        [*_lead(done)],
        [
            Section("Gates", [gates_table(done.gates)]),
            Section("Against other ways to choose", [*_policies(done.trained.evaluation)]),
            Section("Where it wins and where it loses", [*_slices(done.trained.evaluation)]),
            Section("What is confused with what", [*_confusion(done.trained.evaluation)]),
            Section("How far its confidence can be trusted", [*_calibration(done)]),
            Section("What it looks at", [*_importance(done)]),
            Section("When measurements are wrong", [*_robustness(done)]),
            Section("Without one of its parts", [*_ablations(done)]),
            Section("How many trees", [*_sizes(done)]),
            Section("What a call takes", [*_latency(done)]),
            Section("How it was trained", [*_training(done)]),
            Section("What limits it", [*_limits(done)]),
        ],
    )


def gates_table(gates: Sequence[Gate]) -> Grid:
    """Every gate with its figure."""
    rows = [(gate.name, gate.figure, gate.bound, gate.verdict) for gate in gates]
    return Grid(("gate", "figure", "bound", ""), rows, words=True)


def span(interval: Interval, digits: int = 1) -> str:
    """A share and its 95 % interval, in percent."""
    low, high = f"{interval.low:.{digits}%}", f"{interval.high:.{digits}%}"
    return f"{interval.value:.{digits}%} ({low} to {high})"


def _lead(done: Finished) -> Iterator[Block]:
    found = done.trained.evaluation
    yield Text(
        f"On {found.rows:,} transfers of {found.sources:,} payload sources over "
        f"{found.conditions:,} links, none of which training has seen, the selector moves "
        f"**{found.gain.value:.1%} more per second than the rules** (95 % interval "
        f"{found.gain.low:.1%} to {found.gain.high:.1%}). Its choices cost "
        f"**{found.regret.value:.2%}** more than the cheapest ones would have; the rules' cost "
        f"{_policy(found, 'rules').regret.value:.1%} more. It picks the cheapest profile in "
        f"{found.accuracy.value:.1%} of the transfers: where it does not, the profiles are mostly "
        "about as good as each other."
    )
    yield Text(
        "The cost of a transfer is its milliseconds from the first byte compressed to the last "
        "byte checked, and a tenth of the milliseconds of CPU. Every profile was really run on "
        "every payload; times on the link come from the link model. Intervals are those of a "
        "bootstrap that draws whole payload sources. All figures are of the selector as it serves: "
        f"where its confidence is not above {THRESHOLD}, the rules decide. Made on {done.machine} "
        "by `gress train selector`."
    )


def _policies(found: Evaluation) -> Iterator[Block]:
    yield Picture(
        "policies",
        figures.policies(found),
        "Throughput of the test part against the rules, with 95 % intervals.",
    )
    yield Grid(
        ("way to choose", "Mbit per s of cost", "gain over the rules", "regret", "accuracy"),
        [
            (
                one.name,
                f"{one.mbps:,.1f}",
                span(one.gain),
                span(one.regret, 2),
                f"{one.accuracy:.1%}",
            )
            for one in found.policies
        ],
    )
    yield Text(
        "The oracle knows what each profile will cost and takes the cheapest. Regret is what a way "
        "to choose costs beyond the oracle, as a share of the oracle's cost."
    )


def _slices(found: Evaluation) -> Iterator[Block]:
    yield Picture(
        "heat", figures.heat(found), "Regret by payload class and link type, on the test part."
    )
    yield Picture(
        "slices",
        figures.slices(
            [
                ("by link", found.by_link),
                ("by payload", found.by_payload),
                ("by size", found.by_size),
            ]
        ),
        "Gain over the rules, with 95 % intervals; right of 0 the selector is faster.",
    )
    for what, parts in (
        ("link type", found.by_link),
        ("payload class", found.by_payload),
        ("size", found.by_size),
    ):
        yield _slice_table(what, parts)


def _slice_table(what: str, parts: Sequence[Slice]) -> Grid:
    return Grid(
        (what, "transfers", "gain over the rules", "regret", "accuracy", "decided by the model"),
        [
            (
                one.name.split(": ")[-1],
                f"{one.rows:,}",
                span(one.gain),
                f"{one.regret:.2%}",
                f"{one.accuracy:.1%}",
                f"{one.by_model:.1%}",
            )
            for one in parts
        ],
    )


def _confusion(found: Evaluation) -> Iterator[Block]:
    yield Picture(
        "confusion",
        figures.confusion(found),
        "Left: how often. Right: what it costs, as a share of the cost of all traffic.",
    )
    yield Grid(
        ("profile", "transfers", "precision", "recall", "F1"),
        [
            (
                one.name,
                f"{one.rows:,}",
                span(one.precision),
                span(one.recall),
                f"{one.f1.value:.3f} ({one.f1.low:.3f} to {one.f1.high:.3f})",
            )
            for one in found.classes
        ],
    )
    yield Text(
        f"All confusions together add {found.regret.value:.2%} to the cost of the traffic. Within "
        f"the transfers that were not sent the cheapest way, the way that was taken cost "
        f"{span(found.confused)} more. The model alone, without the rules where it is not sure, "
        f"would be right in {found.model_accuracy:.1%} and have a regret of "
        f"{found.model_regret:.2%}; it decides {found.by_model:.1%} of the transfers."
    )


def _calibration(done: Finished) -> Iterator[Block]:
    found, model = done.trained.evaluation, done.trained.model
    yield Picture(
        "calibration",
        figures.calibration(found.curve, found.ece),
        "Of the transfers with a confidence, how many were sent the cheapest way.",
    )
    best = next(one for one in model.tried if one.share == model.trees_share)
    yield Text(
        "Margins of trees and network were scaled and shifted per profile so that the mixture of "
        "both is most likely on the validation part. Scales and shifts are folded into the leaves "
        f"of the trees (scale {best.trees.scale:.3f}) and into the network's last layer (scale "
        f"{best.network.scale:.3f}), so the files that are served are the calibrated ones."
    )


def _importance(done: Finished) -> Iterator[Block]:
    yield Picture(
        "importance",
        figures.importance(done.trained.importance),
        f"TreeSHAP of the trees on the test part, features of `{done.schema}`.",
    )


def _robustness(done: Finished) -> Iterator[Block]:
    levels = done.trained.robustness
    yield Text(
        "Every measured number of every event is multiplied by a factor of its own, and the "
        "features are made from that. The rules see the same wrong numbers; costs stay true."
    )
    yield Picture(
        "robustness",
        figures.robustness(levels),
        "What errors of measurement do, on the test part.",
    )
    yield Grid(
        ("error", "regret", "gain over the rules", "accuracy", "same choice as with true numbers"),
        [
            (
                f"±{one.level:.0%}" if one.level else "none",
                f"{one.regret:.2%}",
                f"{one.gain:+.1%}",
                f"{one.accuracy:.1%}",
                f"{one.same:.1%}",
            )
            for one in levels
        ],
    )


def _ablations(done: Finished) -> Iterator[Block]:
    yield Text(
        "The test part, with parts taken away and calibrated for themselves, and with trees "
        "trained anew on less information."
    )
    yield Grid(
        ("selector", "regret", "gain over the rules", "accuracy"),
        [
            (one.name, f"{one.regret:.2%}", f"{one.gain:+.1%}", f"{one.accuracy:.1%}")
            for one in done.trained.ablations
        ],
    )
    yield Picture(
        "shares",
        figures.shares(done.trained.model.tried, done.trained.model.trees_share),
        "The trees' share was chosen on the validation part.",
    )


def _sizes(done: Finished) -> Iterator[Block]:
    points = done.trained.grid
    chosen = pareto.chosen(points)
    yield Picture(
        "sizes",
        figures.sizes(points, chosen),
        "Every size of the trees that was tried, on the validation part.",
    )
    yield Grid(
        ("rounds", "depth", "nodes per row", "µs per row at 256", "µs at 1", "regret", "accuracy"),
        [
            (
                f"{one.rounds}",
                f"{one.depth}",
                f"{one.nodes}",
                f"{one.us_at_256:.2f}",
                f"{one.us_at_1:.0f}",
                f"{one.regret:.2%}",
                f"{one.accuracy:.1%}",
            )
            for one in pareto.front(points)
        ],
    )
    yield Text(
        f"Chosen are {chosen.rounds} rounds of depth {chosen.depth}: the fewest nodes whose regret "
        f"is within {pareto.SLACK:.0%} of the least that {pareto.MOST_NODES:,} nodes allow. The "
        "table is the Pareto front of regret and nodes."
    )


def _latency(done: Finished) -> Iterator[Block]:
    yield Grid(
        ("rows in a call", "p50", "p99", "per row", "p99 by the clock"),
        [
            (
                f"{one.rows}",
                f"{one.p50_us:,.0f} µs",
                f"{one.p99_us:,.0f} µs",
                f"{one.us_per_row:.2f} µs",
                f"{one.wall_p99_us:,.0f} µs",
            )
            for one in done.latencies
        ],
    )
    yield Text(
        "Trees and network together, warm, in one thread, on "
        f"{done.machine}. All but the last are CPU times: what a call takes on an idle core."
    )
    yield Grid(
        ("file", "kB"), [(name, f"{size / 1e3:,.1f}") for name, size in sorted(done.files.items())]
    )


def _training(done: Finished) -> Iterator[Block]:
    trained = done.trained
    rows = trained.parts.rows
    yield Text(
        f"Cohorts follow each other in time and share neither payload sources nor links: the "
        f"oldest 70 % of them train ({rows['train']:,} transfers), the next 15 % stop, calibrate "
        f"and choose ({rows['validation']:,}), the newest 15 % are the test part "
        f"({rows['test']:,}). On the training part the model is right {trained.gap:+.2%} more "
        "often than on the validation part."
    )
    yield Grid(
        ("fold of the training part", "transfers", "accuracy", "regret", "gain over the rules"),
        [
            (
                f"{number}",
                f"{fold.rows:,}",
                f"{fold.accuracy:.1%}",
                f"{fold.regret:.2%}",
                f"{fold.gain:+.1%}",
            )
            for number, fold in enumerate(trained.folds, 1)
        ],
    )
    yield Grid(
        ("setting", "trees", "network"),
        [
            (
                name,
                _setting(trained.trees.as_dict(), name),
                _setting(trained.network.as_dict(), name),
            )
            for name in {**trained.trees.as_dict(), **trained.network.as_dict()}
        ],
    )
    parity = ", ".join(f"{name} {gap:.1g}" for name, gap in trained.parity.items())
    yield Text(
        f"Settings came from {len(trained.trials['trees'])} trials of trees and "
        f"{len(trained.trials['network'])} of networks, by the regret on the validation part. The "
        f"exported files differ from the trained models by at most: {parity}."
    )


def _limits(done: Finished) -> Iterator[Block]:
    noise = done.data.get("noise_floor")
    if isinstance(noise, Mapping):
        yield Text(
            f"{noise.get('payloads')} payloads were measured twice. Sending their transfers as the "
            "first measurement says is not always best by the second: that much is noise, and no "
            "model can do better."
        )
        yield Grid(
            ("noise floor", "transfers", "labels that change", "regret of the first measurement"),
            [
                (
                    name,
                    f"{part['transfers']:,}",
                    f"{part['labels_changed']:.1%}",
                    f"{part['regret']:.2%}",
                )
                for name, part in noise.get("labels", {}).items()
            ],
        )
    found = done.trained.evaluation
    worst = max(found.heat.items(), key=lambda pair: pair[1])
    yield Text(
        f"The regret is highest for `{worst[0][0]}` over `{worst[0][1]}` ({worst[1]:.2%}). Links "
        "change between the moment of the measurement and the transfer, and what zstd will make "
        "of a payload is only estimated before: both are in the costs and in no feature."
    )


def _setting(settings: Mapping[str, float], name: str) -> str:
    return _plain(settings[name]) if name in settings else "–"


def _plain(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _policy(found: Evaluation, name: str) -> Any:
    return next(one for one in found.policies if one.name == name)
