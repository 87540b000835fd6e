"""Gates: what a selector has to reach before it may be published."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gress_ml.dwcp.training.evaluation import Evaluation
from gress_ml.errors import GressError

LEAST_ACCURACY, MOST_REGRET = 0.98, 0.02
LEAST_F1, MOST_CONFUSED = 0.95, 0.01
MOST_GAP = 0.03
LEAST_GAIN, LEAST_GAIN_LOW = 0.10, 0.05
MOST_ECE = 0.02
MOST_P99_US = 1000.0
MOST_MB = 10.0


class GateError(GressError):
    """A gate failed: the model is not published."""


@dataclass(frozen=True, slots=True)
class Gate:
    """One bound, the figure that is held against it, and how it ended."""

    name: str
    figure: str
    bound: str
    passed: bool

    @property
    def verdict(self) -> str:
        """PASS or FAIL."""
        return "PASS" if self.passed else "FAIL"


@dataclass(frozen=True, slots=True)
class Facts:
    """What the gates need beside the evaluation."""

    gap: float  # accuracy on the training part beyond that on the validation part
    p99_us: float  # of a call at batch 1
    megabytes: float  # of the bundle


def gates(found: Evaluation, facts: Facts) -> list[Gate]:
    """All gates, in the order of the table."""
    accuracy, regret = found.accuracy.value, found.regret.value
    least_f1 = min(one.f1.value for one in found.classes)
    gain = found.gain
    return [
        Gate(
            "accuracy or regret",
            f"accuracy {accuracy:.1%}, regret {regret:.2%}",
            f"accuracy ≥ {LEAST_ACCURACY:.0%} or regret ≤ {MOST_REGRET:.0%}",
            accuracy >= LEAST_ACCURACY or regret <= MOST_REGRET,
        ),
        Gate(
            "every class",
            f"least F1 {least_f1:.3f}; confusions add {regret:.2%} to the cost",
            f"F1 ≥ {LEAST_F1} or confusions add < {MOST_CONFUSED:.0%}",
            least_f1 >= LEAST_F1 or regret < MOST_CONFUSED,
        ),
        Gate(
            "train–validation gap",
            f"{facts.gap:+.2%}",
            f"< {MOST_GAP:.0%}",
            facts.gap < MOST_GAP,
        ),
        Gate(
            "gain over the rules",
            f"{gain.value:+.1%} ({gain.low:+.1%} to {gain.high:+.1%})",
            f"≥ {LEAST_GAIN:.0%}, lower end > {LEAST_GAIN_LOW:.0%}",
            gain.value >= LEAST_GAIN and gain.low > LEAST_GAIN_LOW,
        ),
        Gate("calibration error", f"{found.ece:.4f}", f"≤ {MOST_ECE}", found.ece <= MOST_ECE),
        Gate(
            "model call at batch 1",
            f"p99 {facts.p99_us:.0f} µs",
            f"< {MOST_P99_US:.0f} µs",
            facts.p99_us < MOST_P99_US,
        ),
        Gate(
            "size of the bundle",
            f"{facts.megabytes:.2f} MB",
            f"< {MOST_MB:.0f} MB",
            facts.megabytes < MOST_MB,
        ),
    ]


def require(found: Sequence[Gate], force: str) -> None:
    """Raises GateError that names the gates which failed, unless there is a reason to go on."""
    failed = [
        f"{gate.name}: {gate.figure}, needs {gate.bound}" for gate in found if not gate.passed
    ]
    if failed and not force:
        raise GateError(
            "not published, gates failed:\n  "
            + "\n  ".join(failed)
            + "\nImprove the model, or publish it all the same with --force 'reason'."
        )


def forced(found: Sequence[Gate], force: str) -> dict[str, str]:
    """Tags of the manifest that say which gates failed and why it was published all the same."""
    failed = ", ".join(gate.name for gate in found if not gate.passed)
    return {"gates": f"failed: {failed}", "forced": force} if failed else {"gates": "passed"}
