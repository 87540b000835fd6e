"""``make audit``: its faults are found, and what it could not look up is not called good."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / "deploy" / "audit.py"

_loader = SourceFileLoader("audit", str(PROGRAM))
_spec = spec_from_loader("audit", _loader)
assert _spec is not None
audit = module_from_spec(_spec)
_loader.exec_module(audit)


def run(folder: Path, pip_audit: str = "") -> tuple[int, str]:
    """Run the audit with this ``pip-audit`` on PATH, or none."""
    if pip_audit:
        program = folder / "pip-audit"
        program.write_text(f"#!{sys.executable}\nprint('''{pip_audit}''')\n")
        program.chmod(0o755)
    done = subprocess.run(
        [sys.executable, PROGRAM],
        env={**os.environ, "PATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout


def test_our_dependencies_are_pinned_and_their_licences_known(tmp_path: Path) -> None:
    code, told = run(tmp_path)
    assert code == 0, told
    assert "known vulnerabilities: NOT CHECKED: pip-audit is not on PATH" in told


@pytest.mark.parametrize(
    ("answer", "code", "said"),
    [
        ({"name": "a", "version": "1", "vulns": []}, 0, "0 found"),
        ({"name": "a", "version": "1", "vulns": [{"id": "CVE-1"}]}, 1, "FAULT: a 1: CVE-1"),
        ({"name": "a", "skip_reason": "not there"}, 0, "1 of 1 packages NOT CHECKED"),
        (None, 0, "NOT CHECKED: pip-audit did not get an answer"),
    ],
)
def test_what_pip_audit_did_not_look_up_is_not_called_good(
    tmp_path: Path, answer: object, code: int, said: str
) -> None:
    text = "no network" if answer is None else json.dumps({"dependencies": [answer]})
    found, told = run(tmp_path, text)
    assert (found, said in told) == (code, True), told


@pytest.mark.parametrize(
    "line", ["a>=1", "a", "a @ https://example.test/a.whl", "-e .", "git+https://example.test/a"]
)
def test_a_pin_is_an_exact_version_of_an_index(line: str) -> None:
    with pytest.raises(ValueError, match="no exact version"):
        audit.read_pins(["# comment", "b==1", line])


def test_a_requirement_that_a_pin_does_not_fit_is_a_fault() -> None:
    project = {
        "dependencies": ["a>=2", "b>=1", "c @ https://example.test/c.whl"],
        "optional-dependencies": {"dev": ["gress-ml[servers]", "d>=1"], "gpu": ["e>=1"]},
    }
    pins = {"a": "1.9", "b": "1.0", "c": "1"}
    faults = [*audit.faults_of_requirements(project, pins)]
    assert [fault.partition(":")[0] for fault in faults] == ["a>=2", "c @ https", "d>=1"]


def test_a_licence_that_nobody_has_judged_is_a_fault() -> None:
    licences = {"a": frozenset({"MIT"}), "b": frozenset({"?GPL-3.0-only"})}
    assert [*audit.faults_of_licences(licences)] == [
        "b: is the licence 'GPL-3.0-only' good? If so, add it here"
    ]


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("MIT", {"MIT"}),
        ("Apache-2.0 AND MIT", {"Apache-2.0", "MIT"}),
        ("MPL-2.0 AND (Apache-2.0 OR MIT)", {"MPL-2.0", "Apache-2.0"}),
        ("LGPL-3.0-only OR MIT", {"MIT"}),
        ("GPL-3.0-only", set()),
        ("MIT AND GPL-2.0-only", set()),
    ],
)
def test_licence_expressions_are_read(said: str, meant: set[str]) -> None:
    assert audit._spdx(said) == meant
