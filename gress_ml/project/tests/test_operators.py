"""The operators of this project keep the contract of all operators."""

from __future__ import annotations

import pytest
from deviation import Deviation

from gress_ml.testing import Check, checks_for

CHECKS = [pytest.param(check, id=name) for name, check in checks_for(Deviation)]


@pytest.mark.parametrize("check", CHECKS)
def test_deviation_keeps_the_contract(check: Check) -> None:
    check()
