"""Contract: the laws of an operator as checks that run over it without anyone writing a test.

In a test file of your own::

    from gress_ml.testing import checks_for

    @pytest.mark.parametrize(("name", "check"), checks_for(MyOperator))
    def test_contract(name, check):
        check()

The operator's examples are the input. A check that does not hold for an operator is waived in its
``waivers``: ``{"split_invariant": "why"}``; a waived check that passes after all fails the run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from gress_ml.operator import Operator
from gress_ml.testing.declaration_checks import config_is_documented, declared
from gress_ml.testing.rows_checks import (
    bad_row_rejected,
    deterministic,
    empty_batch,
    example_holds,
    fallback_matches,
    input_not_kept,
    input_not_mutated,
    joint_if_partition_free,
    later_work_may_be_cut,
    lookups_in_line,
    no_clock_and_no_io,
    reads_is_truthful,
    row_origin_preserved,
    signature_matches,
    split_invariant,
)
from gress_ml.testing.state_checks import (
    close_is_idempotent,
    memory_is_bounded,
    restores_at_every_cut,
    snapshot_is_sound,
)
from gress_ml.testing.subject import Subject

Check = Callable[[], None]

_OF_THE_CLASS: tuple[Callable[[type[Operator[Any]]], None], ...] = (declared, config_is_documented)
_OF_EACH_EXAMPLE: tuple[Callable[[Subject], None], ...] = (
    example_holds,
    input_not_mutated,
    input_not_kept,
    deterministic,
    split_invariant,
    joint_if_partition_free,
    later_work_may_be_cut,
    empty_batch,
    row_origin_preserved,
    bad_row_rejected,
    reads_is_truthful,
    lookups_in_line,
    signature_matches,
    no_clock_and_no_io,
    restores_at_every_cut,
    snapshot_is_sound,
    close_is_idempotent,
    fallback_matches,
)
_OF_ALL_EXAMPLES: tuple[Callable[[Sequence[Subject]], None], ...] = (memory_is_bounded,)

#: Name and law of every check.
CHECKS: Mapping[str, str] = {
    check.__name__: (check.__doc__ or "").split("\n\n")[0]
    for check in (*_OF_THE_CLASS, *_OF_EACH_EXAMPLE, *_OF_ALL_EXAMPLES)
}


def checks_for(operator_class: type[Operator[Any]]) -> list[tuple[str, Check]]:
    """Name and call of every check, bound to the operator. A breach raises AssertionError."""
    subjects = [Subject(operator_class, example) for example in operator_class.examples]
    bound: dict[str, Check] = {
        check.__name__: partial(check, operator_class) for check in _OF_THE_CLASS
    }
    bound |= {check.__name__: partial(_each, check, subjects) for check in _OF_EACH_EXAMPLE}
    bound |= {check.__name__: partial(check, subjects) for check in _OF_ALL_EXAMPLES}
    checks = [
        (name, partial(_waived, check, operator_class.waivers[name]))
        if name in operator_class.waivers
        else (name, check)
        for name, check in bound.items()
    ]
    return [("waivers", partial(_waivers_are_sound, operator_class)), *checks]


def _each(check: Callable[[Subject], None], subjects: Sequence[Subject]) -> None:
    for subject in subjects:
        try:
            check(subject)
        except Exception as error:
            raised = "" if isinstance(error, AssertionError) else f"{type(error).__name__}: "
            title = subject.example.title
            raise AssertionError(f"example {title!r}: {raised}{error}") from error


def _waived(check: Check, reason: str) -> None:
    """A waived check has to fail: otherwise its waiver has outlived its reason."""
    try:
        check()
    except AssertionError:
        return
    raise AssertionError(f"the check passes: take away its waiver ({reason})")


def _waivers_are_sound(operator_class: type[Operator[Any]]) -> None:
    for name, reason in operator_class.waivers.items():
        assert name in CHECKS, f"there is no check {name!r} to waive: {sorted(CHECKS)}"
        assert reason.strip(), f"the waiver of {name!r} gives no reason"
