"""Fetch the Kafka broker's jars once per machine, through Maven."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from gress_ml.dev.folder import complete_or_absent
from gress_ml.dev.java import find_java, java_home
from gress_ml.dev.settings import KAFKA_VERSION
from gress_ml.errors import ConfigError, GressError

POM = Path(__file__).with_name("kafka-pom.xml")
DOWNLOAD_S = 300.0


def kafka_jars(java: Path) -> Path:
    """The folder with the jars; downloaded on the first call (43 MB), found on all others."""
    folder = jars_folder()
    if folder.is_dir():
        return folder
    maven = shutil.which("mvn")
    if maven is None:
        raise ConfigError(
            f"Kafka {KAFKA_VERSION} is not in {folder}, and Maven, which fetches it, is not on "
            "PATH. To go on, install it (`apt-get install maven`); without it, `gress dev up "
            "--mock-kafka` starts librdkafka's mock cluster, a lesser mode"
        )
    with complete_or_absent(folder) as draft:
        _download(maven, java, draft)
    return folder


def jars_folder() -> Path:
    """In the user's cache; named after the list of jars, so a changed list is a new download."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    digest = hashlib.sha256(POM.read_bytes()).hexdigest()[:8]
    return cache / "gress-ml" / f"kafka-{KAFKA_VERSION}-{digest}"


def _download(maven: str, java: Path, target: Path) -> None:
    command = [
        maven,
        *("-q", "-B", "-C", "-f", str(POM)),  # -C: a wrong checksum is an error
        "dependency:copy-dependencies",
        "-DincludeScope=runtime",
        f"-DoutputDirectory={target}",
    ]
    try:
        done = subprocess.run(  # noqa: S603 - the arguments are ours
            command,
            env={**os.environ, "JAVA_HOME": str(java_home(java))},
            capture_output=True,
            text=True,
            timeout=DOWNLOAD_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise GressError(
            f"expected Maven to fetch Kafka {KAFKA_VERSION} within {DOWNLOAD_S:.0f} s; check that "
            "this machine reaches a Maven repository"
        ) from error
    if done.returncode != 0 or not list(target.glob("kafka_*.jar")):
        told = "\n".join((done.stdout + done.stderr).splitlines()[-10:])
        raise GressError(
            f"expected Maven to fetch Kafka {KAFKA_VERSION}; it ended with {done.returncode}. "
            f"Check that this machine reaches a Maven repository. Maven said:\n{told}"
        )


if __name__ == "__main__":  # fetch ahead of the first start; says what is missing
    try:
        sys.stdout.write(f"Kafka {KAFKA_VERSION} is in {kafka_jars(find_java())}\n")
    except GressError as error:
        sys.exit(str(error))
