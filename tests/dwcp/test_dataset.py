from __future__ import annotations

import shutil
import sysconfig
from collections import defaultdict
from dataclasses import replace
from itertools import pairwise
from math import isnan, log, nan
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import orjson
import pyarrow.parquet as parquet
import pytest
from typer.testing import CliRunner

from gress_ml.cli.main import app
from gress_ml.dwcp import codecs
from gress_ml.dwcp.contracts import json_schema
from gress_ml.dwcp.corpus.catalogue import kinds_here
from gress_ml.dwcp.corpus.pool import Pool
from gress_ml.dwcp.dataset import Dataset, DatasetError, outcomes, read, transfers
from gress_ml.dwcp.dataset.build import shares, write_labelled, write_sample
from gress_ml.dwcp.dataset.columns import ARM_FIELDS, COLUMNS, markdown
from gress_ml.dwcp.dataset.labelling import Measured, label
from gress_ml.dwcp.dataset.measuring import Progress, measure, measurements
from gress_ml.dwcp.dataset.noise import Noise, spread
from gress_ml.dwcp.dataset.recipe import Labelling, Recipe, planned
from gress_ml.dwcp.events import HISTORY_FIELDS, OUTCOME, TRANSFER
from gress_ml.dwcp.history import DEFAULT_ALPHA, History, observation
from gress_ml.dwcp.links import LINKS
from gress_ml.dwcp.payloads import PAYLOAD_TYPES
from gress_ml.dwcp.profiles import ALGORITHMS, profiles
from gress_ml.dwcp.transfers import Arm, Payload, traits_of
from gress_ml.record import FileRecord
from gress_ml.runtime.decode import Decoder

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "tests" / "data" / "transfers-sample.parquet"
TINY = Recipe(
    sources=1, cohorts=2, pieces=1, most_states=2, median_bytes=8 << 10, sigma=0.5,
    most_bytes=32 << 10, again_share=0.5,
)  # fmt: skip


@pytest.fixture(scope="module")
def pool() -> Pool:
    """A few files of this Python."""
    stdlib = Path(sysconfig.get_path("stdlib"))
    folders = ("json", "email", "lib-dynload", "logging", "wsgiref", "ensurepip")
    return Pool.below([[stdlib / name] for name in folders])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, pool: Pool) -> Path:
    """A tiny data set, really measured."""
    made = tmp_path_factory.mktemp("dataset")
    measure(made, TINY, pool=pool)
    write_labelled(made, Labelling(rows=1000))
    return made


@pytest.fixture(scope="module")
def data(folder: Path) -> Dataset:
    return read(folder)


# --- measuring ------------------------------------------------------------------------------------


def test_the_plan_has_every_class_in_every_cohort_and_no_id_twice() -> None:
    recipe = Recipe(sources=200)
    plan = list(planned(recipe, kinds_here()[0]))
    assert len({one.source_id for one in plan}) == len(plan)
    for payload_class in PAYLOAD_TYPES:
        cohorts = {one.cohort for one in plan if one.kind.payload_class == payload_class}
        assert cohorts == set(range(recipe.cohorts))
    sizes = [size for one in plan for size in one.sizes]
    assert all(recipe.least_bytes <= size <= recipe.most_bytes for size in sizes)
    assert list(planned(recipe, kinds_here()[0])) == plan


def test_all_bytes_of_every_arm_are_verified(folder: Path) -> None:
    rows = measurements(folder)
    assert {row["traits"]["payload_type"] for row in rows} >= {"vm_disk", "database", "source"}
    for row in rows:
        for arm in (*row["arms"].values(), row["baseline"]):
            assert arm["verified_bytes"] == row["traits"]["payload_size"]
        assert set(row["arms"]) == set(ALGORITHMS)


@pytest.mark.parametrize("workers", [1, 2])
def test_what_is_measured_is_not_measured_again(folder: Path, pool: Pool, workers: int) -> None:
    parts = sorted((folder / "parts").glob("*.jsonl"))
    before = {part: part.read_bytes() for part in parts}
    lost = next(part for part in parts if part.name.startswith("source-"))
    lost.unlink()
    seen: list[Progress] = []
    measure(folder, TINY, workers, pool, seen.append)
    assert [one.sources for one in seen] == [len(parts) - 1, len(parts)]
    assert lost.exists()
    assert all(part.read_bytes() == data for part, data in before.items() if part != lost)
    lost.write_bytes(before[lost])


