"""``make audit``: what the dependencies are, and whether they are what was tested.

Without a network: all that is installed is pinned, at the version that is installed, and fits what
``pyproject.toml`` asks for; nothing comes from an address instead of an index; each licence may be
distributed with software under Apache-2.0.

With a network and pip-audit on PATH (``pipx install pip-audit``): known vulnerabilities of the
pinned versions. What could not be looked up is said, and never counted as good.
"""

from __future__ import annotations

import importlib.metadata as metadata
import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
NAME = "gress-ml"
#: What the tests run with, and so what is pinned.
TESTED = frozenset({"dev", "servers", "postgres", "s3", "gcs"})
#: What the container image holds.
IMAGE = frozenset({"postgres"})
PINNED_ON = (3, 11)  # a newer Python needs fewer packages
#: Every virtual environment has them, `pip freeze` leaves them out, and so no version is pinned.
UNPINNED = frozenset({"pip", "setuptools"})
PIP_AUDIT_S = 300.0

PERMISSIVE = frozenset(
    {
        *("0BSD", "Apache-2.0", "BSD", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "ISC", "MIT"),
        *("MIT-0", "MIT-CMU", "PSF-2.0", "Zlib"),
    }
)
#: Copyleft that ends at the library's own files: to be used unchanged, and not to be copied into
#: our sources.
LIBRARY_ONLY = frozenset({"LGPL-3.0-only", "MPL-2.0"})
#: What packages say that name no SPDX identifier.
SPOKEN = {
    "apache 2": "Apache-2.0",
    "apache 2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "3-clause bsd license": "BSD-3-Clause",
    "bsd 2-clause license": "BSD-2-Clause",
    "bsd license": "BSD",
    "isc license (iscl)": "ISC",
    "mit license": "MIT",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "python software foundation license": "PSF-2.0",
}
#: Packages whose metadata does not say it; read in the files that they bring.
READ = {
    "namex": "Apache-2.0",  # LICENSE
    "pgserver": "Apache-2.0",  # LICENSE
    "scipy": "BSD-3-Clause",  # LICENSE.txt; its classifier says BSD
    "venusian": "BSD",  # LICENSE.txt: Repoze, a BSD licence with a clause on names
}


def main() -> int:
    pins = read_pins((ROOT / "constraints.txt").read_text().splitlines())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    tested, image = closure(TESTED), closure(IMAGE)
    licences = {name: licence_of(name) for name in sorted(tested | image)}
    faults = [
        *faults_of_requirements(project, pins),
        *faults_of_pins(tested, pins),
        *faults_of_licences(licences),
    ]
    _print(f"{len(pins)} versions are pinned; {len(image)} packages are in the image")
    for name in sorted(licences):
        where = "image" if name in image else "tests"
        version, licence = pins.get(name, "(not pinned)"), " ".join(sorted(licences[name]))
        _print(f"  {name} {version}: {licence} ({where})")
    vulnerable, unknown = known_vulnerabilities()
    for fault in [*faults, *vulnerable]:
        _print(f"FAULT: {fault}")
    _print(f"known vulnerabilities: {unknown or f'{len(vulnerable)} found'}")
    return 1 if faults or vulnerable else 0


def read_pins(lines: Sequence[str]) -> dict[str, str]:
    """Versions by name. Raises ValueError for a line that is no exact version of an index."""
    pins: dict[str, str] = {}
    for line in lines:
        if not line or line.startswith("#"):
            continue
        match = re.fullmatch(r"([A-Za-z0-9._-]+)==([A-Za-z0-9.!+]+)", line)
        if match is None:
            raise ValueError(f"constraints.txt: {line!r} is no exact version")
        name = canonicalize_name(match[1])
        if name in pins:
            raise ValueError(f"constraints.txt: {name} is there twice")
        pins[name] = match[2]
    return pins


def closure(extras: frozenset[str]) -> set[str]:
    """What an installation with these extras brings, by the metadata of what is installed."""
    found: set[tuple[str, frozenset[str]]] = set()
    waiting = [(NAME, extras)]
    while waiting:
        name, wanted = waiting.pop()
        if (name, wanted) in found:
            continue
        found.add((name, wanted))
        for text in metadata.requires(name) or ():
            requirement = Requirement(text)
            if _applies(requirement, wanted):
                of = canonicalize_name(requirement.name)
                waiting.append((of, frozenset(requirement.extras)))
    return {name for name, _ in found} - {NAME}


