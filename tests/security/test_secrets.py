"""Planted secrets are in no log, page, finding or traceback, whatever goes wrong."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import orjson
import psutil
import pytest
from confluent_kafka import Producer
from gress_process import ROOT, Flagship, WorkerProcess, clean_environment, gress, transfer
from secure_kafka import PASSWORD, USER, SecureKafka
from secure_redis import REDIS_PASSWORD, TlsRedis

PAGES = ("/", "/health", "/ready", "/metrics", "/nothing")
CODECS = ("none", "gzip", "snappy", "lz4", "zstd")


def secrets_in(text: str) -> Iterator[str]:
    """The planted secrets that a text holds, also as bytes, escaped or cut short."""
    for secret in (PASSWORD, REDIS_PASSWORD):
        if secret[:12] in text or secret[-8:] in text:
            yield secret


def producer(broker: SecureKafka, codec: str) -> Producer:
    """librdkafka: another client than ours, by the same door."""
    return Producer(
        {
            "bootstrap.servers": broker.sasl,
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": USER,
            "sasl.password": PASSWORD,
            "ssl.ca.location": str(broker.certificates.ca),
            "compression.codec": codec,
            "linger.ms": 50,
            "message.max.bytes": 200_000_000,
        }
    )


@pytest.fixture
async def flagship(secure_kafka: SecureKafka, topic_name: str, tmp_path: Path) -> Flagship:
    made = Flagship(topic_name, tmp_path, secure_kafka.settings().client)
    await made.make_topics()
    return made


@pytest.mark.parametrize("form", ["json", "console"])
async def test_a_run_in_which_all_goes_wrong_shows_no_secret(
    secure_kafka: SecureKafka, tls_redis: TlsRedis, flagship: Flagship, form: str
) -> None:
    """Topics in every compression, a Redis that is not trusted, bad events, decompression bombs.

    A bomb is a record batch of 9 kB that holds 100 MB; the worker decides what comes behind it.
    """
    untrusted = tls_redis.url(ca=tls_redis.certificates.other_ca)
    variables = {**secure_kafka.environment(), "GRESS_REDIS": untrusted}
    with WorkerProcess(
        flagship.file, variables, "--log-level", "debug", "--log-format", form
    ) as worker:
        for number, codec in enumerate(CODECS):
            sending = producer(secure_kafka, codec)
            for event in (transfer(number), b"{not json", b'{"request_id": 7}'):
                sending.produce(flagship.transfers, event)
            assert sending.flush(60) == 0
        decisions = await flagship.read(len(CODECS))
        worker.says("feature_store_away")
        pages = [await asyncio.to_thread(worker.page, page) for page in PAGES]
        listening = {
            connection.laddr.ip
            for connection in psutil.Process(worker.pid).net_connections()
            if connection.status == psutil.CONN_LISTEN
        }
        sending = producer(secure_kafka, "zstd")
        for _ in range(3):
            sending.produce(flagship.transfers, bytes(100_000_000))
            assert sending.flush(120) == 0
        sending.produce(flagship.transfers, transfer(len(CODECS)))
        assert sending.flush(120) == 0
        decisions = await flagship.read(len(CODECS) + 1)
        worker.says("records_unreadable")
        memory = psutil.Process(worker.pid).memory_info().rss
    assert {decision["request_id"] for decision in decisions} == {f"r-{i}" for i in range(6)}
    assert all("feature_store" in decision["degraded"] for decision in decisions)
    for expected in ("dead_letters", "holds more than 67,108,864", "worker_stopped"):
        assert expected in worker.log
    assert "worker_failed" not in worker.log
    assert [*secrets_in(worker.log)] == []
    assert [*secrets_in("".join(pages))] == []
    assert listening == {"127.0.0.1"}
    assert memory < 600e6


def test_findings_show_no_secret(tmp_path: Path) -> None:
    text = (ROOT / "topologies/compression_selector.yaml").read_text()
    assert "redis_addr: ${GRESS_REDIS" in text
    faulty = text.replace("\nname:", "\nnam: ${GRESS_KAFKA_PASSWORD}\nname:", 1).replace(
        "redis_addr:", "ttl: ${GRESS_REDIS}\n    redis_adr:", 1
    )
    (tmp_path / "faulty.yaml").write_text(faulty)
    variables = {
        "GRESS_REDIS": f"redis://:{REDIS_PASSWORD}@cache:6379/0",
        "GRESS_KAFKA_PASSWORD": PASSWORD,
    }
    for options in ((), ("--format", "json")):
        code, told = gress("check", str(tmp_path / "faulty.yaml"), *options, variables=variables)
        assert code == 1
        assert "redis_adr" in told
        assert [*secrets_in(told)] == []


def test_a_redis_address_that_no_worker_can_use_ends_it_without_a_secret(tmp_path: Path) -> None:
    variables = {"GRESS_REDIS": f"http://:{REDIS_PASSWORD}@cache:6379/0"}
    file = ROOT / "topologies/compression_selector.yaml"
    code, told = gress("worker", str(file), "--http-port", "0", variables=variables)
    assert code == 1
    assert "expected a URL such as redis://" in told
    assert "Traceback" not in told
    assert [*secrets_in(told)] == []


def test_the_state_of_servers_shows_no_secret(tmp_path: Path) -> None:
    variables = {
        "GRESS_HOME": str(tmp_path),
        "GRESS_REDIS": f"redis://:{REDIS_PASSWORD}@127.0.0.1:1/0",
        "GRESS_POSTGRES": f"postgresql://me:{PASSWORD}@127.0.0.1:1/x?password={PASSWORD}",
        "GRESS_KAFKA": "127.0.0.1:1",
        "COLUMNS": "300",
    }
    code, told = gress("dev", "status", variables=variables)
    assert code == 0
    assert "127.0.0.1:1" in told
    assert [*secrets_in(told)] == []


@pytest.mark.parametrize("form", ["json", "console"])
def test_tracebacks_in_the_log_show_no_variables(form: str) -> None:
    """Those of our own code, and those that Faust and aiokafka log."""
    program = f"""
