"""The network between a client and a server, on real sockets."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from benchmarks.chaos.instruments.proxy import Proxy
from gress_ml.dev.port import LOOPBACK, free_ports

_PATIENCE_S = 60.0
_PAYLOAD = bytes(range(256)) * 4096  # 1 MiB in which a changed order shows


class Echo:
    """Sends back what comes, until the client has sent all."""

    def __init__(self, port: int) -> None:
        self.ends: list[str] = []  # how each connection ended, as the server saw it
        self._listener = socket.create_server((LOOPBACK, port))
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._echo, args=(connection,), daemon=True).start()

    def _echo(self, connection: socket.socket) -> None:
        with connection:
            try:
                while data := connection.recv(65536):
                    connection.sendall(data)
            except OSError:
                self.ends.append("reset")
            else:
                self.ends.append("closed")


@pytest.fixture
def ports() -> tuple[int, ...]:
    return free_ports(2)


@pytest.fixture
def echo(ports: tuple[int, ...]) -> Iterator[Echo]:
    echo = Echo(ports[1])
    yield echo
    echo.close()


@pytest.fixture
def proxy(ports: tuple[int, ...], echo: Echo) -> Iterator[Proxy]:
    with Proxy(*ports) as proxy:
        yield proxy


@pytest.fixture
def client(ports: tuple[int, ...], proxy: Proxy) -> Iterator[socket.socket]:
    with socket.create_connection((LOOPBACK, ports[0]), timeout=_PATIENCE_S) as client:
        yield client


def _there_and_back(client: socket.socket, payload: bytes) -> bytes:
    """The client sends all, says so, and reads to the end."""

    def send() -> None:
        client.sendall(payload)
        client.shutdown(socket.SHUT_WR)

    sender = threading.Thread(target=send)
    sender.start()
    found = b"".join(iter(lambda: client.recv(65536), b""))
    sender.join()
    return found


def _wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_what_is_sent_arrives_complete_and_in_order(client: socket.socket, echo: Echo) -> None:
    assert _there_and_back(client, _PAYLOAD) == _PAYLOAD
    _wait(lambda: echo.ends == ["closed"])


def test_a_slow_network_gives_the_same_bytes(client: socket.socket, proxy: Proxy) -> None:
    proxy.slow(latency_ms=20, bytes_per_s=10_000_000)
    assert _there_and_back(client, _PAYLOAD) == _PAYLOAD


def test_a_slow_network_takes_its_time(client: socket.socket, proxy: Proxy) -> None:
    """A lower bound, which no other load on the machine can break."""
    proxy.slow(latency_ms=50, bytes_per_s=1_000_000)
    started = time.monotonic()
    _there_and_back(client, _PAYLOAD[:100_000])
    assert time.monotonic() - started >= 0.1 + 2 * 0.05


def test_all_connections_share_what_a_slow_network_carries(
    ports: tuple[int, ...], proxy: Proxy
) -> None:
    proxy.slow(bytes_per_s=1_000_000)
    clients = [socket.create_connection((LOOPBACK, ports[0])) for _ in range(4)]
    started = time.monotonic()
    threads = [
        threading.Thread(target=_there_and_back, args=(client, _PAYLOAD[:50_000]))
        for client in clients
    ]
    for thread in threads:
        thread.start()
    for client, thread in zip(clients, threads, strict=True):
        thread.join()
        client.close()
    assert time.monotonic() - started >= 0.2


def test_a_stalled_network_holds_back_and_a_healed_one_delivers(
    client: socket.socket, proxy: Proxy
) -> None:
    client.sendall(b"before")
    assert client.recv(100) == b"before"
    proxy.stall()
    client.sendall(b"during")
    client.settimeout(0.2)
    with pytest.raises(TimeoutError):
        client.recv(100)
    proxy.heal()
    client.settimeout(_PATIENCE_S)
    assert client.recv(100) == b"during"


def test_a_client_that_gives_up_is_not_missed_before_the_network_heals(
    client: socket.socket, proxy: Proxy, echo: Echo
) -> None:
    client.sendall(b"x")
    assert client.recv(1) == b"x"
    proxy.stall()
    client.close()
    time.sleep(0.2)
    assert echo.ends == []
    proxy.heal()
    _wait(lambda: len(echo.ends) == 1)


def test_a_connection_made_while_the_network_is_silent_hangs_and_then_works(
    ports: tuple[int, ...], proxy: Proxy
) -> None:
    proxy.stall()
    with socket.create_connection((LOOPBACK, ports[0]), timeout=0.2) as client:
        client.sendall(b"hello")
        with pytest.raises(TimeoutError):
            client.recv(100)
        proxy.heal()
        client.settimeout(_PATIENCE_S)
        assert client.recv(100) == b"hello"


def test_a_cut_network_resets_both_ends_and_refuses_until_it_heals(
    ports: tuple[int, ...], client: socket.socket, proxy: Proxy, echo: Echo
) -> None:
    client.sendall(b"x")
    assert client.recv(1) == b"x"
    proxy.cut()
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    _wait(lambda: echo.ends == ["reset"])
    assert proxy.connections == 0
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((LOOPBACK, ports[0]))
    proxy.heal()
    with socket.create_connection((LOOPBACK, ports[0]), timeout=_PATIENCE_S) as again:
        assert _there_and_back(again, b"back") == b"back"


def test_a_reset_by_the_client_is_one_for_the_server(client: socket.socket, echo: Echo) -> None:
    client.sendall(b"x")
    assert client.recv(1) == b"x"
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    _wait(lambda: echo.ends == ["reset"])


def test_a_stalled_network_can_be_cut(client: socket.socket, proxy: Proxy) -> None:
    proxy.stall()
    client.sendall(b"x")
    proxy.cut()
    with pytest.raises(ConnectionResetError):
        client.recv(1)


def test_a_server_that_is_away_shows_as_a_reset(ports: tuple[int, ...]) -> None:
    with (
        Proxy(*ports),
        # first: on a quick machine the reset is there before the connection was told to stand
        pytest.raises(ConnectionResetError),
        socket.create_connection((LOOPBACK, ports[0]), timeout=_PATIENCE_S) as client,
    ):
        client.recv(1)


def test_a_port_that_is_taken_is_told(ports: tuple[int, ...], proxy: Proxy) -> None:
    with pytest.raises(OSError, match="in use"), Proxy(*ports):
        pass


def test_nothing_is_left_of_a_proxy(ports: tuple[int, ...], echo: Echo) -> None:
    with (
        Proxy(*ports),
        socket.create_connection((LOOPBACK, ports[0]), timeout=_PATIENCE_S) as client,
    ):
        client.sendall(b"x")
        assert client.recv(1) == b"x"
    assert not [thread for thread in threading.enumerate() if thread.name == "proxy"]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((LOOPBACK, ports[0]))
