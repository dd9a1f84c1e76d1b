"""Reports as one page that needs nothing beside it: frame, pictures and tables."""

import base64
from collections.abc import Sequence
from html import escape
from importlib import resources


def document(title: str, body: Sequence[str]) -> str:
    """A whole page; the style is inside.

    Args:
        title: of the window, as plain text.
        body: parts, as HTML.
    """
    style = resources.files(__package__).joinpath("web_page.css").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
        f"<style>{style}</style></head><body><main>{''.join(body)}</main></body></html>\n"
    )


def section(title: str, *parts: str) -> str:
    """A part of the page with a heading; parts as HTML."""
    return f"<section><h2>{escape(title)}</h2>{''.join(parts)}</section>"


def image(png: bytes, text: str, *, whole: bool = False) -> str:
    """A picture, and what it shows for those who can't see it.

    Args:
        png: of the picture.
        text: what it shows.
        whole: whether it may be as high as it is, among pictures of one height.
    """
    data = base64.b64encode(png).decode("ascii")
    kind = ' class="whole"' if whole else ""
    return f'<img{kind} alt="{escape(text)}" src="data:image/png;base64,{data}">'


def figure(png: bytes, caption: str) -> str:
    """A picture with a line below it."""
    return f"<figure>{image(png, caption)}<figcaption>{escape(caption)}</figcaption></figure>"


def table(heads: Sequence[str], rows: Sequence[str]) -> str:
    """A table; rows as HTML."""
    names = "".join(f"<th>{escape(head)}</th>" for head in heads)
    return (
        f'<div class="wide"><table><thead><tr>{names}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def row(first: str, meaning: str, cells: Sequence[str]) -> str:
    """A row: a name with its meaning below, a value, and more; plain text."""
    value, *rest = map(escape, cells)
    below = f"<small>{escape(meaning)}</small>" if meaning else ""
    return (
        f"<tr><td>{escape(first)}{below}</td>"
        f'<td class="value">{value}</td>{"".join(f"<td>{cell}</td>" for cell in rest)}</tr>'
    )


def facts(pairs: Sequence[tuple[str, str]]) -> str:
    """Names with what they are, one below the other; plain text."""
    lines = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in pairs)
    return f'<dl class="facts-list">{lines}</dl>'
