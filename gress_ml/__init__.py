"""gress-ml: streaming machine-learning decisions on Kafka.

The public names for operator authors. Reading order of the package: ``batch``, ``schema``,
``operator``, ``ports``, then ``runtime`` (what happens to a batch), ``topology`` (YAML to graph),
``adapters/kafka`` (batches on Faust) and ``engine`` (where it all meets).
"""

from gress_ml.batch import Batch, concat
from gress_ml.errors import (
    ConfigError,
    Finding,
    GressError,
    ModelCorrupt,
    ModelError,
    ModelNotFound,
    OperatorError,
    SchemaError,
    SnapshotError,
    StoreUnavailable,
)
from gress_ml.metrics import Kind, Measure, Metric
from gress_ml.operator import (
    BatchPolicy,
    Context,
    Example,
    Lookup,
    Operator,
    OperatorConfig,
    Output,
    Rejected,
    Snapshot,
    Stages,
    Write,
    in_one_go,
)
from gress_ml.schema import (
    MISSING_TIME,
    Column,
    Columns,
    ColumnType,
    EventSchema,
    FeatureVector,
    Field,
    columns_of,
)

__all__ = [
    "MISSING_TIME",
    "Batch",
    "BatchPolicy",
    "Column",
    "ColumnType",
    "Columns",
    "ConfigError",
    "Context",
    "EventSchema",
    "Example",
    "FeatureVector",
    "Field",
    "Finding",
    "GressError",
    "Kind",
    "Lookup",
    "Measure",
    "Metric",
    "ModelCorrupt",
    "ModelError",
    "ModelNotFound",
    "Operator",
    "OperatorConfig",
    "OperatorError",
    "Output",
    "Rejected",
    "SchemaError",
    "Snapshot",
    "SnapshotError",
    "Stages",
    "StoreUnavailable",
    "Write",
    "columns_of",
    "concat",
    "in_one_go",
]
