"""The structure of scripts/ in numbers: ``python -m tools.structure``.

Rooms are the folders of scripts/; what lies in scripts/ itself is a room too. Imports in functions count as well.
``tests/test_structure.py`` holds today's tree to the limits.
"""

from __future__ import annotations

import ast
import io
import statistics
import tokenize
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import fire

ROOT = Path(__file__).parent.parent
PACKAGE = "scripts"
ROOMS = (  # each may import those before it
    "",  # modules of scripts/ itself: what everything stands on
    "cohort",
    "intake",
    "phantom",
    "job",
    "queries",
    "networks",
    "multiclass",
    "coarse",
    "contrast",
    "refine",
    "export",
    "evaluate",
    "embeddings",
    "audit",
    "study",
    "auto3dseg",
    "commands",
    "library",
)
ENTRANCES = {"__init__", "__main__"}  # they export everything, and no module of the package imports them


@dataclass(frozen=True)
class Module:
    """A module of the package: its dotted name below it, its text, and its syntax tree."""

    name: str
    text: str
    tree: ast.Module

    @property
    def room(self) -> str:
        """The folder it lies in, "" for the package's own."""
        return self.name.split(".")[0] if "." in self.name else ""


def modules(root: Path) -> dict[str, Module]:
    """The modules of a checkout's package by name, but for the template that Auto3DSeg copies."""
    found = {}
    for path in sorted((root / PACKAGE).rglob("*.py")):
        if "template" not in path.parts:
            name = ".".join(path.relative_to(root / PACKAGE).with_suffix("").parts)
            text = path.read_text(encoding="utf-8")
            found[name] = Module(name, text, ast.parse(text))
    return found


def arrows(known: Mapping[str, Module]) -> dict[str, set[str]]:
    """Module -> modules it imports, without the entrances."""
    return {name: set(_imported(module, known)) for name, module in known.items() if name not in ENTRANCES}


def _imported(module: Module, known: Mapping[str, Module]) -> Iterator[str]:
    package = module.name.split(".")[:-1]
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1] + (node.module.split(".") if node.module else [])
            for name in node.names:
                options = (".".join([*base, name.name]), ".".join(base), ".".join([*base, "__init__"]))
                yield next(option for option in options if option in known)


def backwards(known: Mapping[str, Module]) -> list[str]:
    """The imports that run against the order of ``ROOMS``, or of an entrance, as sentences."""
    order = {room: number for number, room in enumerate(ROOMS)}
    return [
        f"{name} imports {other}"
        for name, others in arrows(known).items()
        for other in sorted(others)
        if other in ENTRANCES or order[known[other].room] > order[known[name].room]
    ]


def mutual_rooms(known: Mapping[str, Module]) -> list[str]:
    """Pairs of rooms that import each other, whatever their order."""
    pairs = {
        (known[name].room, known[other].room)
        for name, others in arrows(known).items()
        for other in others
        if other not in ENTRANCES
    }
    return [
        f"{one or 'scripts'} and {other or 'scripts'}"
        for one, other in sorted(pairs)
        if one < other and (other, one) in pairs
    ]


def circle(known: Mapping[str, Module]) -> list[str]:
    """Modules that import each other in a circle; empty without one."""
    try:
        TopologicalSorter(arrows(known)).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


Function = ast.FunctionDef | ast.AsyncFunctionDef
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
NO_CODE = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}


def functions(module: Module) -> list[Function]:
    """All functions and methods of a module."""
    return [node for node in ast.walk(module.tree) if isinstance(node, FUNCTIONS)]


def length(function: Function) -> int:
    """Lines of a function without its docstring."""
    body = function.body[1:] if ast.get_docstring(function) and len(function.body) > 1 else function.body
    return (function.end_lineno or 0) - body[0].lineno + 1


def public_names(module: Module) -> list[str]:
    """The classes, functions and constants that a module defines for others."""
    found = []
    for node in module.tree.body:
        if isinstance(node, (ast.ClassDef, *FUNCTIONS)):
            found.append(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            parts = [part for target in targets for part in ast.walk(target)]
            found += [part.id for part in parts if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)]
    return [name for name in dict.fromkeys(found) if not name.startswith("_")]


