"""A real Kafka with doors that ask who comes: SASL over TLS, and TLS with client certificates."""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import trustme
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError
from cryptography.hazmat.primitives import serialization

from gress_ml.adapters.kafka.settings import KafkaSettings
from gress_ml.dev.kafka_node import KafkaNode
from gress_ml.dev.port import LOOPBACK, free_ports
from gress_ml.dev.process import ProcessId, alive, end, spawn
from gress_ml.dev.settings import KAFKA_SETTINGS

USER = "gress"
#: Planted secrets: no log, page or error may hold them.
PASSWORD = "kafka-Password-4711"
WRONG_PASSWORD = "kafka-Wrong-0815"
HOST = "localhost"  # the only name in the broker's certificate
PATIENCE_S = 120.0

_DOORS = {
    "listener.security.protocol.map": (
        "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL:SASL_SSL,MUTUAL:SSL"
    ),
    "inter.broker.listener.name": "PLAINTEXT",
    "ssl.keystore.type": "PEM",
    "ssl.truststore.type": "PEM",
    "listener.name.sasl.sasl.enabled.mechanisms": "SCRAM-SHA-512,PLAIN",
    "listener.name.sasl.scram-sha-512.sasl.jaas.config": (
        "org.apache.kafka.common.security.scram.ScramLoginModule required;"
    ),
    "listener.name.sasl.plain.sasl.jaas.config": (
        "org.apache.kafka.common.security.plain.PlainLoginModule required "
        f'user_{USER}="{PASSWORD}";'
    ),
    "listener.name.mutual.ssl.client.auth": "required",
}


@dataclass(frozen=True)
class Certificates:
    """Files with what the broker, a client and a stranger show and trust."""

    ca: Path
    server: Path
    client: Path  # certificate and key in one file
    other_ca: Path  # of somebody else: it signed nothing here
    stranger: Path  # a client's certificate, signed by the other

    @classmethod
    def made_in(cls, folder: Path) -> Certificates:
        folder.mkdir(parents=True, exist_ok=True)
        ca, other = trustme.CA(), trustme.CA()
        made = cls(*(folder / f"{name}.pem" for name in cls.__dataclass_fields__))
        ca.cert_pem.write_to_path(made.ca)
        other.cert_pem.write_to_path(made.other_ca)
        _write(ca.issue_cert(HOST), made.server)
        _write(ca.issue_cert("client@gress.test"), made.client)
        _write(other.issue_cert("client@gress.test"), made.stranger)
        return made


class SecureKafka:
    """One broker; ``sasl`` and ``mutual`` are the addresses of its doors with TLS."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.certificates = Certificates.made_in(folder / "certificates")
        self._ports = free_ports(4)
        plain, _, sasl, mutual = self._ports
        self.plain = f"{LOOPBACK}:{plain}"
        self.sasl = f"{HOST}:{sasl}"
        self.sasl_by_number = f"{LOOPBACK}:{sasl}"  # not the name in the certificate
        self.mutual = f"{HOST}:{mutual}"
        self._process: ProcessId | None = None

    def start(self) -> SecureKafka:
        node = KafkaNode(self.folder, self._settings())
        user = f"SCRAM-SHA-512=[name={USER},password={PASSWORD}]"
        node.prepare("--standalone", "--add-scram", user)
        log = self.folder / "kafka.log"
        self._process = spawn(node.launch(log, "-Xmx512m", "-XX:TieredStopAtLevel=1"))
        self._wait()
        return self

    def stop(self) -> None:
        if self._process is not None:
            end(self._process, signal.SIGKILL, 10.0)

    def environment(self, **changes: str | None) -> dict[str, str]:
        """The variables of a client that may come in by SASL; None takes one away."""
        found: Mapping[str, str | None] = {
            "GRESS_KAFKA": self.sasl,
            "GRESS_KAFKA_SECURITY": "SASL_SSL",
            "GRESS_KAFKA_CA": str(self.certificates.ca),
            "GRESS_KAFKA_USERNAME": USER,
            "GRESS_KAFKA_PASSWORD": PASSWORD,
            **changes,
        }
        return {name: value for name, value in found.items() if value is not None}

    def settings(self, **changes: str | None) -> KafkaSettings:
        return KafkaSettings.from_env(self.environment(**changes))

    def by_certificate(self, file: Path) -> dict[str, str]:
        """The variables of a client that shows a certificate instead of a password."""
        return self.environment(
            GRESS_KAFKA=self.mutual,
            GRESS_KAFKA_SECURITY="SSL",
            GRESS_KAFKA_CERTIFICATE=str(file),
            GRESS_KAFKA_USERNAME=None,
            GRESS_KAFKA_PASSWORD=None,
        )

    def _wait(self) -> None:
        """Wait until the door with TLS answers."""
        assert self._process is not None
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                socket.create_connection((LOOPBACK, self._ports[2]), timeout=1).close()
                asyncio.run(self._answers())
                return
            except (OSError, KafkaError):
                log = (self.folder / "kafka.log").read_text()[-3000:]
                assert alive(self._process), log
                assert time.monotonic() < deadline, log
                time.sleep(0.1)

    async def _answers(self) -> None:
        client = AIOKafkaClient(**self.settings().client)
        try:
            await client.bootstrap()
        finally:
            await client.close()
            await settled()

    def _settings(self) -> dict[str, str]:
        plain, controller, sasl, mutual = self._ports
        doors = f"PLAINTEXT://{LOOPBACK}:{plain},SASL://{HOST}:{sasl},MUTUAL://{HOST}:{mutual}"
        return {
            **KAFKA_SETTINGS,
            **_DOORS,
            "listeners": f"{doors},CONTROLLER://{LOOPBACK}:{controller}",
            "advertised.listeners": doors,
            "controller.quorum.bootstrap.servers": f"{LOOPBACK}:{controller}",
            "log.dirs": str(self.folder / "data"),
            "ssl.keystore.location": str(self.certificates.server),
            "ssl.truststore.location": str(self.certificates.ca),
        }


async def settled() -> None:
    """aiokafka does not wait for the end of its TLS connections; an event loop has to.

    One that is left open is told of when it is collected, in the middle of another test.
    """
    loop = asyncio.get_running_loop()
    selector = loop._selector  # type: ignore[attr-defined] # nothing else knows what is open
    deadline = loop.time() + PATIENCE_S
    # a pipe of its own stays
    while len(selector.get_map()) > 1 and loop.time() < deadline:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.01)  # what is no longer looked at is closed in the next turn


def _write(leaf: trustme.LeafCert, path: Path) -> None:
    """Key and chain in one file; the key as PKCS #8, the only form that Kafka reads."""
    key = serialization.load_pem_private_key(leaf.private_key_pem.bytes(), password=None)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    path.chmod(0o600)
    for blob in leaf.cert_chain_pems:
        blob.write_to_path(path, append=True)
