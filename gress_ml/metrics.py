"""Metric declarations: name, kind, labels and help, each declared once and used by who emits it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """A Prometheus metric. Counters carry their ``_total`` ending in the name."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()  # histograms only

    @property
    def per_second(self) -> float:
        """How many of the metric's units are a second, by the ending of its name: 1, or 1000."""
        return 1000.0 if self.name.endswith("_ms") else 1.0


@dataclass(frozen=True, slots=True)
class Measure:
    """One thing to record: an effect that an operator returns and the shell performs (law 7).

    Counters add ``value``, gauges are set to it, histograms observe it.
    ``labels`` are values in the order of ``metric.labels``.
    """

    metric: Metric
    value: float
    labels: tuple[str, ...] = ()


SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)

# Names and labels of the source document; one line each, in its order.
INFERENCE_LATENCY = Metric(
    "gress_ml_inference_latency_seconds",
    Kind.HISTOGRAM,
    "Time of one model call on a batch.",
    ("model", "version"),
    SECONDS,
)
PREDICTIONS = Metric(
    "gress_ml_predictions_total",
    Kind.COUNTER,
    "Rows predicted, by status: success or fallback.",
    ("model", "version", "status"),
)
BATCH_SIZE = Metric(
    "gress_ml_batch_size",
    Kind.HISTOGRAM,
    "Rows per model call.",
    ("model", "version"),
    (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024),
)
QUEUE_DEPTH = Metric(
    "gress_ml_queue_depth", Kind.GAUGE, "Records fetched and waiting for their batch."
)
ACTIVE_PREDICTIONS = Metric("gress_ml_active_predictions", Kind.GAUGE, "Model calls running now.")
INFERENCE_ERRORS = Metric(
    "gress_ml_inference_errors_total",
    Kind.COUNTER,
    "Model calls that failed or passed their deadline.",
    ("model", "version"),
)
FEATURE_TIME = Metric(
    "gress_ml_feature_extraction_time_seconds",
    Kind.HISTOGRAM,
    "Time to extract the features of a batch.",
    ("feature_set",),
    SECONDS,
)
FEATURES_EXTRACTED = Metric(
    "gress_ml_features_extracted_total",
    Kind.COUNTER,
    "Feature values extracted.",
    ("feature_set", "feature_type"),
)
VARIANT_SELECTIONS = Metric(
    "gress_ml_abtest_variant_selections_total",
    Kind.COUNTER,
    "Rows that a variant answered; those that the fallback answered are under `fallback`.",
    ("experiment", "variant"),
)
VARIANT_LATENCY = Metric(
    "gress_ml_abtest_variant_latency_seconds",
    Kind.HISTOGRAM,
    "Time of one model call of a variant on its rows of a batch.",
    ("experiment", "variant"),
    SECONDS,
)
SHADOW_COMPARISONS = Metric(
    "gress_ml_abtest_shadow_comparisons_total",
    Kind.COUNTER,
    "Answers compared with one from the shadow: match, differ, disagree, failed; shed: let go.",
    ("experiment", "result"),
)
MISSING_SPLIT_KEYS = Metric(
    "gress_ml_abtest_missing_split_keys_total",
    Kind.COUNTER,
    "Rows answered without an id to split by: by_event or default_arm.",
    ("experiment", "policy"),
)
ONLINE_UPDATES = Metric(
    "gress_ml_online_updates_processed_total",
    Kind.COUNTER,
    "Mini-batches learned.",
    ("model", "version"),
)
ONLINE_ROWS = Metric(
    "gress_ml_online_rows_total",
    Kind.COUNTER,
    "Rows that a learner was told, by use: trained, holdout or predicted.",
    ("model", "version", "use"),
)
LEARN_FAILURES = Metric(
    "gress_ml_online_learn_failures_total",
    Kind.COUNTER,
    "Rows that a learner was to learn and failed to.",
    ("model", "version"),
)
LEARNER_SIZE = Metric(
    "gress_ml_learner_size_bytes",
    Kind.GAUGE,
    "Size of a learner as it is saved, when last looked at.",
    ("model", "version"),
)
LEARNER_FROZEN = Metric(
    "gress_ml_learner_frozen",
    Kind.GAUGE,
    "1 when a learner has reached its size limit and learns no more.",
    ("model", "version"),
)
MODEL_SCORE = Metric(
    "gress_ml_model_score",
    Kind.GAUGE,
    "Score of a learner by metric: of all rows told before they were learned, of the last of them "
    "(rolling_), of the rows held out (holdout_).",
    ("model", "version", "metric"),
)
MODEL_CHECKPOINT_DURATION = Metric(
    "gress_ml_checkpoint_duration_seconds",
    Kind.HISTOGRAM,
    "Time to save a checkpoint with a learner in it.",
    ("model", "version"),
    SECONDS,
)
MODEL_DRIFT = Metric(
    "gress_ml_model_drift_score",
    Kind.GAUGE,
    "Population stability index of a feature against the model's training, over the last window.",
    ("model", "version", "feature"),
)
MODELS_PUBLISHED = Metric(
    "gress_ml_models_published_total",
    Kind.COUNTER,
    "Models that passed their gate, by result: published, present (by an earlier run), worse (than "
    "their rival), unavailable (the registry), refused.",
    ("model", "result"),
)