def shared_names(known: Mapping[str, Module]) -> dict[str, list[str]]:
    """Public name -> the modules that define it, for names that several do."""
    owners: dict[str, list[str]] = {}
    for module in known.values():
        for name in public_names(module):
            owners.setdefault(name, []).append(module.name)
    return {name: modules for name, modules in owners.items() if len(modules) > 1}


def untested(root: Path, known: Mapping[str, Module], most: int = 40) -> list[str]:
    """Modules of more than ``most`` lines without tests/<room>/test_<module>.py."""
    long = [name for name, module in known.items() if module.text.count("\n") > most and name not in ENTRANCES]
    rooms = {name: name.split(".") for name in long}
    return [name for name, (*room, own) in rooms.items() if not Path(root, "tests", *room, f"test_{own}.py").is_file()]


def code_lines(module: Module) -> int:
    """Lines that hold code: no docstrings, comments, imports or blank lines."""
    documented = (ast.Module, ast.ClassDef, *FUNCTIONS)
    nodes = list(ast.walk(module.tree))
    left_out = [node.body[0] for node in nodes if isinstance(node, documented) and ast.get_docstring(node) is not None]
    left_out += [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]
    without = {line for node in left_out for line in range(node.lineno, (node.end_lineno or 0) + 1)}
    code: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(module.text).readline):
        if token.type not in NO_CODE:
            code.update(range(token.start[0], token.end[0] + 1))
    return len(code - without)


def annotated(function: Function) -> bool:
    """Whether all parameters but self and cls, and what is returned, have a type."""
    given = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    return function.returns is not None and all(one.annotation or one.arg in ("self", "cls") for one in given)


def undocumented(module: Module) -> list[str]:
    """Public classes, functions and methods without a docstring; methods that override have none of their own."""
    found = []
    owners: list[ast.Module | ast.ClassDef] = [module.tree]
    owners += [node for node in ast.walk(module.tree) if isinstance(node, ast.ClassDef)]
    for owner in owners:
        derived = isinstance(owner, ast.ClassDef) and bool(owner.bases)
        kinds = (ast.ClassDef,) if derived else (ast.ClassDef, *FUNCTIONS)
        named = [node for node in owner.body if isinstance(node, kinds)]
        found += [node.name for node in named if not node.name.startswith("_") and not ast.get_docstring(node)]
    return [f"{module.name}.{name}" for name in found]


def measure(root: Path) -> dict[str, object]:
    """The numbers of a checkout, in the order they are printed."""
    known = modules(root)
    every = [function for module in known.values() for function in functions(module)]
    lines = {name: module.text.count("\n") for name, module in known.items()}
    longest = max(lines, key=lambda name: lines[name])
    configs = [path.read_text(encoding="utf-8") for path in (root / "bundle" / "configs").rglob("*.yaml")]
    return {
        "rooms": len({module.room for module in known.values()}),
        "files": len(known),
        "lines of Python": sum(lines.values()),
        "lines of code in it": sum(map(code_lines, known.values())),
        "lines of YAML": sum(text.count("\n") for text in configs),
        "longest file": f"{lines[longest]} ({longest.replace('.', '/')}.py)",
        "files over 250 lines": sum(count > 250 for count in lines.values()),
        "functions": len(every),
        "lines of a function, median": statistics.median(map(length, every)),
        "lines of a function, most": max(map(length, every)),
        "annotated": f"{sum(map(annotated, every)) / len(every):.0%}",
        "public and undocumented": sum(len(undocumented(module)) for module in known.values()),
        "public names of several modules": len(shared_names(known)),
        "pairs of rooms that import each other": len(mutual_rooms(known)),
        "modules in a circle": len(set(circle(known))),
    }


def structure() -> None:
    """Print the numbers of this checkout."""
    for name, value in measure(ROOT).items():
        print(f"{name:<40}{value!s:>28}")


if __name__ == "__main__":
    fire.Fire(structure)