import logging, structlog
from gress_ml.adapters.kafka.settings import KafkaSettings
from gress_ml.cli.logging import LogFormat, set_up_logging
set_up_logging(LogFormat({form!r}), "debug")
def fail():
    settings = KafkaSettings(security="SASL_PLAINTEXT", username="u", password={PASSWORD!r})
    client = settings.client
    try:
        raise ValueError(repr(settings))
    except ValueError as error:
        logging.getLogger("faust").exception("Crashed")
        logging.getLogger("aiokafka").error("failed", exc_info=error)
        structlog.get_logger().exception("failed")
        structlog.get_logger().error("failed", exc_info=error)
        logging.getLogger("aiokafka").debug("%s", client)
    raise RuntimeError
fail()
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env=clean_environment({}),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    source = program.splitlines()
    shown = "\n".join(line for line in done.stderr.splitlines() if line not in source)
    assert shown.count("Traceback") >= 4
    assert [*secrets_in(shown)] == []
    if form == "json":
        lines = [line for line in done.stderr.splitlines() if line.startswith("{")]
        assert all("ValueError" in orjson.loads(line)["exception"] for line in lines)
        assert len(lines) == 4


@pytest.mark.parametrize("form", ["json", "console"])
def test_the_text_of_an_event_forges_no_line_of_the_log(form: str) -> None:
    program = f"""
import structlog
from gress_ml.cli.logging import LogFormat, set_up_logging
set_up_logging(LogFormat({form!r}))
structlog.get_logger().warning("dead_letters", reason="a\\nFORGED \\x1b[31mred")
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True
    )
    (line,) = done.stderr.splitlines()
    assert "FORGED" in line
    assert "\x1b[31mred" not in line
