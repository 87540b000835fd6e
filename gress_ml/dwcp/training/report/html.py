"""A document as one HTML file that needs no other: styles and pictures are in it."""

from __future__ import annotations

import re
from html import escape
from pathlib import Path

from gress_ml.dwcp.training.report.document import Block, Document, Grid, Picture, Text

_STYLE = """
:root { --ink: #1c2430; --soft: #5d6b7c; --line: #e3e8ee; --paper: #ffffff; --wash: #f6f8fa;
        --good: #1a7f4b; --bad: #c2382e; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--wash); color: var(--ink);
       font: 15px/1.6 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 960px; margin: 0 auto; padding: 40px 24px 96px; }
h1 { font-size: 30px; line-height: 1.25; margin: 0 0 12px; letter-spacing: -0.02em; }
h2 { font-size: 20px; margin: 0 0 12px; letter-spacing: -0.01em; }
section { background: var(--paper); border: 1px solid var(--line); border-radius: 12px;
          padding: 24px 28px; margin: 20px 0; overflow-x: auto; }
p { max-width: 72ch; margin: 10px 0; }
table { border-collapse: collapse; margin: 14px 0; font-variant-numeric: tabular-nums; }
th { text-align: left; font-weight: 600; color: var(--soft); font-size: 13px;
     border-bottom: 1px solid var(--line); padding: 6px 14px 6px 0; }
td { border-bottom: 1px solid var(--line); padding: 6px 14px 6px 0; vertical-align: top; }
tr:last-child td { border-bottom: 0; }
td.number, th.number { text-align: right; white-space: nowrap; }
figure { margin: 18px 0; }
figure svg { width: 100%; height: auto; display: block; }
figcaption { color: var(--soft); font-size: 13px; margin-top: 6px; }
code { background: var(--wash); border-radius: 4px; padding: 1px 5px; font-size: 13px; }
.pass { color: var(--good); font-weight: 600; }
.fail { color: var(--bad); font-weight: 600; }
"""


def text_of(document: Document) -> str:
    """The whole file."""
    sections = "".join(
        f"<section><h2>{escape(section.heading)}</h2>{''.join(map(_block, section.blocks))}"
        "</section>\n"
        for section in document.sections
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(document.title)}</title><style>{_STYLE}</style></head><body><main>"
        f"<h1>{escape(document.title)}</h1>{''.join(map(_block, document.lead))}\n"
        f"{sections}</main></body></html>\n"
    )


def write(document: Document, path: Path) -> None:
    """Write the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text_of(document))


def _block(block: Block) -> str:
    if isinstance(block, Text):
        return f"<p>{_marked(block.text)}</p>"
    if isinstance(block, Picture):
        return f"<figure>{_svg(block)}<figcaption>{_marked(block.caption)}</figcaption></figure>"
    return _table(block)


def _svg(picture: Picture) -> str:
    """The drawing alone; its ids get the picture's name, as several share one page."""
    drawing = picture.svg[picture.svg.index("<svg") :]
    drawing = re.sub(r'id="([^"]+)"', rf'id="{picture.name}-\1"', drawing)
    drawing = re.sub(r"url\(#([^)]+)\)", rf"url(#{picture.name}-\1)", drawing)
    return re.sub(r'href="#([^"]+)"', rf'href="#{picture.name}-\1"', drawing)


def _table(grid: Grid) -> str:
    head = "".join(_cell("th", at, text, grid) for at, text in enumerate(grid.header))
    rows = "".join(
        f"<tr>{''.join(_cell('td', at, text, grid) for at, text in enumerate(row))}</tr>"
        for row in grid.rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _cell(tag: str, at: int, text: str, grid: Grid) -> str:
    kind = ' class="number"' if at and not grid.words else ""
    shown = {"PASS": '<span class="pass">PASS</span>', "FAIL": '<span class="fail">FAIL</span>'}
    return f"<{tag}{kind}>{shown.get(text, _marked(text))}</{tag}>"


def _marked(text: str) -> str:
    text = re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text, quote=False))
    return re.sub(r"\*\*([^*]+)\*\*", r"<b>\1</b>", text)
