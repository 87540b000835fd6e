"""``python -m fuzz.guided --target NAME``: the same targets, guided by what each input reaches.

Atheris (libFuzzer) instruments our Python code and keeps inputs that reach new lines of it; a
plain campaign keeps those that are answered in a new way. It knows bytes only: it is at its best
with texts such as expressions, and of little use where a checksum or a library in C comes first.

Needs ``pip install -e '.[fuzz]'``. Findings are kept as those of ``python -m fuzz`` are.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

#: Our own code, and the parser of YAML, which is Python too.
_INSTRUMENTED = ["gress_ml", "gress_ml_operators", "ruamel"]


def main() -> None:
    """Fuzz one target; libFuzzer ends the process, with its statistics."""
    parser = argparse.ArgumentParser(prog="python -m fuzz.guided", description=__doc__)
    parser.add_argument("--target", required=True)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1, help="a number that decides all inputs")
    options = parser.parse_args()
    import atheris

    with atheris.instrument_imports(include=_INSTRUMENTED):
        from fuzz.targets import TARGETS
    _fuzz(atheris, TARGETS[options.target](), options.seconds, options.seed)


def _fuzz(atheris: Any, target: Any, seconds: int, seed: int) -> None:
    from fuzz.__main__ import bound, kept
    from fuzz.campaign import Report, tried

    bound()
    report = Report(target.name)

    def one(data: bytes) -> None:
        known = len(report.findings)
        tried(target, data, report)
        for finding in [*report.findings.values()][known:]:
            print(f"  {finding.kind}\n    {kept(finding)}", flush=True)

    with tempfile.TemporaryDirectory() as corpus, target:
        for number, seed_input in enumerate((*target.seeds(), *map(_content, target.corpus()))):
            (Path(corpus) / str(number)).write_bytes(seed_input)
        # no time limit of libFuzzer's own: its alarm is that of ``time_limit``
        flags = [f"-max_total_time={seconds}", f"-seed={seed}", "-timeout=0", "-rss_limit_mb=0"]
        atheris.Setup([sys.argv[0], corpus, "-print_final_stats=1", *flags], one)
        atheris.Fuzz()


def _content(path: Path) -> bytes:
    return path.read_bytes()


if __name__ == "__main__":
    main()
