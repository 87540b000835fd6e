"""The two forms of the report: whole, sound and on their own."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from gress_ml.dwcp.training.report import html, markdown
from gress_ml.dwcp.training.report.document import Document, Grid, Picture, Section, Text

SVG = (
    '<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" '
    'xmlns:xlink="http://www.w3.org/1999/xlink"><defs><path id="m1"/></defs>'
    '<use xlink:href="#m1" clip-path="url(#m1)"/></svg>'
)


@pytest.fixture
def page() -> Document:
    return Document(
        "A < B",
        [Text("It is **bold** and `code`, 1 < 2.")],
        [
            Section("Gates", [Grid(("gate", ""), [("a|b", "PASS"), ("c", "FAIL")], words=True)]),
            Section("Pictures", [Picture("one", SVG, "One"), Picture("two", SVG, "Two")]),
        ],
    )


def test_markdown_has_tables_and_pictures_beside_it(page: Document, tmp_path: Path) -> None:
    markdown.write(page, tmp_path / "docs" / "report.md")
    text = (tmp_path / "docs" / "report.md").read_text()
    assert text.startswith("# A < B\n")
    assert "| gate |  |\n| --- | --- |\n| a/b | PASS |" in text
    for name in re.findall(r"!\[.*?\]\((.*?)\)", text):
        assert (tmp_path / "docs" / name).read_text() == SVG


def test_html_needs_no_other_file(page: Document) -> None:
    text = html.text_of(page)
    assert not re.findall(r'(?:src|href)="(?!#)(?!http://www.w3.org)[^"]+"', text)
    assert "<h1>A &lt; B</h1>" in text
    assert "It is <b>bold</b> and <code>code</code>, 1 &lt; 2." in text
    assert '<span class="fail">FAIL</span>' in text


def test_html_is_well_formed_and_ids_of_pictures_do_not_meet(page: Document) -> None:
    text = html.text_of(page).removeprefix("<!doctype html>\n")
    tree = ElementTree.fromstring(re.sub(r"<meta[^>]*>", "", text))
    ids = [element.get("id") for element in tree.iter() if element.get("id")]
    assert ids == ["one-m1", "two-m1"]
    assert 'xlink:href="#two-m1" clip-path="url(#two-m1)"' in text
