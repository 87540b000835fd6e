"""How to reach Kafka: addresses, TLS and SASL, from the environment. Secrets are never printed."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
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
        """Settings from the environment; ``given`` ones go before. Raises ConfigError."""
        values: dict[str, Any] = {
            name: environment[_PREFIX + name.upper()]
            for name in cls.model_fields
            if environment.get(_PREFIX + name.upper())
        }
        if environment.get("GRESS_KAFKA"):
            values["bootstrap"] = environment["GRESS_KAFKA"]
        values.update({name: value for name, value in given.items() if value is not None})
        try:
            return cls(**values)
        except ValidationError as error:
            first = error.errors(include_input=False)[0]
            name = ".".join(str(part) for part in first["loc"]).upper()
            raise ConfigError(f"environment variable {_PREFIX}{name}: {first['msg']}") from None

    @property
    def tls(self) -> ssl.SSLContext | None:
        """The TLS context; None without TLS."""
        if not self.security.endswith("SSL"):
            return None
        context = ssl.create_default_context(cafile=self.ca)
        if self.certificate is not None:
            context.load_cert_chain(self.certificate, self.key)
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
