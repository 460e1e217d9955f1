# SPDX-License-Identifier: MIT
"""Reads a produced page and says which of its plots lack what every plot must have."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "link", "br", "img", "input", "hr"}
WORDS_LEAST = 4


@dataclass
class Node:
    """An element with its children and the text directly in it."""

    tag: str
    attributes: dict[str, str]
    parent: Node | None = None
    children: list[Node] = field(default_factory=list)
    words: str = ""

    def all(self, tag: str) -> list[Node]:
        """Every element of a kind inside."""
        found = [child for child in self.children if child.tag == tag]
        for child in self.children:
            found += child.all(tag)
        return found

    def text(self) -> str:
        return " ".join([self.words, *(child.text() for child in self.children)]).strip()

    def above(self, css_class: str) -> Node | None:
        """The nearest element around this one that has a class."""
        at = self.parent
        while at is not None and css_class not in at.attributes.get("class", "").split():
            at = at.parent
        return at


class Tree(HTMLParser):
    """A page as a tree."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.root = Node("", {})
        self.at = self.root
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        node = Node(tag, {name: value or "" for name, value in attrs}, self.at)
        self.at.children.append(node)
        if tag not in VOID:
            self.at = node

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.at.tag == tag and self.at.parent is not None
        self.at = self.at.parent

    def handle_data(self, data: str) -> None:
        self.at.words += data


def plots_of(page: str) -> list[Node]:
    """Every drawing that is not mere ornament."""
    return [
        svg for svg in Tree(page).root.all("svg") if svg.attributes.get("aria-hidden") != "true"
    ]


def lacking(page: str) -> list[str]:
    """What plots lack, a line each: a title and a finding for who cannot see them, the finding as a
    caption for who can, a table of their numbers beside them."""
    found = []
    for svg in plots_of(page):
        name = svg.attributes.get("aria-labelledby", "").split()
        about = {node.attributes.get("id"): node.text() for node in svg.children}
        called = name[0] if name else "a plot"
        if svg.attributes.get("role") != "img" or len(name) != 2:
            found.append(f"{called}: no role and label")
            continue
        title, finding = (about.get(part, "") for part in name)
        if not title:
            found.append(f"{called}: no title")
        if len(finding.split()) < WORDS_LEAST:
            found.append(f"{called}: no finding in its text alternative")
        plot = svg.above("plot")
        captions = [] if plot is None else plot.all("figcaption")
        if [caption.text() for caption in captions] != [finding]:
            found.append(f"{called}: its caption is not its finding")
        bodies = [] if plot is None else plot.all("tbody")
        if not any(row.all("td") for body in bodies for row in body.all("tr")):
            found.append(f"{called}: no table beside it")
    return found
