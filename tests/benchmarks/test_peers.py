"""What the peers are measured with."""

from __future__ import annotations

from pathlib import Path

from benchmarks.contenders import BY_KEY, ROOT
from benchmarks.peers.environment import CONSTRAINTS
from benchmarks.variants import PROJECT, write_variants
from gress_ml.engine.stores import open_models
from gress_ml.topology.load import load_topology

#: What Quix Streams asks for in older releases.
OLDER = {"confluent-kafka", "pydantic", "pydantic_core"}


def pins(path: Path) -> dict[str, str]:
    lines = path.read_text().splitlines()
    return dict(line.split("==") for line in lines if not line.startswith("#"))


def test_peers_run_on_the_same_versions_but_where_they_ask_for_older_ones() -> None:
    ours, theirs = pins(ROOT / "constraints.txt"), pins(CONSTRAINTS)
    assert {name for name in ours.keys() & theirs if ours[name] != theirs[name]} == OLDER
    assert {"numpy", "onnxruntime", "msgspec", "orjson", "aiokafka"} <= ours.keys() & theirs


def test_a_variant_differs_from_the_shipped_topology_where_it_says_so(tmp_path: Path) -> None:
    write_variants(tmp_path)
    folder = tmp_path / PROJECT / "topologies"
    read = {
        key: load_topology(folder / f"{key}.yaml", open_models) for key in ("gress", "bad_1pct")
    }
    assert [topology.name for topology in read.values()] == [BY_KEY[key].group for key in read]
    assert read["gress"].steps == read["bad_1pct"].steps
    assert read["bad_1pct"].inputs["transfers"].topic == BY_KEY["bad_1pct"].reads
    once = (folder / "exactly_once.yaml").read_text()
    assert "\nguarantee: exactly_once\ncommit_interval: 100ms\n" in once