def test_a_folder_of_another_recipe_is_refused(folder: Path, pool: Pool) -> None:
    with pytest.raises(DatasetError, match=r"another recipe \(seed, pieces differ\)"):
        measure(folder, replace(TINY, seed=3, pieces=9), pool=pool)


def test_a_folder_of_a_machine_that_lacked_something_is_refused(
    folder: Path, pool: Pool, tmp_path: Path
) -> None:
    shutil.copytree(folder, tmp_path / "copy")
    path = tmp_path / "copy" / "recipe.json"
    begun = orjson.loads(path.read_bytes())
    path.write_bytes(orjson.dumps({**begun, "lacking": {"media/png": "no encoder"}}))
    with pytest.raises(DatasetError, match="media/png"):
        measure(tmp_path / "copy", TINY, pool=pool)


def test_a_damaged_part_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="nothing is measured yet"):
        measurements(tmp_path)
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "log-plain-00-00.jsonl").write_bytes(b'{}\n{"payload')
    with pytest.raises(DatasetError, match=r"log-plain-00-00.jsonl:2: .*delete the file"):
        measurements(tmp_path)


# --- labelling ------------------------------------------------------------------------------------


def test_there_are_as_many_rows_as_wanted_on_each_kind_of_link(data: Dataset) -> None:
    assert len(data) >= 1000
    counts = {kind: count for kind, (count, _) in shares(data, "link_type").items()}
    assert counts == dict.fromkeys(LINKS, len(data) // len(LINKS))


def test_the_label_is_the_arm_of_lowest_cost(data: Dataset) -> None:
    costs = data.arms("cost")
    assert [ALGORITHMS[at] for at in costs.argmin(axis=1)] == data["label"].tolist()
    parts = sum(data.arms(name) for name in ("compress_ms", "transfer_ms", "decompress_ms"))
    np.testing.assert_allclose(data.arms("total_ms"), parts, atol=1e-3)
    price = data.manifest["labelling"]["cpu_price"]
    np.testing.assert_allclose(
        costs, data.arms("total_ms") + price * data.arms("cpu_ms"), atol=1e-3
    )


def test_rows_are_in_order_of_time_and_cohorts_do_not_overlap(data: Dataset) -> None:
    times = data["time_ms"]
    assert (np.diff(times) >= 0).all()
    cohorts = sorted(set(data["cohort"].tolist()))
    assert cohorts == [0, 1]
    for before, after in pairwise(cohorts):
        assert times[data["cohort"] == before].max() < times[data["cohort"] == after].min()


@pytest.mark.parametrize("column", ["source_id", "object_id", "vm_id", "link_condition_id"])
def test_cohorts_share_nothing(data: Dataset, column: str) -> None:
    first, second = data.part(0, 0.5), data.part(0.5, 1)
    assert len(first) + len(second) == len(data)
    assert not set(first[column].tolist()) & set(second[column].tolist())


def test_a_vm_sends_the_versions_of_an_object_in_their_order(data: Dataset) -> None:
    sent = defaultdict(list)
    for vm, thing, version in zip(
        data["vm_id"], data["object_id"], data["version"].tolist(), strict=True
    ):
        sent[vm, thing].append(version)
    assert all(versions == list(range(len(versions))) for versions in sent.values())
    np.testing.assert_array_equal(data["has_baseline"], data["version"] > 0)


def test_history_is_what_had_arrived_before_the_transfer(data: Dataset) -> None:
    """Told anew from the columns: every outcome counts from when it ended, and none before."""
    arms = {name: data.arms(name) for name in ARM_FIELDS}
    rows = range(len(data))
    keys = [f"{data['vm_id'][at]} {data['payload_type'][at]}".encode() for at in rows]
    by_vm = defaultdict(list)
    for at in rows:
        by_vm[data["vm_id"][at]].append(at)

    def seen(at: int) -> tuple[float, Any]:
        observed = data["observed"][at]
        names = ALGORITHMS if observed == "all" else (observed,)
        ran = {
            name: {field: arms[field][at, ALGORITHMS.index(name)].item() for field in ARM_FIELDS}
            for name in names
        }
        used = data["label"][at] if observed == "all" else observed
        ratio = data["baseline_ratio"][at].item() if observed == "all" else nan
        ended = data["time_ms"][at] + int(arms["total_ms"][at, ALGORITHMS.index(used)]) + 1
        return ended, observation(data["payload_size"][at].item(), ran, ratio)

    for those in list(by_vm.values())[:20]:
        for at in those:
            history = History(DEFAULT_ALPHA)
            earlier = [(seen(one), one) for one in those if one < at]
            for (ended, row), one in sorted(earlier, key=lambda each: each[0][0]):
                if ended <= data["time_ms"][at]:
                    history.observe(keys[one], row)
            expected = np.array(history.row(keys[at]), np.float32)
            got = np.array([data[name][at] for name in HISTORY_FIELDS], np.float32)
            np.testing.assert_array_equal(got, expected)


def test_mostly_one_arm_is_observed_and_all_on_the_dual_run_share(data: Dataset) -> None:
    share = float(np.mean(data["observed"] == "all"))
    assert 0.15 < share < 0.35
    assert set(data["observed"].tolist()) == {"all", *ALGORITHMS}


def measured(size: int, number: int, again: bool = False) -> Measured:
    bytes_ = bytes(range(256)) * (size // 256)
    payload = Payload("text", bytes_)
    arms = {name: codecs.run(way, bytes_) for name, way in profiles().items()}
    about = {
        "payload_id": f"p{number}.0",
        "object_id": f"p{number}",
        "source_id": f"s{number}",
        "cohort": number % 2,
        "version": 0,
    }
    return Measured(
        about, traits_of(payload), arms, dict.fromkeys(ALGORITHMS, 1), 2.0, arms if again else None
    )


def test_labelling_is_a_function_of_the_measurements() -> None:
    payloads = [measured(4096 << number, number, again=True) for number in range(4)]
    columns, noise = label(payloads, Labelling(rows=50))
    again, _ = label(payloads[::-1], Labelling(rows=50))
    assert orjson.dumps(columns) == orjson.dumps(again)
    assert noise.summary()["all"]["labels_changed"] == 0
    assert noise.summary()["all"]["regret"] == 0


def test_the_price_of_cpu_moves_costs_and_nothing_else() -> None:
    payloads = [measured(1 << 16, 0)]
    free, dear = (label(payloads, Labelling(rows=8, cpu_price=price))[0] for price in (0.0, 50.0))
    assert free["arm_hde_cost"] == free["arm_hde_total_ms"]
    assert free["arm_hde_total_ms"] == dear["arm_hde_total_ms"]
    assert all(a < b for a, b in zip(free["arm_hde_cost"], dear["arm_hde_cost"], strict=True))


def arms_costing(*costs: float) -> dict[str, Arm]:
    return {
        name: Arm(1, 0.0, 0.0, 0.0, 0.0, 0.0, 1, one, one)
        for name, one in zip(ALGORITHMS, costs, strict=True)
    }


def test_noise_of_known_costs() -> None:
    noise = Noise()
    noise.add("wan", arms_costing(1.0, 2.0, 3.0), arms_costing(1.0, 2.0, 3.0))
    noise.add("dc", arms_costing(1.0, 2.0, 3.0), arms_costing(3.0, 2.0, 4.0))
    found = noise.summary()
    assert found["wan"] == {"transfers": 1, "labels_changed": 0, "regret": 0, "mean_regret": 0}
    assert found["dc"]["labels_changed"] == 1
    assert found["dc"]["regret"] == pytest.approx(0.5)
    assert found["all"]["regret"] == pytest.approx(4 / 3 - 1)
    assert found["all"]["mean_regret"] == pytest.approx(0.25)


def test_spread_of_known_times() -> None:
    assert spread([(1.0, 1.0), (2.0, 1.0), (0.0, 1.0)])["median"] == pytest.approx(log(2) / 2)
    assert isnan(spread([])["p90"])


# --- reading --------------------------------------------------------------------------------------


def test_the_columns_are_those_that_are_declared(data: Dataset) -> None:
    assert data.names == tuple(column.name for column in COLUMNS)
    assert len(set(data.names)) == len(data.names)
    kinds = {"float": "f", "int": "i", "bool": "b", "text": "O"}
    assert [data[one.name].dtype.kind for one in COLUMNS] == [kinds[one.kind] for one in COLUMNS]


def test_only_history_is_ever_unknown(data: Dataset) -> None:
    unknown = {
        one.name for one in COLUMNS if one.kind == "float" and np.isnan(data[one.name]).any()
    }
    assert unknown == set(HISTORY_FIELDS)


def test_messages_of_the_data_set_keep_the_contract(data: Dataset) -> None:
    for schema, messages in ((TRANSFER, transfers(data)), (OUTCOME, outcomes(data))):
        found = [orjson.dumps(message) for message in messages]
        assert len(found) == len(data)
        for one in found[:20]:
            jsonschema.validate(
                orjson.loads(one), json_schema(schema), jsonschema.Draft202012Validator
            )
        records = [FileRecord(at, one) for at, one in enumerate(found)]
        assert not Decoder(schema).decode("t", 0, records)[1]


def test_a_few_columns_can_be_read_alone(folder: Path) -> None:
    assert read(folder, ("rtt_ms", "label")).names == ("rtt_ms", "label")
    with pytest.raises(KeyError, match="rtt_ms, label"):
        read(folder, ("rtt_ms", "label"))["cohort"]


def test_what_is_no_data_set_is_said(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="gress dataset build"):
        read(tmp_path)
    (tmp_path / "a.parquet").write_bytes(b"nothing")
    with pytest.raises(DatasetError, match="not a Parquet file"):
        read(tmp_path / "a.parquet")
    with pytest.raises(DatasetError, match="has no column colour"):
        read(folder, ("colour",))


def test_the_manifest_says_what_is_in_the_folder(folder: Path, data: Dataset) -> None:
    assert data.manifest["rows"] == len(data)
    assert data.manifest["payloads"] == len(measurements(folder))
    assert data.manifest["recipe"]["cohorts"] == 2
    assert data.manifest["noise_floor"]["payloads"] > 0


def test_every_payload_version_is_listed_with_its_hash_and_its_times(folder: Path) -> None:
    table = parquet.read_table(folder / "payloads.parquet")
    rows = measurements(folder)
    assert table["sha256"].to_pylist() == [row["sha256"] for row in rows]
    assert table["hde_compress_cpu_ms"].null_count == 0
    twice = sum("again" in row for row in rows)
    assert len(rows) - table["again_hde_compress_cpu_ms"].null_count == twice > 0


def test_a_sample_holds_whole_vms_of_every_cohort(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "sample.parquet"
    count = write_sample(folder, path, 300)
    sample, data = read(path), read(folder)
    assert len(sample) == count <= 300
    assert set(sample["cohort"].tolist()) == {0, 1}
    for vm in set(sample["vm_id"].tolist()):
        assert (sample["vm_id"] == vm).sum() == (data["vm_id"] == vm).sum()


def test_the_commands_label_show_and_sample(folder: Path, tmp_path: Path) -> None:
    copy, sample = tmp_path / "copy", tmp_path / "sample.parquet"
    shutil.copytree(folder, copy)
    (copy / "transfers.parquet").unlink()
    run = CliRunner().invoke
    labelled = run(app, ["dataset", "label", str(copy), "--rows", "100"])
    assert labelled.exit_code == 0, labelled.output
    sampled = run(app, ["dataset", "sample", str(sample), "--folder", str(copy), "--rows", "50"])
    assert sampled.exit_code == 0, sampled.output
    assert 0 < len(read(sample)) <= 50 < 100 <= len(read(copy))
    shown = run(app, ["dataset", "show", str(copy)])
    assert shown.exit_code == 0, shown.output
    for name in (*LINKS, "vm_disk", "noise floor"):
        assert name in shown.output


def test_the_documented_columns_are_those_of_the_code() -> None:
    page = (ROOT / "docs" / "dataset.md").read_text(encoding="utf-8")
    assert markdown() in page, "run: python -m gress_ml.dwcp.dataset.columns"


def test_the_sample_in_the_repository_can_be_read() -> None:
    sample = read(SAMPLE)
    assert 4000 < len(sample) <= 5000
    assert SAMPLE.stat().st_size < 2_000_000
    assert set(sample["payload_class"].tolist()) == set(PAYLOAD_TYPES)
    np.testing.assert_array_equal(np.array(ALGORITHMS, object)[sample.label], sample["label"])
