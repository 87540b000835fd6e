"""Topology: the flagship's, with the topics, the batch size and the store of one case."""

from __future__ import annotations

from pathlib import Path

from ruamel.yaml import YAML

from benchmarks.scaling.case import Case
from benchmarks.scaling.topics import input_of, output_of

ROOT = Path(__file__).parents[2]
FLAGSHIP = ROOT / "topologies" / "compression_selector.yaml"


def write_topology(case: Case, name: str, redis: str, home: Path) -> Path:
    """The file of the topology ``name``, which is its consumer group too: a new one reads all."""
    yaml = YAML(typ="safe")
    spec = yaml.load(FLAGSHIP)
    spec["name"] = name
    spec["batch"]["size"] = case.batch
    spec["checkpoint_dir"] = str(home / "checkpoints")
    spec["ml"]["model_registry"] = {"base_path": str(ROOT / "models")}
    spec["ml"]["feature_store"] |= {"backend": case.store, "redis_addr": redis}
    spec["inputs"]["transfers"]["topic"] = input_of(case.log)
    spec["inputs"]["outcomes"]["topic"] = f"{case.log.name}.outcomes"
    spec["outputs"]["decisions"]["topic"] = output_of(case.log)
    select = next(step for step in spec["steps"] if step["name"] == "select")
    select["config"]["batch_size"] = case.batch  # the smallest that anyone asks for counts
    path = home / f"{name}.yaml"
    yaml.dump(spec, path)
    return path
