"""SVG from a file made fit to stand in a page: shapes and text, and nothing that acts or is fetched."""

from __future__ import annotations

import re
from xml.etree import ElementTree

SVG, LINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
SHAPES = (
    "svg",
    "g",
    "defs",
    "path",
    "use",
    "rect",
    "circle",
    "line",
    "polyline",
    "polygon",
    "clipPath",
    "text",
    "tspan",
)
KEPT = {f"{{{SVG}}}{name}" for name in (*SHAPES, "image", "style")}
DROPPED = {f"{{{SVG}}}{name}" for name in ("metadata", "title", "desc")}
OUTSIDE = re.compile(r"url\((?!\s*['\"]?#)|@import|expression|javascript:", re.IGNORECASE)


def safe_svg(text: str) -> str:
    """The drawing, written anew from what is known to be harmless.

    Raises:
        ValueError: for what is no SVG, or holds anything else: scripts, handlers, links, foreign content.
    """
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise ValueError(f"no SVG: {error}") from error
    if root.tag != f"{{{SVG}}}svg":
        raise ValueError(f"no SVG, but {root.tag}")
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in DROPPED:
                parent.remove(child)
    for element in root.iter():
        _check(element)
    ElementTree.register_namespace("", SVG)
    ElementTree.register_namespace("xlink", LINK)
    return ElementTree.tostring(root, encoding="unicode")


def _check(element: ElementTree.Element) -> None:
    if element.tag not in KEPT:
        raise ValueError(f"SVG with {element.tag}")
    for name, value in element.attrib.items():
        plain = name.rpartition("}")[2].lower()
        linked = plain in ("href", "src") and not value.startswith(("#", "data:image/png;base64,"))
        if plain.startswith("on") or linked or OUTSIDE.search(value):
            raise ValueError(f"SVG with {plain}={value[:40]!r}")
    if OUTSIDE.search(element.text or "") and element.tag.endswith("}style"):
        raise ValueError("SVG with a style that fetches something")
