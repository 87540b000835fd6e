"""Make topics that are missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaConnectionError, KafkaError, TopicAlreadyExistsError, for_code

from gress_ml.errors import BrokerUnavailable, ConfigError


@dataclass(frozen=True, slots=True)
class TopicSettings:
    """How a topic is made."""

    partitions: int
    config: Mapping[str, str] = field(default_factory=dict)  # e.g. {"cleanup.policy": "compact"}
    replication: int = 1


async def create_topics(
    bootstrap: str,
    topics: Mapping[str, TopicSettings],
    client: Mapping[str, Any] | None = None,
) -> None:
    """Make the topics that are missing; those that exist stay as they are.

    ``client`` holds aiokafka's connection settings (TLS, SASL) where plain text will not do.
    Raises ``BrokerUnavailable`` when Kafka does not answer, ``ConfigError`` when it refuses one.
    """
    admin = AIOKafkaAdminClient(**{**(client or {}), "bootstrap_servers": bootstrap})
    try:
        await admin.start()
        response = await admin.create_topics([_new(name, how) for name, how in topics.items()])
    except AttributeError as error:  # what aiokafka makes of a cluster that has no controller
        raise ConfigError(
            f"the cluster at {bootstrap} has no controller, so it makes no topics on request; "
            "librdkafka's mock cluster is like that: there, topics are made when first used"
        ) from error
    except KafkaConnectionError as error:
        raise BrokerUnavailable(f"no Kafka broker answers at {bootstrap}: {error}") from error
    except KafkaError as error:
        raise ConfigError(f"Kafka at {bootstrap} refused to make topics: {error}") from error
    finally:
        await admin.close()
    for name, code, *_ in response.topic_errors:
        _check(name, code)


def _new(name: str, how: TopicSettings) -> NewTopic:
    return NewTopic(name, how.partitions, how.replication, topic_configs=dict(how.config))


def _check(name: str, code: int) -> None:
    if code in (0, TopicAlreadyExistsError.errno):
        return
    error = for_code(code)
    raise ConfigError(
        f"Kafka refused to make the topic {name!r}: {error.__name__} ({error.description})"
    )
