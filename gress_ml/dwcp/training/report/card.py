"""Model card: what a bundle's users should know of it (Mitchell and others: Model Cards for Model
Reporting, 2019)."""

from __future__ import annotations

from gress_ml.dwcp.training.report.content import Finished, gates_table, span
from gress_ml.dwcp.training.report.document import Document, Grid, Section, Text
from gress_ml.dwcp.training.scores import THRESHOLD


def card(done: Finished, forced: str = "") -> Document:
    """The card. ``forced`` is why it is published in spite of failed gates, if it is."""
    trained, found = done.trained, done.trained.evaluation
    rows, model = trained.parts.rows, trained.model
    weights = f"{model.trees_share:.1f} and {1 - model.trees_share:.1f}"
    lead = [
        Text(
            "Chooses for each transfer of a DWCP agent how its bytes go: `hde` (delta against "
            "the receiver's version and zstd at its strongest, one stream), `amst` (lz4, parallel "
            "streams) or `none` (as they are)."
        )
    ]
    if forced:
        lead.append(Text(f"**Published although gates failed:** {forced}"))
    return Document(
        f"Model card: {done.name} {done.version}",
        lead,
        [
            Section(
                "Model",
                [
                    Text(
                        f"Gradient-boosted trees ({model.booster.num_boosted_rounds()} rounds of "
                        f"depth {trained.trees.depth}) on raw features and a dense network of "
                        f"64, 32 and 16 units on standardised ones; their probabilities are "
                        f"averaged with the weights {weights}. Features: `{done.schema}`, in "
                        "`feature_schema.json`. Calibrated; the rules decide where the top "
                        f"probability is not above {THRESHOLD}."
                    )
                ],
            ),
            Section(
                "Intended use",
                [
                    Text(
                        "Transfers of 4 KiB to 16 MiB of virtual machines' memory and disks, "
                        "databases, logs, texts, programs, archives and media, over links from "
                        "data centre to edge. Not made for payloads of other kinds, encrypted "
                        "links that compress by themselves, or senders whose CPU is paid by the "
                        "second: the cost counts a millisecond of CPU as a tenth of one of waiting."
                    )
                ],
            ),
            Section(
                "Data",
                [
                    Text(
                        f"{sum(rows.values()):,} transfers: {rows['train']:,} to train, "
                        f"{rows['validation']:,} to stop, calibrate and choose, {rows['test']:,} "
                        "to test; parts share no payload source, link or time. Payloads come from "
                        "the machine that measured; every profile was run on each, times on the "
                        "link come from the link model. Nothing personal is in the bundle: it "
                        "keeps histograms of features only."
                    )
                ],
            ),
            Section(
                "Figures on the test part",
                [
                    Grid(
                        ("figure", "value and 95 % interval"),
                        [
                            ("gain over the rules", span(found.gain)),
                            ("regret", span(found.regret, 2)),
                            ("accuracy", span(found.accuracy)),
                            *(
                                (
                                    f"F1 of {one.name}",
                                    f"{one.f1.value:.3f} ({one.f1.low:.3f} to {one.f1.high:.3f})",
                                )
                                for one in found.classes
                            ),
                            ("calibration error", f"{found.ece:.4f}"),
                        ],
                    ),
                    gates_table(done.gates),
                ],
            ),
            Section(
                "Limits",
                [
                    Text(
                        "Times on the link are modelled. Codec times are those of one machine and "
                        "are scaled by the sender's load and cores as its events state them. A "
                        "link that changes during a transfer was not known when it was chosen. The "
                        "label is often a near tie: accuracy says less than regret."
                    )
                ],
            ),
        ],
    )
