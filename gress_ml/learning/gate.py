"""Gate: when a learner is good enough to be published."""

from __future__ import annotations

from dataclasses import dataclass

from gress_ml.learning.scores import HOLDOUT, Scores


@dataclass(frozen=True, slots=True)
class Gate:
    """Looked at after every ``every`` rows learned, once there are enough of them.

    ``bound`` is the least value of the metric over the rows held out, or the greatest one where
    less is better.
    """

    every: int
    min_samples: int
    min_holdout: int
    metric: str
    bound: float

    def opens(self, learned: int, scores: Scores) -> bool:
        """Whether the learner may be published as it is."""
        if learned < self.min_samples or scores.held < self.min_holdout:
            return False
        value = scores.values().get(HOLDOUT + self.metric)
        if value is None:
            return False
        return value >= self.bound if scores.bigger_is_better(self.metric) else value <= self.bound
