"""What comes from outside is bounded before it costs memory or time.

What becomes of a batch that is not read: tests/adapters/kafka/test_unreadable.py. The size and
depth of events: tests/runtime/test_decode.py. Size, depth and aliases of topologies:
tests/topology/test_topology_yaml.py. Expressions: tests/test_expression.py. Sizes of model files,
links and pickles: tests/registry/test_safety.py.
"""

from __future__ import annotations

import gzip
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import lz4.frame
import numpy as np
import pytest
import zstandard
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from external_model import external_model

from gress_ml.adapters.kafka import decompression
from gress_ml.adapters.kafka.decompression import BatchTooLargeError, bound_decompression
from gress_ml.adapters.prometheus import MOST_SERIES, OTHER, PrometheusMetrics
from gress_ml.errors import ModelCorrupt
from gress_ml.inference.onnx import OnnxGraph
from gress_ml.metrics import DEAD_LETTERS
from gress_ml.registry import Registry

CODECS = {
    "gzip": DefaultRecordBatch.CODEC_GZIP,
    "lz4": DefaultRecordBatch.CODEC_LZ4,
    "snappy": DefaultRecordBatch.CODEC_SNAPPY,
    "zstd": DefaultRecordBatch.CODEC_ZSTD,
}


def batch_of(codec: str, value: bytes) -> DefaultRecordBatch:
    """One record in a batch, as it comes from a broker."""
    builder = DefaultRecordBatchBuilder(2, CODECS[codec], 0, -1, -1, 0, 1 << 30)
    builder.append(0, 0, None, value, [])
    return DefaultRecordBatch(bytes(builder.build()))


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("value", [b"", b"a" * 100_000, np.random.default_rng(1).bytes(50_000)])
def test_batches_of_each_compression_are_read(codec: str, value: bytes) -> None:
    bound_decompression()
    (record,) = batch_of(codec, value)
    assert record.value == value


@pytest.mark.parametrize("codec", ["gzip", "lz4", "zstd"])
def test_a_batch_that_grows_without_end_is_refused(codec: str) -> None:
    """Snappy is not here: its format gives at most 22 bytes for each one that it takes."""
    bound_decompression()
    small = batch_of(codec, bytes(3 * decompression.MAX_BATCH_BYTES))
    tracemalloc.start()
    try:
        with pytest.raises(BatchTooLargeError, match="holds more than"):
            list(small)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 2.5 * decompression.MAX_BATCH_BYTES


@pytest.mark.parametrize(
    ("decode", "encode"),
    [
        (decompression._gzip, gzip.compress),
        (decompression._lz4, lz4.frame.compress),
        (decompression._zstd, zstandard.ZstdCompressor().compress),
    ],
)
def test_streams_in_several_frames_are_read_to_the_end(
    decode: Callable[[bytes], bytes], encode: Callable[[bytes], bytes]
) -> None:
    assert decode(encode(b"one ") + encode(b"two")) == b"one two"


def test_labels_made_of_data_do_not_fill_the_memory() -> None:
    metrics = PrometheusMetrics()
    for number in range(3 * MOST_SERIES):
        metrics.record(DEAD_LETTERS, 1, ("topic", f"code-{number}"))
    assert metrics.value(DEAD_LETTERS, (OTHER, OTHER)) == 2 * MOST_SERIES
    lines = metrics.page().decode().splitlines()
    assert sum(line.startswith(f"{DEAD_LETTERS.name}{{") for line in lines) == MOST_SERIES + 1
    assert len(metrics._known) == MOST_SERIES


@pytest.mark.parametrize("place", ["parent", "absolute", "link"])
def test_a_model_reads_no_weights_from_outside_its_folder(tmp_path: Path, place: str) -> None:
    outside = tmp_path / "outside.bin"
    outside.write_bytes(bytes(16))
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "link.bin").symlink_to(outside)
    where = {"parent": "../outside.bin", "absolute": str(outside), "link": "link.bin"}[place]
    (folder / "model.onnx").write_bytes(external_model(where))
    with pytest.raises(ModelCorrupt, match="External data path"):
        OnnxGraph(folder / "model.onnx")


def test_weights_beside_a_model_are_no_part_of_its_bundle(tmp_path: Path) -> None:
    """They would be read without a checksum."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(external_model("weights.bin"))
    registry = Registry(tmp_path / "registry")
    published = registry.push(folder, "model", "1.0.0").folder
    (published / "weights.bin").write_bytes(bytes(16))
    with pytest.raises(ModelCorrupt, match="expected only the files of"):
        registry.find("model", "1.0.0")


def test_json_that_is_nested_without_end_is_a_fault_of_the_bundle(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"x")
    (tmp_path / "label_encoder.json").write_text("[" * 200_000)
    with pytest.raises(ModelCorrupt, match="expected JSON"):
        Registry(tmp_path / "registry").open_folder(tmp_path)