# The engine's own.
EVENTS = Metric("gress_ml_events_total", Kind.COUNTER, "Records read.", ("topic",))
OUTPUTS = Metric(
    "gress_ml_outputs_total", Kind.COUNTER, "Messages produced and acknowledged.", ("topic",)
)
DEAD_LETTERS = Metric(
    "gress_ml_dead_letters_total",
    Kind.COUNTER,
    "Records that could not be decided.",
    ("topic", "code"),
)
END_TO_END = Metric(
    "gress_ml_end_to_end_latency_seconds",
    Kind.HISTOGRAM,
    "From the input record's timestamp to the acknowledgement of all made from its batch.",
    ("topic",),
    (*SECONDS, 2.5, 5.0, 10.0, 30.0),
)
CONSUMER_LAG = Metric(
    "gress_ml_consumer_lag", Kind.GAUGE, "Records behind the end.", ("topic", "partition")
)
DEGRADED = Metric(
    "gress_ml_degraded_batches_total",
    Kind.COUNTER,
    "Batches decided without a system: feature_store, or model (a fallback answered).",
    ("system",),
)
DEGRADED_SECONDS = Metric(
    "gress_ml_degraded_seconds_total",
    Kind.COUNTER,
    "Time in which batches were decided without a system: feature_store, or model (a fallback).",
    ("system",),
)
BACKPRESSURE = Metric(
    "gress_ml_backpressure_seconds_total",
    Kind.COUNTER,
    "Time in which a partition was not read on because its queue was full.",
    ("topic", "partition"),
)
STORE_ERRORS = Metric(
    "gress_ml_store_errors_total", Kind.COUNTER, "Writes that a store did not take.", ("store",)
)
COMMITS = Metric("gress_ml_commits_total", Kind.COUNTER, "Offset commits, by result.", ("result",))
REOPENINGS = Metric(
    "gress_ml_partition_reopenings_total",
    Kind.COUNTER,
    "Partitions opened anew because their transaction was lost.",
    ("topic",),
)
SNAPSHOTS_REFUSED = Metric(
    "gress_ml_snapshots_refused_total",
    Kind.COUNTER,
    "Snapshots that could not be read or restored; an older one, or the log, was used.",
    ("topic",),
)
CHECKPOINT_DURATION = Metric(
    "gress_ml_snapshot_duration_seconds",
    Kind.HISTOGRAM,
    "Time to save the state of a partition.",
    ("topology",),
    SECONDS,
)
MODEL_RELOADS = Metric(
    "gress_ml_model_reloads_total",
    Kind.COUNTER,
    "Model versions to load while running, by result: loaded, failed (the running one stays) or "
    "unavailable (the same, and the registry is asked again).",
    ("model", "result"),
)
STEP_TIME = Metric(
    "gress_ml_step_seconds", Kind.HISTOGRAM, "Time of one step on a batch.", ("step",), SECONDS
)
