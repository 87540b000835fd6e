"""The laws of ``Servers``, on the real things."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import psycopg
import pytest
import redis
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from gress_ml.dev.port import is_free
from gress_ml.dev.process import ProcessId
from gress_ml.dev.record import Record, read_records, write_records
from gress_ml.dev.servers import Servers
from gress_ml.dev.topics import TopicSettings, create_topics
from gress_ml.errors import ConfigError, GressError

pytestmark = pytest.mark.servers


@pytest.fixture(scope="module")
def all_three() -> Iterator[Servers]:
    """All servers, up, for the tests that only look at them."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("GRESS_KAFKA", "GRESS_REDIS", "GRESS_POSTGRES"):
            patch.delenv(name, raising=False)
        folder = Path(tempfile.mkdtemp(prefix="gress-dev-"))
        servers = Servers(folder / "home")
        try:
            servers.up()
            yield servers
        finally:
            servers.down()
            shutil.rmtree(folder)


def _pids(servers: Servers) -> list[int]:
    return [row.pid for row in servers.status()]


def _process_ids(servers: Servers) -> list[ProcessId]:
    return [record.process for record in read_records(servers.home).values()]


def test_up_twice_is_one_set_of_servers(all_three: Servers) -> None:
    first = all_three.addresses()
    pids = _pids(all_three)
    assert all_three.up() == first
    assert _pids(all_three) == pids
    assert [row.state for row in all_three.status()] == ["running"] * 3
    assert all(row.memory_bytes > 0 and row.version for row in all_three.status())


def test_another_object_for_the_same_home_finds_the_same_servers(own: Servers) -> None:
    first = own.up(["redis"])
    assert Servers(own.home).up(["redis"]) == first
    assert Servers(own.home).addresses() == first


def test_concurrent_up_starts_one_set(own: Servers) -> None:
    """Two processes' worth of callers: the lock is per open file, so threads compete as well."""
    before = set(psutil.Process().children())
    with ThreadPoolExecutor(4) as pool:
        found = set(pool.map(lambda _: Servers(own.home).up(["redis", "postgres"]), range(4)))
    assert len(found) == 1
    started = set(psutil.Process().children()) - before
    assert {child.pid for child in started} == {process.pid for process in _process_ids(own)}


