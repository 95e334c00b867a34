"""``make docs``: the reference of the public names from their docstrings, into dist/docs.

Fails on public names without a docstring, on warnings of pdoc, and on broken links in the reference and in the Markdown
pages. Links to other sites are not followed.
"""

from __future__ import annotations

import importlib
import inspect
import re
import shutil
import sys
import warnings
from collections.abc import Iterator, Mapping
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote

import pdoc.doc
import pdoc.render

ROOT = Path(__file__).resolve().parent.parent
PUBLIC = ("semcl", "semcl.auto3dseg")
FOLDERS = (".", "docs", "docs/results", "bundle/docs", "bench")  # of Markdown pages
ELSEWHERE = re.compile(r"^(https?:|mailto:|data:)")


def undocumented(module: ModuleType) -> list[str]:
    """Public names of a module, and public methods and properties of its classes, without a docstring."""
    found = []
    for name in module.__all__:
        thing = getattr(module, name)
        parts = [(name, thing)] if callable(thing) else []
        if inspect.isclass(thing):
            own = [part for part in vars(thing) if not part.startswith("_")]
            parts += [(f"{name}.{part}", getattr(thing, part)) for part in own]
        for path, part in parts:
            needed = inspect.isclass(part) or inspect.isroutine(part) or isinstance(part, property)
            if needed and not inspect.getdoc(part):
                found.append(f"{module.__name__}.{path} has no docstring")
    return found


def write(folder: Path) -> list[str]:
    """Write a page per public module; return the warnings of pdoc."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        modules = {}
        for name in PUBLIC:
            module = importlib.import_module(name)
            for public in module.__all__:
                getattr(module, public)  # pdoc does not see names that are imported on first use
            modules[name] = pdoc.doc.Module(module)
        pdoc.render.configure(
            docformat="google", show_source=False, math=True, footer_text=f"semcl {modules['semcl'].obj.__version__}"
        )
        shutil.rmtree(folder, ignore_errors=True)
        for name, page in modules.items():
            path = folder / f"{name.replace('.', '/')}.html"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(pdoc.render.html_module(page, modules), encoding="utf-8")
        (folder / "index.html").write_text(pdoc.render.html_index(modules), encoding="utf-8")
    return [f"pdoc: {warning.message}" for warning in caught if issubclass(warning.category, UserWarning)]


class Links(HTMLParser):
    """The targets of a page's links, and the anchors in it that links can lead to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Record the links and the anchor of a tag."""
        given = dict(attrs)
        if given.get("id"):
            self.anchors.add(str(given["id"]))
        self.targets += [str(given[key]) for key in ("href", "src") if given.get(key)]


def html_links(folder: Path) -> list[str]:
    """The broken links of HTML pages."""
    pages = {path.resolve(): Links(path.read_text(encoding="utf-8")) for path in folder.rglob("*.html")}
    anchors = {path: page.anchors for path, page in pages.items()}
    return [problem for path, page in pages.items() for problem in broken(path, page.targets, anchors)]


def markdown_links(root: Path) -> list[str]:
    """The broken links of the Markdown pages."""
    files = [path for folder in FOLDERS for path in sorted((root / folder).glob("*.md"))]
    texts = {path.resolve(): re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.S) for path in files}
    anchors = {path: set(map(anchor, re.findall(r"^#+ (.*)$", text, re.M))) for path, text in texts.items()}
    found = {path: re.findall(r"\]\(([^)\s]+)\)", text) for path, text in texts.items()}
    return [problem for path, targets in found.items() for problem in broken(path, targets, anchors)]


def anchor(heading: str) -> str:
    """The anchor of a heading, as GitHub names it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def broken(page: Path, targets: list[str], anchors: Mapping[Path, set[str]]) -> Iterator[str]:
    """Links of a page to files or anchors that do not exist."""
    for target in targets:
        if ELSEWHERE.match(target):
            continue
        name, _, named = unquote(target).partition("#")
        path = (page.parent / name).resolve() if name else page
        if not path.exists():
            yield f"{page}: no {target}"
        elif named and path in anchors and named not in anchors[path]:
            yield f"{page}: no anchor {target}"


def main() -> None:
    """Write the reference and check the links of all pages."""
    folder = ROOT / "dist" / "docs"
    problems = [problem for name in PUBLIC for problem in undocumented(importlib.import_module(name))]
    problems += write(folder) + html_links(folder) + markdown_links(ROOT)
    print("\n".join(problems) or f"{folder.relative_to(ROOT)}/index.html", file=sys.stderr if problems else sys.stdout)
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
