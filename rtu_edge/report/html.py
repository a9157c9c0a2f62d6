"""Shared by the pages: colours, layout, and pieces of HTML."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping

from rtu_edge._base.untrusted import clean
from rtu_edge.report.figures import PALETTE

__all__ = ["SAFETY", "document", "facts", "plain", "section", "table", "text", "tiles"]

_DARK = {
    "ink": "#e4eaf0",
    "muted": "#93a1af",
    "faint": "#2b3743",
    "paper": "#151c23",
    "agent": "#3cc1b8",
    "control": "#f0894f",
    "force": "#8a9cf0",
    "good": "#51cf66",
    "bad": "#ff6b6b",
}

_CSS = """
* { box-sizing: border-box }
body { margin: 0; background: var(--ground); color: var(--ink);
  font: 15px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif }
main { max-width: 1080px; margin: 0 auto; padding: 44px 28px 64px }
header { margin-bottom: 26px }
.over { color: var(--agent); font-weight: 650; letter-spacing: .07em; text-transform: uppercase; font-size: 12px }
h1 { font-size: 30px; line-height: 1.2; margin: 6px 0 10px; font-weight: 680; letter-spacing: -.012em }
td.number:last-child, th.number:last-child { padding-right: 0 }
h2 { font-size: 17px; margin: 0 0 4px; font-weight: 650 }
.lead { font-size: 16.5px; max-width: 62em; margin: 0 }
.when, .note { color: var(--muted); font-size: 13.5px }
.when { margin: 8px 0 0 }
.note { margin: 0 0 10px; max-width: 74em }
.verdict { display: inline-block; border-radius: 99px; padding: 1px 11px; font-size: 13px;
  font-weight: 650; margin-right: 8px;
  color: var(--paper) }
.verdict.good { background: var(--good) } .verdict.bad { background: var(--bad) }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(158px, 1fr)); gap: 12px; margin: 0 0 18px }
.tile, section { background: var(--paper); border: 1px solid var(--faint); border-radius: 10px }
.tile { padding: 13px 16px 12px }
.tile b { display: block; font-size: 23px; font-weight: 660; letter-spacing: -.01em;
  font-variant-numeric: tabular-nums; white-space: nowrap }
.tile span { color: var(--muted); font-size: 12.5px }
section { padding: 20px 22px 18px; margin: 0 0 16px }
section svg { display: block; width: 100%; height: auto; margin-top: 6px }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 16px; align-items: start }
.scroll { overflow-x: auto }
.pair section { margin: 0 0 16px; height: calc(100% - 16px) }
table { border-collapse: collapse; width: 100%; font-size: 14px; margin-top: 8px; font-variant-numeric: tabular-nums }
th { text-align: left; color: var(--muted); font-weight: 550; font-size: 12.5px }
th, td { padding: 6px 14px 6px 0; border-bottom: 1px solid var(--faint); vertical-align: top }
tr:last-child td { border-bottom: 0 }
td.number, th.number { text-align: right; white-space: nowrap }
td.mark { width: 26px; font-weight: 700 } td.mark.good { color: var(--good) } td.mark.bad { color: var(--bad) }
.facts td:first-child { color: var(--muted); white-space: nowrap; width: 1%; padding-right: 22px }
.facts td { overflow-wrap: anywhere }
.wide { columns: 3; column-gap: 36px; font-size: 14px; margin-top: 8px }
.wide div { padding: 4px 0; break-inside: avoid; overflow-wrap: anywhere; display: grid;
  grid-template-columns: 10.5em 1fr }
.wide span, .counters span { color: var(--muted) }
.wide i { font-style: normal }
.counters { display: flex; flex-wrap: wrap; gap: 6px 28px; font-size: 14px; margin-top: 14px;
  font-variant-numeric: tabular-nums }
.counters b { font-weight: 600 }
pre { font: 12.5px/1.55 ui-monospace, "SF Mono", Menlo, "DejaVu Sans Mono", monospace;
  overflow-x: auto; margin: 10px 0 0 }
.columns { columns: 2; column-gap: 40px }
summary { cursor: pointer; font-size: 17px; font-weight: 650 }
footer { color: var(--muted); font-size: 12.5px; margin-top: 22px }
@media (max-width: 760px) { .pair { grid-template-columns: 1fr } .columns, .wide { columns: 1 }
  main { padding: 26px 12px } section { padding: 16px 14px 14px } h1 { font-size: 25px }
  th, td { padding-right: 10px } .tile b { font-size: 20px } }
@media (max-width: 420px) { .tiles { grid-template-columns: 1fr 1fr } .wide div { grid-template-columns: 8.5em 1fr } }
@media print { body { background: none } .tile, section { break-inside: avoid } }
"""

SAFETY = (
    "Not a certified safety function. The device's own limits, its command lifetime and an emergency stop that works "
    "without this software come first."
)


def document(title: str, body: Iterable[str], more_css: str = "") -> str:
    """A self-contained page.

    Args:
        title: plain text.
        body: pieces of HTML; empty ones are left out.
        more_css: of this page alone.
    """
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{text(title)}</title>\n<style>{_colours()}{_CSS}{more_css}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(part for part in body if part)
        + "\n</main>\n</body>\n</html>\n"
    )


def _colours() -> str:
    def block(palette: Mapping[str, str], ground: str) -> str:
        names = "".join(f"--{name}:{value};" for name, value in palette.items())
        return f":root{{{names}--ground:{ground}}}"

    return block(PALETTE, "#f3f5f7") + f"@media (prefers-color-scheme: dark){{{block(_DARK, '#0e1318')}}}"


def tiles(pairs: Iterable[tuple[str, str]]) -> str:
    """Tiles with a number and its label; "" if there are none."""
    cells = "".join(f'<div class="tile"><b>{text(value)}</b><span>{text(what)}</span></div>' for value, what in pairs)
    return f'<div class="tiles">{cells}</div>' if cells else ""


def facts(title: str, items: Mapping[str, str], wide: bool = False) -> str:
    """A section of names and values; "" if there are none."""
    if not items:
        return ""
    if wide:
        cells = "".join(f"<div><span>{text(key)}</span><i>{text(value)}</i></div>" for key, value in items.items())
        return f'<section><h2>{title}</h2><div class="wide">{cells}</div></section>'
    rows = "".join(f"<tr><td>{text(key)}</td><td>{text(value)}</td></tr>" for key, value in items.items())
    return f'<section><h2>{title}</h2><table class="facts">{rows}</table></section>'


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table of text, numbers in all columns but the first."""

    def cells(tag: str, values: Iterable[str]) -> str:
        return "".join(
            f"<{tag}{' class=number' if place else ''}>{text(value)}</{tag}>" for place, value in enumerate(values)
        )

    inside = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f"<div class=scroll><table><tr>{cells('th', head)}</tr>{inside}</table></div>"


def section(title: str, note: str, inside: str) -> str:
    """A section with a title and a line about it."""
    return f'<section><h2>{title}</h2><p class="note">{text(note)}</p>{inside}</section>'


def plain(name: str) -> str:
    """A name in words."""
    return name.replace("_", " ")


def text(value: str) -> str:
    """Text, cleaned and escaped."""
    return html.escape(clean(str(value), lines=True), quote=True)
