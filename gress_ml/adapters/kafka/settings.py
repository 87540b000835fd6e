"""How to reach Kafka: addresses, TLS and SASL, from the environment. Secrets are never printed."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import faust
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from gress_ml.errors import ConfigError

_PREFIX = "GRESS_KAFKA_"


class KafkaSettings(BaseModel):
    """``GRESS_KAFKA`` is the bootstrap address; the rest is ``GRESS_KAFKA_<NAME>``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    bootstrap: str = Field(default="127.0.0.1:9092", min_length=1)
    security: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    ca: str | None = None  # file with the certificates to trust
    certificate: str | None = None  # file with the client's certificate
    key: str | None = None  # file with its key
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    username: str | None = None
    password: SecretStr | None = None

    @classmethod
    def from_env(cls, environment: Mapping[str, str] = os.environ, **given: Any) -> KafkaSettings:
        """Settings from the environment; ``given`` ones go before. Raises ConfigError.

        What was given and would not be used is a fault: who sets a password wants to be asked for
        it, and never to go in plain text because another variable is missing.
        """
        values: dict[str, Any] = {
            name: environment[_PREFIX + name.upper()]
            for name in cls.model_fields
            if environment.get(_PREFIX + name.upper())
        }
        if environment.get("GRESS_KAFKA"):
            values["bootstrap"] = environment["GRESS_KAFKA"]
        values.update({name: value for name, value in given.items() if value is not None})
        try:
            settings = cls(**values)
        except ValidationError as error:
            first = error.errors(include_input=False)[0]
            name = ".".join(str(part) for part in first["loc"]).upper()
            raise ConfigError(f"environment variable {_PREFIX}{name}: {first['msg']}") from None
        settings._check()
        return settings

    def _check(self) -> None:
        """Raises ConfigError for settings that contradict each other and files that do not load."""
        sasl = self.security.startswith("SASL")
        for name in ("username", "password"):
            self._needed(name) if sasl else self._useless(name)
        if self.tls is None:
            for name in ("ca", "certificate", "key"):
                self._useless(name)
        elif self.certificate is None:
            self._useless("key", "without a certificate")

    def _needed(self, name: str) -> None:
        if getattr(self, name) is None:
            raise ConfigError(
                f"environment variable {_PREFIX}{name.upper()} is not set, and "
                f"{_PREFIX}SECURITY={self.security} needs it"
            )

    def _useless(self, name: str, why: str = "") -> None:
        if getattr(self, name) is not None:
            raise ConfigError(
                f"environment variable {_PREFIX}{name.upper()} is set, but would not be used "
                f"{why or f'with {_PREFIX}SECURITY={self.security}'}"
            )

    @property
    def tls(self) -> ssl.SSLContext | None:
        """The TLS context, which checks the broker's name; None without TLS. Raises ConfigError."""
        if not self.security.endswith("SSL"):
            return None
        with _reading("CA", self.ca):
            context = ssl.create_default_context(cafile=self.ca)
        if self.certificate is not None:
            with _reading("CERTIFICATE", self.certificate, "KEY", self.key):
                # without a password OpenSSL would ask at the terminal for that of a locked key
                context.load_cert_chain(self.certificate, self.key, password="")
        return context

    @property
    def client(self) -> dict[str, Any]:
        """Arguments for an aiokafka client."""
        arguments: dict[str, Any] = {
            "bootstrap_servers": self.bootstrap,
            "security_protocol": self.security,
            "ssl_context": self.tls,
        }
        if self.security.startswith("SASL"):
            arguments["sasl_mechanism"] = self.sasl_mechanism
            arguments["sasl_plain_username"] = self.username
            arguments["sasl_plain_password"] = self._password
        return arguments

    @property
    def credentials(self) -> faust.auth.Credentials | None:
        """The same for Faust; None for plain text."""
        if self.security == "PLAINTEXT":
            return None
        if self.security == "SSL":
            return faust.SSLCredentials(self.tls)
        return faust.SASLCredentials(
            mechanism=self.sasl_mechanism,
            username=self.username,
            password=self._password,
            ssl_context=self.tls,
        )

    @property
    def _password(self) -> str | None:
        return None if self.password is None else self.password.get_secret_value()


@contextmanager
def _reading(*names_and_files: str | None) -> Iterator[None]:
    """Faults of files as ConfigError, with the variables that name them."""
    try:
        yield
    except OSError as error:  # SSLError is one
        pairs = zip(names_and_files[::2], names_and_files[1::2], strict=True)
        where = " and ".join(f"{_PREFIX}{name}={file}" for name, file in pairs if file)
        why = "expected PEM that fits" if isinstance(error, ssl.SSLError) else error.strerror
        raise ConfigError(f"environment variable {where}: {why}") from None
