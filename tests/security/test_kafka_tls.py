"""Kafka over TLS with SASL or certificates: who is not who it says is refused, and it is told."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from pathlib import Path

import pytest
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaConnectionError
from gress_process import Flagship, WorkerProcess, gress, transfer
from secure_kafka import PASSWORD, USER, WRONG_PASSWORD, SecureKafka, settled

from gress_ml.adapters.kafka.settings import KafkaSettings
from gress_ml.dev.project_topics import PROJECT_TOPICS
from gress_ml.dev.topics import create_topics
from gress_ml.errors import ConfigError


@pytest.fixture
async def flagship(secure_kafka: SecureKafka, topic_name: str, tmp_path: Path) -> Flagship:
    made = Flagship(topic_name, tmp_path, secure_kafka.settings().client)
    await made.make_topics()
    return made


@pytest.mark.parametrize("way", ["SCRAM", "certificate"])
async def test_a_worker_decides_and_obeys_switches_by_each_way_in(
    flagship: Flagship, secure_kafka: SecureKafka, way: str
) -> None:
    """The worker by SCRAM and the switch by PLAIN, or both by a certificate."""
    mine, other = (
        secure_kafka.environment(),
        secure_kafka.environment(GRESS_KAFKA_SASL_MECHANISM="PLAIN"),
    )
    if way == "certificate":
        mine = other = secure_kafka.by_certificate(secure_kafka.certificates.client)
    await flagship.send([transfer(number) for number in range(50)])
    with WorkerProcess(flagship.file, mine) as worker:
        decisions = await flagship.read(50)
        code, told = gress("switch", "compression_ml.enabled=false", variables=other)
        assert (code, told) == (0, "compression_ml.enabled = false\n")
        worker.says('"value": "false"')
    assert {decision["request_id"] for decision in decisions} == {f"r-{i}" for i in range(50)}


def wrong(broker: SecureKafka) -> dict[str, tuple[dict[str, str], str]]:
    """What may be wrong, and what has to be said of it."""
    files = broker.certificates
    return {
        "password": (
            broker.environment(GRESS_KAFKA_PASSWORD=WRONG_PASSWORD),
            "SaslAuthenticationFailed",
        ),
        "authority": (
            broker.environment(GRESS_KAFKA_CA=str(files.other_ca)),
            "unable to get local issuer certificate",
        ),
        "host": (
            broker.environment(GRESS_KAFKA=broker.sasl_by_number),
            "certificate is not valid for '127.0.0.1'",
        ),
        "door": (broker.environment(GRESS_KAFKA=broker.plain), "Unable connect to"),
        "stranger": (broker.by_certificate(files.stranger), "Unable connect to"),
    }


async def test_a_worker_that_is_refused_says_why_and_decides_nothing(
    flagship: Flagship, secure_kafka: SecureKafka
) -> None:
    await flagship.send([transfer(0)])
    faults = {what: wrong(secure_kafka)[what] for what in ("password", "host")}
    with contextlib.ExitStack() as all_of_them:
        workers = {
            what: all_of_them.enter_context(
                WorkerProcess(flagship.file, variables, "--log-level", "debug")
            )
            for what, (variables, _) in faults.items()
        }
        for what, worker in workers.items():
            log = worker.says("waiting_for_kafka").says(faults[what][1]).log
            assert PASSWORD not in log, what
            assert WRONG_PASSWORD not in log, what
            assert "Traceback" not in log, what
            assert '"ready": false' in worker.page("/ready"), what
            assert worker.running, what


@pytest.mark.parametrize("what", ["password", "authority", "host", "door", "stranger"])
async def test_no_client_gets_in_when_something_is_wrong(
    secure_kafka: SecureKafka, caplog: pytest.LogCaptureFixture, what: str
) -> None:
    variables, why = wrong(secure_kafka)[what]
    client = AIOKafkaClient(**KafkaSettings.from_env(variables).client, request_timeout_ms=60_000)
    with pytest.raises(KafkaConnectionError):
        await client.bootstrap()
    await client.close()
    await settled()
    assert why in caplog.text
    assert PASSWORD not in caplog.text
    assert WRONG_PASSWORD not in caplog.text


@pytest.mark.parametrize(("command", "what"), [("switch", "password"), ("agent", "host")])
def test_a_command_that_is_refused_says_why_and_ends(
    secure_kafka: SecureKafka, tmp_path: Path, command: str, what: str
) -> None:
    (tmp_path / "file").write_text("to be moved")
    arguments = {"switch": ("switch", "a.b=1"), "agent": ("agent", str(tmp_path))}[command]
    variables, why = wrong(secure_kafka)[what]
    code, told = gress(*arguments, variables=variables)
    assert code == 1
    assert why in told
    assert "error: " in told
    assert "Traceback" not in told
    assert PASSWORD not in told
    assert WRONG_PASSWORD not in told


async def test_an_agent_moves_files_over_tls(secure_kafka: SecureKafka, tmp_path: Path) -> None:
    await create_topics(secure_kafka.sasl, PROJECT_TOPICS, secure_kafka.settings().client)
    await settled()
    (tmp_path / "file").write_bytes(b"to be moved " * 100)
    code, told = gress(
        *("agent", str(tmp_path), "--timeout-s", "0.2", "--dual-run", "0"),
        variables=secure_kafka.environment(),
    )
    assert code == 0, told
    assert "1 transfers" in told


async def test_nothing_of_the_password_is_said_before_tls() -> None:
    """What answers without TLS gets a TLS greeting, and never anything else."""
    heard: list[bytes] = []
    over = asyncio.Event()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(65536))
        writer.write(b"\x00\x00\x00\x04\x00\x00\x00\x00")  # the beginning of a plain answer
        heard.append(await reader.read(65536))
        writer.close()
        over.set()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    settings = KafkaSettings(
        bootstrap=f"127.0.0.1:{port}", security="SASL_SSL", username=USER, password=PASSWORD
    )
    client = AIOKafkaClient(**settings.client, request_timeout_ms=60_000)
    with pytest.raises(KafkaConnectionError):
        await client.bootstrap()
    await client.close()
    await over.wait()
    server.close()
    await server.wait_closed()
    assert heard[0][:2] == b"\x16\x03"  # a TLS handshake record
    assert all(PASSWORD.encode() not in said and USER.encode() not in said for said in heard)


def test_tls_checks_the_name_and_is_not_an_old_version() -> None:
    context = KafkaSettings(security="SSL").tls
    assert context is not None
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({"PASSWORD": PASSWORD}, "PASSWORD is set, but would not be used"),
        ({"USERNAME": USER, "SECURITY": "SSL"}, "USERNAME is set, but would not be used"),
        ({"CA": "ca.pem"}, "CA is set, but would not be used"),
        ({"KEY": "key.pem", "SECURITY": "SSL"}, "KEY is set, .* without a certificate"),
        ({"SECURITY": "SASL_SSL", "USERNAME": USER}, "PASSWORD is not set"),
        ({"SECURITY": "SASL_SSL", "PASSWORD": PASSWORD}, "USERNAME is not set"),
        ({"SECURITY": "ssl"}, "SECURITY: Input should be 'PLAINTEXT'"),
        ({"SECURITY": "SSL", "CA": "none.pem"}, "CA=none.pem: No such file"),
        ({"SECURITY": "SSL", "CA": __file__}, "CA=.*: expected PEM"),
        (
            {"SECURITY": "SSL", "CERTIFICATE": __file__, "KEY": "k"},
            "CERTIFICATE=.* and GRESS_KAFKA_KEY=k: ",
        ),
    ],
)
def test_settings_that_would_not_protect_are_refused(
    environment: dict[str, str], named: str
) -> None:
    """Half a setting must not end in a connection in plain text."""
    variables = {f"GRESS_KAFKA_{name}": value for name, value in environment.items()}
    with pytest.raises(ConfigError, match=f"GRESS_KAFKA_{named}") as caught:
        KafkaSettings.from_env(variables)
    assert PASSWORD not in str(caught.value) + repr(caught.value)


def test_settings_do_not_show_the_password() -> None:
    settings = KafkaSettings(security="SASL_SSL", username=USER, password=PASSWORD)
    shown = [repr(settings), str(settings), settings.model_dump_json(), repr(settings.credentials)]
    assert not any(PASSWORD in text for text in shown)
