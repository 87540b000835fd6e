"""``python -m fuzz``: fuzz all targets, or one; or try one input again.

Findings go to ``fuzz/findings`` with the command that shows each again; exit 1 when there are any.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import resource
import secrets
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import structlog

from fuzz.campaign import Finding, Report, run
from fuzz.targets import TARGETS

FINDINGS = Path(__file__).parent / "findings"
#: A bound on memory for all targets: what grows beyond it fails with MemoryError, a finding.
_MEMORY_BYTES = 16 << 30


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; the exit status."""
    options = _options(arguments)
    bound()
    if options.replay:
        return _replay(options.target, options.replay)
    seed = options.seed or secrets.token_hex(4)
    print(f"seed {seed}: the same inputs again with --seed {seed}", flush=True)
    failed = False
    for name in [options.target] if options.target else TARGETS:
        with TARGETS[name]() as target:
            report = run(target, options.seconds, seed)
        _print(report)
        failed |= bool(report.findings)
    return 1 if failed else 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument(
        "--target", choices=list(TARGETS), help="one target; all of them if not given"
    )
    parser.add_argument("--seconds", type=float, default=30.0, help="time per target (default 30)")
    parser.add_argument("--seed", help="text that decides all inputs; one is made up and printed")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="try one input again")
    options = parser.parse_args(arguments)
    if options.replay and not options.target:
        parser.error("--replay needs --target")
    return options


def bound() -> None:
    """Bound the memory; warnings are errors, and nothing is logged."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    warnings.simplefilter("error")
    logging.disable(logging.CRITICAL)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def _replay(name: str, path: Path) -> int:
    with TARGETS[name]() as target:
        print(target.check(path.read_bytes()))
    return 0


def _print(report: Report) -> None:
    rate = report.executions / max(report.seconds, 1e-9)
    print(
        f"{report.target}: {report.executions} inputs in {report.seconds:.0f} s ({rate:.0f}/s), "
        f"{len(report.answers)} kinds of answer, {len(report.findings)} findings",
        flush=True,
    )
    for finding in report.findings.values():
        print(f"  {report.counts[finding.kind]} times {finding.kind}")
        print(f"    {kept(finding)}", flush=True)


def kept(finding: Finding) -> str:
    """Write the finding; the command that shows it again."""
    digest = hashlib.sha256(finding.data).hexdigest()[:10]
    path = FINDINGS / finding.target / digest
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(finding.data)
    path.with_suffix(".txt").write_text(f"{finding.kind}\n\n{finding.trace}")
    shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    return f"python -m fuzz --target {finding.target} --replay {shown}"


if __name__ == "__main__":
    sys.exit(main())
