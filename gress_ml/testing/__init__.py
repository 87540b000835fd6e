"""Testing: the contract of an operator as checks, and a harness to run one without Kafka.

Public, for operator authors. Reading order: ``harness``, ``contract`` (the list of checks), then
``rows_checks``, ``state_checks`` and ``declaration_checks`` (the checks themselves).
"""

from gress_ml.testing.contract import CHECKS, Check, checks_for
from gress_ml.testing.harness import Harness, Result, Rows, run_batch
from gress_ml.testing.rows import batch_of, rows_of

__all__ = [
    "CHECKS",
    "Check",
    "Harness",
    "Result",
    "Rows",
    "batch_of",
    "checks_for",
    "rows_of",
    "run_batch",
]
