"""The agent: a program that moves files, asks the selector how, and reports what it took.

Reading order: ``folder`` (files to payloads), ``moving`` (one transfer, pure), ``wire`` (topics),
``agent`` (many transfers at once).
"""

from gress_ml.dwcp.agent.agent import Agent, Counts, Settings
from gress_ml.dwcp.agent.folder import Folder
from gress_ml.dwcp.agent.moving import Result
from gress_ml.dwcp.agent.wire import KafkaWire, MemoryWire, Topics, Wire

__all__ = [
    "Agent",
    "Counts",
    "Folder",
    "KafkaWire",
    "MemoryWire",
    "Result",
    "Settings",
    "Topics",
    "Wire",
]
