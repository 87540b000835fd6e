"""Fetching: aiokafka asks for the next records when it is told to, not as soon as it can."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.fetch import FetchRequest

Ready = Callable[[], Awaitable[None]]


def fetch_when(ready: Ready, client: AIOKafkaClient) -> None:
    """From now on each fetch request of this client is sent when ``ready`` returns.

    aiokafka has no setting for it. To its fetcher it looks like a broker that takes its time: what
    changes meanwhile (positions, the assignment) it looks at when the answer comes.
    """
    send = client.send

    async def send_when_ready(node_id: int, request: Any, **options: Any) -> Any:
        if isinstance(request, FetchRequest):
            await ready()
        return await send(node_id, request, **options)

    client.send = send_when_ready
