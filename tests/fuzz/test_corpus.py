"""What once broke a law keeps it now; and every fuzzer works."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from fuzz.__main__ import main
from fuzz.campaign import LIMIT_S, run, time_limit
from fuzz.target import CORPUS, Target
from fuzz.targets import TARGETS

#: Counted, not timed, so that each machine tries the same. Where one is dear there are fewer.
FRESH_INPUTS = 300
FEWER_INPUTS = {"topologies": 40, "bundles": 60, "cases": 60, "graphs": 60}

INPUTS = sorted(path for path in CORPUS.glob("*/*") if path.is_file())


@pytest.fixture(scope="module")
def targets() -> Iterator[dict[str, Target]]:
    """The targets by name, entered when they are first asked for."""
    with ExitStack() as entered:

        class Entered(dict[str, Target]):
            def __missing__(self, name: str) -> Target:
                self[name] = entered.enter_context(TARGETS[name]())
                return self[name]

        yield Entered()


@pytest.mark.parametrize("path", INPUTS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_what_once_broke_a_law_keeps_it(targets: dict[str, Target], path: Path) -> None:
    with time_limit(LIMIT_S):
        targets[path.parent.name].check(path.read_bytes())


@pytest.mark.parametrize("name", TARGETS)
def test_a_short_campaign_breaks_no_law(targets: dict[str, Target], name: str) -> None:
    known = len([*targets[name].seeds(), *targets[name].corpus()])
    wanted = known + FEWER_INPUTS.get(name, FRESH_INPUTS)
    report = run(targets[name], math.inf, "smoke", most=wanted)
    assert report.executions == wanted
    assert not {kind: finding.data for kind, finding in report.findings.items()}


def test_every_corpus_folder_has_its_target() -> None:
    assert {path.name for path in CORPUS.iterdir()} <= set(TARGETS)


def test_the_same_seed_gives_the_same_inputs() -> None:
    class Noting(Target):
        name = "noting"

        def __init__(self) -> None:
            self.seen: list[bytes] = []

        def seeds(self) -> list[bytes]:
            return TARGETS["expressions"]().seeds()

        mutate = TARGETS["expressions"].mutate

        def check(self, data: bytes) -> str:
            self.seen.append(data)
            return ""

    first, second, other = Noting(), Noting(), Noting()
    for target, seed in ((first, "1"), (second, "1"), (other, "2")):
        run(target, math.inf, seed, most=100)
    assert first.seen == second.seen != other.seen


def test_a_broken_law_is_kept_with_the_command_that_shows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Broken(Target):
        name = "broken"
        law = "No input holds a 7."

        def seeds(self) -> list[bytes]:
            return [b"123", b"4567890"]

        def mutate(self, random: object, pool: object) -> bytes:
            return b""

        def check(self, data: bytes) -> str:
            if b"7" in data:
                raise KeyError("seven")
            return "kept"

    monkeypatch.setattr("fuzz.__main__.TARGETS", {"broken": Broken})
    monkeypatch.setattr("fuzz.__main__.FINDINGS", tmp_path)
    monkeypatch.setattr("fuzz.__main__.bound", lambda: None)
    assert main(["--target", "broken", "--seconds", "0.01", "--seed", "1"]) == 1
    (found,) = (path for path in (tmp_path / "broken").iterdir() if not path.suffix)
    assert found.read_bytes() == b"7"  # as small as it can be
    assert f"--target broken --replay {found}" in capsys.readouterr().out
    with pytest.raises(KeyError):
        main(["--target", "broken", "--replay", str(found)])


def test_defaults_that_begin_and_never_end_cost_linear_time(targets: dict[str, Target]) -> None:
    with time_limit(LIMIT_S):
        targets["topologies"].check(b"name: " + b"${A:-" * 80_000)