def _applies(requirement: Requirement, extras: frozenset[str]) -> bool:
    marker = requirement.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in extras | {""})


def faults_of_requirements(project: Mapping[str, object], pins: Mapping[str, str]) -> Iterator[str]:
    """Requirements that a pin does not fit, or that name an address."""
    optional = project["optional-dependencies"]
    assert isinstance(optional, dict)
    groups = {"": project["dependencies"], **optional}
    for group, texts in groups.items():
        for text in texts:  # type: ignore[attr-defined]
            requirement = Requirement(text)
            name = canonicalize_name(requirement.name)
            if requirement.url:
                yield f"{text}: a requirement must not name an address"
            if name == NAME:
                continue
            if name in pins and not requirement.specifier.contains(pins[name]):
                yield f"{text}: the pinned version is {pins[name]}"
            if name not in pins and group in {"", *TESTED}:
                yield f"{text}: there is no pinned version"


def faults_of_pins(tested: set[str], pins: Mapping[str, str]) -> Iterator[str]:
    """What is installed and not pinned, pinned and not needed, or of another version."""
    for name in sorted(tested - pins.keys() - UNPINNED):
        yield f"{name} is installed for the tests and has no pinned version"
    if sys.version_info[:2] == PINNED_ON:
        for name in sorted(pins.keys() - tested):
            yield f"{name} is pinned and nothing needs it"
    for name in sorted(tested & pins.keys()):
        if metadata.version(name) != pins[name]:
            yield f"{name} is pinned at {pins[name]}, installed is {metadata.version(name)}"


def licence_of(name: str) -> frozenset[str]:
    """SPDX identifiers; one that begins with ``?`` is what the package says and nobody knows.

    Of alternatives (OR) one is enough, and the permissive one is taken.
    """
    if name in READ:
        return frozenset({READ[name]})
    about = metadata.metadata(name)
    said = about.get("License-Expression") or about.get("License") or ""
    identifiers = _spdx(said.strip())
    if identifiers:
        return identifiers
    classifiers = [
        text.rpartition(" :: ")[2]
        for text in about.get_all("Classifier") or ()
        if text.startswith("License :: ")
    ]
    found = frozenset(SPOKEN.get(text.lower(), f"?{text}") for text in classifiers)
    return found or frozenset({f"?{said[:60]}"})


def _spdx(said: str) -> frozenset[str]:
    if said.lower() in SPOKEN:
        return frozenset({SPOKEN[said.lower()]})
    needed: set[str] = set()
    for part in re.split(r"\s+AND\s+", said):
        choices = [text.strip("() ") for text in re.split(r"\s+OR\s+", part)]
        if not set(choices) <= PERMISSIVE | LIBRARY_ONLY:
            return frozenset()
        needed.add(min(choices, key=lambda text: (text not in PERMISSIVE, text)))
    return frozenset(needed)


def faults_of_licences(licences: Mapping[str, frozenset[str]]) -> Iterator[str]:
    for name, found in licences.items():
        for licence in sorted(found - PERMISSIVE - LIBRARY_ONLY):
            yield f"{name}: is the licence {licence.lstrip('?')!r} good? If so, add it here"


def known_vulnerabilities() -> tuple[list[str], str]:
    """What pip-audit finds in the pinned versions, and why that is not the whole answer."""
    command = shutil.which("pip-audit")
    if command is None:
        return [], "NOT CHECKED: pip-audit is not on PATH (`pipx install pip-audit`)"
    options = ("--no-deps", "--disable-pip", "--progress-spinner", "off", "--format", "json")
    try:
        done = subprocess.run(  # noqa: S603 - the arguments are ours
            [command, "--requirement", str(ROOT / "constraints.txt"), *options],
            capture_output=True,
            text=True,
            timeout=PIP_AUDIT_S,
            check=False,
        )
        answers = json.loads(done.stdout)["dependencies"]
    except (subprocess.TimeoutExpired, ValueError, KeyError):
        return [], "NOT CHECKED: pip-audit did not get an answer; run it where there is a network"
    found = [
        f"{one['name']} {one['version']}: {fault['id']}"
        for one in answers
        for fault in one.get("vulns", ())
    ]
    skipped = sum("skip_reason" in one for one in answers)
    if skipped:
        return (
            found,
            f"{skipped} of {len(answers)} packages NOT CHECKED: they could not be looked up",
        )
    return found, ""


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
