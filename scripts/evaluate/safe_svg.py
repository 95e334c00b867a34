"""SVG files made safe to embed in a page: shapes and text, nothing that runs scripts or fetches anything."""

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
    """The SVG, rewritten from elements that are known to be harmless.

    Raises:
        ValueError: for text that is not SVG, or SVG with anything else: scripts, handlers, links, foreign content.
    """
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise ValueError(f"not SVG: {error}") from error
    if root.tag != f"{{{SVG}}}svg":
        raise ValueError(f"not SVG but {root.tag}")
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
    for qualified, value in element.attrib.items():
        name = qualified.rpartition("}")[2].lower()
        linked = name in ("href", "src") and not value.startswith(("#", "data:image/png;base64,"))
        if name.startswith("on") or linked or OUTSIDE.search(value):
            raise ValueError(f"SVG with {name}={value[:40]!r}")
    if OUTSIDE.search(element.text or "") and element.tag.endswith("}style"):
        raise ValueError("SVG with a style that fetches something")
