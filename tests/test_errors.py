"""Findings read as a compiler's: place, path, fault, hint; what is not known is left out."""

from __future__ import annotations

from gress_ml.errors import ConfigError, Finding


def test_a_finding_names_place_path_fault_and_hint() -> None:
    finding = Finding("a.yaml", 3, 7, "steps[0].config", "unknown key 'batchsize'", "a hint")
    assert str(finding) == "a.yaml:3:7: steps[0].config: unknown key 'batchsize' (a hint)"


def test_what_is_not_known_of_a_place_is_left_out() -> None:
    assert str(Finding("a.yaml", 0, 0, "", "cannot be read")) == "a.yaml: cannot be read"
    assert str(ConfigError("no such thing")) == "no such thing"


def test_all_findings_of_a_file_are_told_together() -> None:
    error = ConfigError([Finding("a.yaml", n, 1, "", f"fault {n}") for n in (1, 2)])
    assert str(error) == "a.yaml:1:1: fault 1\na.yaml:2:1: fault 2"
