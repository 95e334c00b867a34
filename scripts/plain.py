"""Text, YAML and JSON from outside, read as plain data: of a known encoding, bounded in size and depth."""

from __future__ import annotations

import codecs
import json
from pathlib import Path
from typing import Any

import yaml

from .errors import SemclError

MIB = 1 << 20
YAML_BYTES = MIB // 4  # a label table of thousands of organs
LARGE_BYTES = 256 * MIB  # a datalist or table of a million cases
DEPTH = 50
NODES = 100_000  # of YAML once its aliases are written out
YAML_TAGS = ("str", "int", "float", "bool", "null", "map", "seq", "merge")
MARKS = {  # at the start of a file, longer ones first
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
NO_TEXT = "text in UTF-8"
AS_UTF8 = "save it as UTF-8 (in Excel: CSV UTF-8)"


class PlainLoader(yaml.SafeLoader):
    """YAML of text, numbers, true and false, lists and mappings alone; dates stay text, and no key comes twice."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """A mapping as it is written; an error where a key is given twice."""
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value!r} is there twice", key.start_mark)
            seen.add(str(key.value))
        return node


PlainLoader.yaml_constructors = {
    tag: make
    for tag, make in yaml.SafeLoader.yaml_constructors.items()
    if tag is None or tag.rpartition(":")[2] in YAML_TAGS
}
PlainLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in known if tag.rpartition(":")[2] in YAML_TAGS]
    for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read_text(path: Path, most: int = YAML_BYTES) -> str:
    """Return the text of a file in UTF-8, with or without a byte order mark.

    Args:
        path: of the file.
        most: bytes it may have.

    Raises:
        SemclError: when there is no such file, it is too large, or it has another encoding, which is named.
    """
    if not path.is_file():
        raise SemclError("there is no such file", found=f"no file {path}", expected="a file", remedy="check the path")
    size = path.stat().st_size
    if size > most:
        raise SemclError(
            f"{path} is too large", found=f"{size} bytes", expected=f"at most {most}", remedy="check what it is"
        )
    content = path.read_bytes()
    wrong = _encoding(content)
    if wrong is not None:
        raise SemclError(f"{path} is not {NO_TEXT}", found=wrong, expected=NO_TEXT, remedy=AS_UTF8)
    return content.removeprefix(codecs.BOM_UTF8).decode()  # utf-8-sig lies in a file, which may be out of reach by now


def _encoding(content: bytes) -> str | None:
    """Return what a file seems to be instead of UTF-8; None if it is UTF-8."""
    for mark, name in MARKS.items():
        if content.startswith(mark):
            return name
    if b"\0" in content:
        wide = len(content) % 2 == 0 and content[:200].count(b"\0") >= len(content[:200]) // 3
        return "UTF-16 without a mark" if wide else f"a NUL byte in line {_line(content, content.index(0))}"
    try:
        content.decode()
    except UnicodeDecodeError as error:
        byte = content[error.start]
        return f"byte 0x{byte:02x} in line {_line(content, error.start)}, as in Latin-1 or Windows-1252"
    return None


def _line(content: bytes, position: int) -> int:
    return content.count(b"\n", 0, position) + 1


def read_yaml(path: Path, expected: str) -> Any:
    """Return the plain data of a YAML file.

    Args:
        path: of the file.
        expected: what it should hold, for errors.

    Raises:
        SemclError: when it cannot be read or is not YAML, or its nesting or aliases are too many to be meant.
    """
    return parse_yaml(read_text(path), str(path), expected)


def parse_yaml(text: str, source: str, expected: str) -> Any:
    """Return the plain data of YAML; ``source`` names it in errors of ``read_yaml``."""
    try:
        wrong = _size(text)
        if wrong is None:
            return yaml.load(text, PlainLoader)
    except (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError) as error:  # as its constructors raise
        wrong = short(" ".join(str(error).split()) or type(error).__name__)
    raise SemclError(f"{source} is not YAML", found=wrong, expected=expected, remedy=f"edit {source}")


def _size(text: str) -> str | None:
    """Return what YAML has too much of once its aliases are expanded, without expanding them; None if nothing."""
    sizes: dict[str, int] = {}
    opened: list[tuple[str | None, int]] = []
    count = 0
    for event in yaml.parse(text, yaml.SafeLoader):
        if isinstance(event, yaml.CollectionEndEvent):
            anchor, before = opened.pop()
            if anchor is not None:
                sizes[anchor] = count - before
        elif isinstance(event, yaml.NodeEvent):
            if isinstance(event, yaml.AliasEvent):
                if any(anchor == event.anchor for anchor, _ in opened):
                    return f"*{event.anchor}, which holds itself"
                count += sizes.get(str(event.anchor), 1)
            else:
                count += 1
            if isinstance(event, yaml.CollectionStartEvent):
                opened.append((event.anchor, count - 1))
        if len(opened) > DEPTH:
            return f"more than {DEPTH} levels"
        if count > NODES:
            return f"more than {NODES} entries, aliases written out"
    return None


def read_json(path: Path, expected: str, problem: str | None = None, remedy: str | None = None) -> Any:
    """Return the content of a JSON file.

    Args:
        path: of the file.
        expected: what it should hold, for errors.
        problem: first line of an error, by default that it is not JSON.
        remedy: what to do about it, by default to edit the file.

    Raises:
        SemclError: when it cannot be read, or is not JSON.
    """
    text = read_text(path, LARGE_BYTES)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        found = f"{path}: {type(error).__name__} {short(str(error))}"
    raise SemclError(problem or f"{path} is not JSON", found=found, expected=expected, remedy=remedy or f"edit {path}")


def short(value: object, most: int = 300) -> str:
    """Return a value as text that fits into a message."""
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= most else f"{text[:most]} ..."