def test_servers_listen_on_loopback_only(all_three: Servers) -> None:
    listening = {
        connection.laddr.ip
        for process in _process_ids(all_three)
        for connection in psutil.Process(process.pid).net_connections()
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {"127.0.0.1"}


def test_servers_have_sessions_of_their_own_so_ctrl_c_spares_them(own: Servers) -> None:
    own.up(["redis"])
    (process,) = _process_ids(own)
    assert os.getsid(process.pid) == process.pid != os.getsid(0)


def test_down_leaves_nothing(own: Servers) -> None:
    own.up()
    records = read_records(own.home)
    families = [member for record in records.values() for member in _family(record.pid)]
    assert _shared_memory(families)
    own.down()
    assert not own.home.exists()
    assert not [member for member in families if _runs(member)]
    assert all(is_free(port) for record in records.values() for port in record.ports)
    assert not [record.folder for record in records.values() if Path(record.folder).exists()]
    assert not _shared_memory(families)
    own.down()  # again: nothing to do, no error


def test_down_after_a_crash_leaves_nothing(own: Servers) -> None:
    own.up(["postgres"])
    family = _family(own.status()[2].pid)
    own.stop("postgres", kill=True)
    assert _shared_memory(family)
    own.down()
    assert not own.home.exists()
    assert not _shared_memory(family)


def test_down_spares_what_the_user_keeps_in_the_folder(own: Servers) -> None:
    own.up(["redis"])
    (own.home / "notes.txt").write_text("mine")
    own.down()
    assert [path.name for path in own.home.iterdir()] == ["notes.txt"]


def test_down_removes_snapshots_together_with_the_log_that_they_belong_to(own: Servers) -> None:
    own.up(["redis"])
    (own.home / "checkpoints").mkdir()
    own.down()
    assert (own.home / "checkpoints").exists()
    own.up(["kafka"])
    own.down()
    assert not own.home.exists()


def test_down_keep_data_keeps_ports_and_data(own: Servers) -> None:
    first = own.up(["redis", "postgres"])
    _write(first.redis, first.postgres)
    own.down(keep_data=True)
    assert [row.state for row in own.status()] == ["not started", "stopped", "stopped"]
    assert own.up(["redis", "postgres"]) == first
    assert _read(first.redis, first.postgres) == (b"kept", 17)


def test_a_server_that_died_comes_back_on_its_port_with_its_data(own: Servers) -> None:
    first = own.up(["redis", "postgres"])
    _write(first.redis, first.postgres)
    survivor, victim = own.status()[1].pid, own.status()[2].pid
    family = _family(victim)
    os.kill(victim, signal.SIGKILL)
    _wait_until_gone(family)
    assert own.status()[2].state == "died"
    assert own.up(["redis", "postgres"]) == first
    assert own.status()[1].pid == survivor  # only the dead one was started
    assert _read(first.redis, first.postgres) == (b"kept", 17)


async def test_a_killed_broker_comes_back_on_its_port_with_its_data(
    own: Servers, topic_name: str
) -> None:
    address = own.up(["kafka"]).kafka
    await create_topics(address, {topic_name: TopicSettings(partitions=1)})
    async with AIOKafkaProducer(bootstrap_servers=address, acks="all") as producer:
        await producer.send_and_wait(topic_name, b"kept")
    own.stop("kafka", kill=True)
    assert own.status()[0].state == "stopped"
    assert own.start("kafka") == address
    async with AIOKafkaConsumer(bootstrap_servers=address) as consumer:
        consumer.assign([TopicPartition(topic_name, 0)])
        await consumer.seek_to_beginning()
        assert (await asyncio.wait_for(consumer.getone(), 120)).value == b"kept"


def test_a_process_with_the_number_of_a_dead_server_is_not_ended(own: Servers) -> None:
    own.up(["redis"])
    (record,) = read_records(own.home).values()
    own.stop("redis")
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as stranger:
        stale = Record(
            kind="redis",
            folder=record.folder,
            ports=record.ports,
            pid=stranger.pid,
            birth="another boot:1",
        )
        write_records(own.home, {"redis": stale})
        own.down()
        assert stranger.poll() is None
        stranger.communicate(b"\n")


def test_addresses_in_the_environment_are_used_and_not_touched(
    own: Servers, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRESS_REDIS", redis_url)
    assert own.up(["redis"]).redis == redis_url
    assert own.status()[1].state == "external"
    assert read_records(own.home) == {}
    with pytest.raises(ConfigError, match="GRESS_REDIS"):
        own.stop("redis")
    own.down()
    with redis.Redis.from_url(redis_url) as client:
        assert client.ping()


def test_our_own_address_in_the_environment_is_still_ours(
    own: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRESS_REDIS", own.up(["redis"]).redis)
    assert own.status()[1].state == "running"
    own.stop("redis")
    own.start("redis")


def test_an_address_that_does_not_answer_is_named(
    own: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gress_ml.dev.servers.EXTERNAL_PATIENCE_S", 0.1)
    monkeypatch.setenv("GRESS_POSTGRES", "postgresql://me:hunter2@127.0.0.1:1/x")
    monkeypatch.setenv("GRESS_KAFKA", "127.0.0.1:1")
    with pytest.raises(GressError, match="GRESS_POSTGRES") as caught:
        own.up(["postgres", "kafka"])
    assert "GRESS_KAFKA" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_server_that_does_not_come_up_shows_the_end_of_its_log(own: Servers) -> None:
    own.up(["redis"])
    own.stop("redis")
    (own.home / "redis" / "appendonly.aof").write_text("this is no append-only file")
    with pytest.raises(GressError, match="Bad file format"):
        own.up(["redis"])


def test_an_unknown_server_is_refused(own: Servers) -> None:
    with pytest.raises(ConfigError, match="kafka, redis, postgres"):
        own.up(["mongodb"])


def test_postgres_runs_without_root_where_its_account_cannot_reach_our_folder(
    own: Servers,
) -> None:
    own.home.mkdir(parents=True)
    own.home.parent.chmod(0o700)
    own.up(["postgres"])
    record = read_records(own.home)["postgres"]
    owner = psutil.Process(record.pid).uids().effective
    assert owner != 0
    assert Path(record.folder, "data").stat().st_uid == owner
    own.down()
    assert not Path(record.folder).exists()


def test_a_server_that_cannot_be_initialised_leaves_nothing(
    own: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    places: list[Path] = []

    def refuse(_: Path, data: Path, __: object) -> None:
        places.append(data.parent)
        raise GressError("no space left")

    monkeypatch.setattr("gress_ml.dev.postgres._initialise", refuse)
    with pytest.raises(GressError, match="no space left"):
        own.up(["postgres"])
    assert not [place for place in places if place.exists()]
    assert own.status()[2].state == "not started"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as another account")
def test_postgres_runs_where_its_account_cannot_reach_the_installed_programs(
    own: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a checkout below /root."""
    monkeypatch.setattr("gress_ml.dev.postgres.runs_as", lambda *_: False)
    own.up(["postgres"])
    record = read_records(own.home)["postgres"]
    assert psutil.Process(record.pid).exe().startswith(record.folder)


def _write(redis_url: str, postgres_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.set("k", "kept")
    with psycopg.connect(postgres_url) as connection:
        connection.execute("create table t (x int)")
        connection.execute("insert into t values (17)")


def _read(redis_url: str, postgres_url: str) -> tuple[object, int]:
    with redis.Redis.from_url(redis_url) as client:
        value = client.get("k")
    with psycopg.connect(postgres_url) as connection:
        row = connection.execute("select x from t").fetchone()
    assert row is not None
    return value, row[0]


def _family(pid: int) -> list[psutil.Process]:
    """A process and all that came from it."""
    parent = psutil.Process(pid)
    return [parent, *parent.children(recursive=True)]


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _wait_until_gone(family: list[psutil.Process]) -> None:
    deadline = time.monotonic() + 60
    while any(_runs(member) for member in family):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _shared_memory(makers: list[psutil.Process]) -> set[str]:
    """Numbers of the System V segments that these processes made, whether or not they still run."""
    pids = {str(maker.pid) for maker in makers}
    rows = [line.split() for line in Path("/proc/sysvipc/shm").read_text().splitlines()]
    number, maker = rows[0].index("shmid"), rows[0].index("cpid")
    return {row[number] for row in rows[1:] if row[maker] in pids}
