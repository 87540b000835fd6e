"""The data set: transfers with all arms measured, made in two stages and read as columns.

Reading order: ``recipe``, ``measuring`` (stage one: really compress), ``fleet`` and ``labelling``
(stage two: links, costs, history, labels), ``noise``, ``columns``, ``build``, ``reader``.
"""

from gress_ml.dwcp.dataset.fleet import START_MS
from gress_ml.dwcp.dataset.parquet import DatasetError
from gress_ml.dwcp.dataset.reader import Dataset, outcomes, read, transfers
from gress_ml.dwcp.links import REGIONS

__all__ = [
    "REGIONS",
    "START_MS",
    "Dataset",
    "DatasetError",
    "outcomes",
    "read",
    "transfers",
]
