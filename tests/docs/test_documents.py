"""Documents say what is so: links lead somewhere, commands exist, YAML is sound."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer.main
from documents import DOCS, EXAMPLES, ROOT, blocks, code, documents, name_of, prose

from gress_ml.adapters.kafka.settings import KafkaSettings
from gress_ml.cli.docs_tables import anchor
from gress_ml.cli.main import app
from gress_ml.engine.stores import open_models
from gress_ml.runtime import task
from gress_ml.topology.load import load_topology
from gress_ml.topology.svg import svg

PAGES = [pytest.param(path, id=name_of(path)) for path in documents()]
_LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)
_OUTSIDE = re.compile(
    r"(?<![\w.:/>$}-])(?:~|/(?:work|root|home|tmp|usr|opt|etc|var|mnt|srv|Users|private))/[\w.-]+"
)
_GRESS = re.compile(r"^gress(?:\s+([a-z]+))?(?:\s+([a-z]+)\b)?")
_MAKE = re.compile(r"^make\s+([a-z-]+)")


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def anchors(path: Path) -> set[str]:
    """The fragments under which the headings of a document are found."""
    headings = _HEADING.findall(prose(text_of(path)))
    return {anchor(re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)) for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in _LINK.findall(prose(text_of(page))):
        if re.match(r"[a-z]+:", link):
            continue
        place, _, fragment = link.partition("#")
        target = (page.parent / place).resolve() if place else page
        assert target.is_relative_to(ROOT), f"{link} leads out of the repository"
        if not target.exists() or (fragment and fragment not in anchors(target)):
            broken.append(link)
    assert not broken


@pytest.mark.parametrize("page", PAGES)
def test_no_document_names_a_path_outside_the_repository(page: Path) -> None:
    assert not _OUTSIDE.findall(text_of(page))


def test_paths_outside_the_repository_would_be_found() -> None:
    text = "see /home/me/x, `/tmp/y` and ~/z; not /health, docs/home/a, https://example.org/etc/b"
    assert _OUTSIDE.findall(text) == ["/home/me", "/tmp/y", "~/z"]


@pytest.mark.parametrize("page", PAGES)
def test_topologies_in_documents_are_sound(page: Path, tmp_path: Path) -> None:
    for number, block in enumerate(blocks(text_of(page))):
        if block.info == "yaml topology":
            file = tmp_path / f"{number}.yaml"
            file.write_text(block.text, encoding="utf-8")
            load_topology(file, open_models)


def test_topology_of_the_readme_is_the_one_that_is_tested() -> None:
    shown = [b.text for b in blocks(text_of(ROOT / "README.md")) if b.info == "yaml topology"]
    assert shown == [text_of(EXAMPLES / "big_spenders.yaml")]


# --- commands -------------------------------------------------------------------------------------


@cache
def commands() -> Mapping[str, Any]:
    """The commands of ``gress``; a group has ``commands`` of its own."""
    group: Any = typer.main.get_command(app)
    context = typer.Context(group)
    return {name: group.get_command(context, name) for name in group.list_commands(context)}


def targets() -> set[str]:
    return set(re.findall(r"^([a-z][a-z-]*):", text_of(ROOT / "Makefile"), re.MULTILINE))


def fault_of_gress(line: str) -> str:
    """What is wrong with a call of ``gress`` in a document; empty when nothing is."""
    match = _GRESS.match(line)
    if match is None or match[1] is None:
        return ""
    command = commands().get(match[1])
    if match[2] and hasattr(command, "commands"):
        command = command.commands.get(match[2])
    if command is None:
        return f"no command {match[0]!r}"
    known = {option for param in command.params for option in (*param.opts, *param.secondary_opts)}
    line = line.partition("#")[0]
    unknown = set(re.findall(r"(?<!\S)--[a-z-]+", line)) - known - {"--help"}
    return f"{match[0]!r} has no option {sorted(unknown)}" if unknown else ""


@pytest.mark.parametrize("page", PAGES)
def test_commands_in_documents_exist(page: Path) -> None:
    lines = [line.strip() for line in code(text_of(page))]
    faults = [fault for line in lines if (fault := fault_of_gress(line))]
    made = {match[1] for line in lines if (match := _MAKE.match(line))}
    assert not faults
    assert made <= targets()


def test_faulty_commands_would_be_found() -> None:
    assert fault_of_gress("gress chek x.yaml") == "no command 'gress chek x'"
    assert (
        fault_of_gress("gress worker x --speed 3") == "'gress worker x' has no option ['--speed']"
    )
    assert not fault_of_gress("gress models show compression-selector")


def test_readme_lists_every_command() -> None:
    listed = re.findall(r"^\| `gress ([a-z]+)`", text_of(ROOT / "README.md"), re.MULTILINE)
    assert sorted(listed) == sorted(commands())


def test_readme_lists_every_variable_of_kafka() -> None:
    readme = text_of(ROOT / "README.md")
    names = {f"GRESS_KAFKA_{name.upper()}" for name in KafkaSettings.model_fields}
    names = (names - {"GRESS_KAFKA_BOOTSTRAP"}) | {"GRESS_KAFKA"}
    assert {name for name in names if f"`{name}`" not in readme} == set()


# --- what is told twice ---------------------------------------------------------------------------


def test_picture_is_that_of_the_topology() -> None:
    topology = load_topology(ROOT / "topologies/compression_selector.yaml", open_models)
    assert text_of(DOCS / "images/compression_selector.svg") == svg(topology), (
        "run `gress graph topologies/compression_selector.yaml "
        "--output docs/images/compression_selector.svg`"
    )


def test_architecture_shows_the_transition_table_of_the_partition_task() -> None:
    table = re.search(r"^    phase .*?(?=\n\n)", task.__doc__ or "", re.MULTILINE | re.DOTALL)
    assert table is not None
    shown = re.sub(r"^    ", "", table[0], flags=re.MULTILINE)
    assert f"```text\n{shown}\n```" in text_of(ROOT / "ARCHITECTURE.md")


def test_architecture_lists_every_border_between_the_rooms() -> None:
    project = tomllib.loads(text_of(ROOT / "pyproject.toml"))
    names = {contract["name"] for contract in project["tool"]["importlinter"]["contracts"]}
    page = text_of(ROOT / "ARCHITECTURE.md")
    assert {name for name in names if f"| {name} |" not in page} == set()


@pytest.mark.parametrize("page", PAGES)
def test_source_files_in_documents_exist(page: Path) -> None:
    named = set(re.findall(r"`([\w./-]+/[\w-]+\.(?:py|yaml|toml))`", prose(text_of(page))))
    starts = (page.parent, ROOT, ROOT / "gress_ml", ROOT / "gress_ml" / "project")
    assert {n for n in named if not any((start / n).exists() for start in starts)} == set()


def test_changelog_has_the_version_of_the_project() -> None:
    version = tomllib.loads(text_of(ROOT / "pyproject.toml"))["project"]["version"]
    assert f"## [{version}]" in text_of(ROOT / "CHANGELOG.md")


def test_every_decision_is_listed() -> None:
    listed = text_of(DOCS / "decisions/README.md")
    found = {path.name for path in (DOCS / "decisions").glob("[0-9]*.md")}
    assert {name for name in found if f"({name})" not in listed} == set()
