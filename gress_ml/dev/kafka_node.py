"""One node of Kafka: its settings, its data folder, its command line."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gress_ml.dev.java import find_java
from gress_ml.dev.kafka_jars import kafka_jars
from gress_ml.dev.process import Launch
from gress_ml.dev.settings import KAFKA_CLUSTER_ID
from gress_ml.errors import GressError

FORMAT_S = 180.0

LOG4J = """\
rootLogger.level = WARN
rootLogger.appenderRef.out.ref = out
appender.out.name = out
appender.out.type = Console
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{ISO8601} %p %c{1} %m%n
"""


@dataclass(frozen=True, slots=True)
class KafkaNode:
    """A broker, a controller or both, as its settings say; its data is in ``log.dirs``."""

    folder: Path
    settings: Mapping[str, str]

    def prepare(self, *options: str) -> None:
        """Fetch Kafka and format the data folder, once; ``options`` are for the format."""
        java = find_java()
        kafka_jars(java)
        if (self.folder / "formatted").exists():
            return
        shutil.rmtree(self.settings["log.dirs"], ignore_errors=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "log4j2.properties").write_text(LOG4J)
        self._write()
        self._format(java, options)
        (self.folder / "formatted").touch()

    def launch(self, log: Path, *options: str) -> Launch:
        """The process to start, with the settings of now; ``options`` are for Java."""
        self._write()
        argv = [*self._jvm(find_java()), *options, "kafka.Kafka", str(self._properties)]
        return Launch(argv=argv, folder=self.folder, log=log)

    @property
    def _properties(self) -> Path:
        return self.folder / "server.properties"

    def _write(self) -> None:
        lines = [f"{name}={value}\n" for name, value in self.settings.items()]
        self._properties.write_text("".join(lines))

    def _format(self, java: Path, options: tuple[str, ...]) -> None:
        done = subprocess.run(  # noqa: S603 - the arguments are ours
            [
                *(*self._jvm(java), "-XX:TieredStopAtLevel=1", "kafka.tools.StorageTool", "format"),
                *("--cluster-id", KAFKA_CLUSTER_ID, "--config", str(self._properties), *options),
            ],
            capture_output=True,
            text=True,
            timeout=FORMAT_S,
            check=False,
        )
        if done.returncode != 0:
            raise GressError(
                f"expected Kafka to format its data folder {self.settings['log.dirs']}; it ended "
                f"with {done.returncode}:\n{(done.stdout + done.stderr).strip()}"
            )

    def _jvm(self, java: Path) -> list[str]:
        return [
            str(java),
            "-Djava.net.preferIPv4Stack=true",  # all listeners are on 127.0.0.1
            f"-Dlog4j2.configurationFile={self.folder / 'log4j2.properties'}",
            *("-cp", f"{kafka_jars(java)}/*"),
        ]
