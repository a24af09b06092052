"""The pages of docs/ at /docs, as HTML, with their pictures and the sample programs."""

import re
from collections.abc import Iterator
from functools import cache
from html import escape
from pathlib import Path

from flask import Flask, Response, send_from_directory
from markdown_it import MarkdownIt
from markdown_it.token import Token
from werkzeug.exceptions import NotFound

from voucherpool.config.settings import beside
from voucherpool.http.authentication import open_to_all

folder = beside("docs")
client = "voucherpool_client.py"
policy = "default-src 'none'; style-src 'self'; img-src 'self'; frame-ancestors 'none'"
frame = """<!DOCTYPE html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>{title} · voucherpool</title>
    <link rel="icon" href="assets/icon.svg">
    <link rel="stylesheet" href="assets/page.css">
  </head>
  <body>
    <article>
      <p><a href="../docs">All routes</a></p>
{content}
    </article>
  </body>
</html>
"""
markdown = MarkdownIt("commonmark", {"html": False}).enable("table")


def init_app(app: Flask) -> None:
    """Serve the pages."""
    shown = {path.name for path in folder.glob("*.*")}

    @app.get("/docs/<string:name>")
    @open_to_all
    def docs_page(name: str) -> Response:
        """Serve a page, or a picture of one."""
        if name not in shown:
            raise NotFound
        if not name.endswith(".md"):
            return send_from_directory(folder, name)
        headers = {"Content-Security-Policy": policy}
        return Response(html_of(folder / name), headers=headers, mimetype="text/html")

    @app.get("/docs/examples/<string:name>")
    @open_to_all
    def docs_example(name: str) -> Response:
        """Serve a sample program, to read, or the client that it uses."""
        within = beside("client") if name == client else folder / "examples"
        return send_from_directory(within, name, mimetype="text/plain")


@cache
def html_of(page: Path) -> str:
    """Return a page as HTML."""
    tokens = markdown.parse(page.read_text())
    titles = [_with_anchor(token, tokens[place + 1]) for place, token in _headings(tokens)]
    for token in tokens:
        token.children = [*_within(token.children or ())]
    content = markdown.renderer.render(tokens, markdown.options, {})
    return frame.format(title=escape(titles[0]), content=content)


def _headings(tokens: list[Token]) -> Iterator[tuple[int, Token]]:
    return ((place, token) for place, token in enumerate(tokens) if token.type == "heading_open")


def _with_anchor(heading: Token, text: Token) -> str:
    """Give a heading the anchor by which links name it, as GitHub does; return its text."""
    words = re.sub(r"[^\w\- ]", "", text.content.lower())
    heading.attrSet("id", words.replace(" ", "-"))
    return text.content


def _within(tokens: "list[Token] | tuple[()]") -> Iterator[Token]:
    """Yield the tokens without links to what is not below docs/."""
    is_outside = False
    for token in tokens:
        if token.type == "link_open":
            is_outside = str(token.attrGet("href")).startswith("..")
        if not (is_outside and token.type in ("link_open", "link_close")):
            yield token
