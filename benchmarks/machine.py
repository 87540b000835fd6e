"""The machine and the versions that figures belong to."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from gress_ml.dev.settings import KAFKA_VERSION

_PACKAGES = (
    "aiokafka",
    "confluent-kafka",
    "faust-streaming",
    "onnxruntime",
    "onnxruntime-gpu",
    "ai-edge-litert",
    "msgspec",
    "orjson",
    "numpy",
)


def describe_machine() -> list[tuple[str, str]]:
    """What to know beside a figure, as name and value."""
    one, five, fifteen = os.getloadavg()
    return [
        ("processor", f"{len(os.sched_getaffinity(0))} x {_processor()}"),
        ("memory", f"{psutil.virtual_memory().total / 2**30:.0f} GiB"),
        ("load before", f"{one:.1f} {five:.1f} {fifteen:.1f}"),
        ("system", f"{platform.system()} {platform.release()}"),
        ("Python", platform.python_version()),
        ("broker", f"Apache Kafka {KAFKA_VERSION}, one node, on the same machine"),
        *((name, found) for name in _PACKAGES if (found := _version(name))),
    ]


def _version(package: str) -> str | None:
    """None where it is not installed: of the two ONNX Runtimes only one is."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
