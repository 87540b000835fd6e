"""The command as a user meets it: one line per fault, no traceback."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def gress(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gress_ml.cli.main", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=cwd, timeout=120, check=False
    )


def test_the_eight_planted_faults_are_eight_findings_at_their_lines() -> None:
    result = gress("check", "tests/topology/faulty.yaml")
    lines = result.stdout.strip().splitlines()
    assert result.returncode == 1
    assert len(lines) == 8
    assert all(line.startswith("tests/topology/faulty.yaml:") for line in lines)


def test_a_fault_of_the_configuration_is_told_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("name: x\ninputs: 3\n")
    result = gress("worker", "bad.yaml", cwd=tmp_path)
    assert result.returncode == 1
    assert "bad.yaml:2:" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_switch_without_a_value_is_refused() -> None:
    result = gress("switch", "compression_ml.enabled")
    assert result.returncode == 1
    assert "expected NAME=VALUE" in result.stderr


def test_a_broker_that_is_not_there_is_named_by_the_switch() -> None:
    result = gress("switch", "compression_ml.enabled=false", "--kafka", "127.0.0.1:1")
    assert result.returncode == 1
    assert "127.0.0.1:1" in result.stderr
    assert "Traceback" not in result.stderr


def test_the_password_of_kafka_is_never_printed(tmp_path: Path) -> None:
    code = (
        "from gress_ml.adapters.kafka.settings import KafkaSettings;"
        "s = KafkaSettings.from_env({'GRESS_KAFKA_SECURITY': 'SASL_SSL',"
        "'GRESS_KAFKA_USERNAME': 'u', 'GRESS_KAFKA_PASSWORD': 'hunter2'}); print(s, repr(s))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert "hunter2" not in result.stdout + result.stderr
