"""The rooms of scripts/ import downwards only, file by file and without circles."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

SCRIPTS = Path(__file__).parents[1] / "scripts"
ROOMS = (
    "",  # the modules that lie in scripts/ itself: what everything stands on
    "cohort",
    "intake",
    "phantom",
    "job",
    "queries",
    "networks",
    "coarse",
    "contrast",
    "refine",
    "evaluate",
    "embeddings",
    "study",
    "auto3dseg",
)
ENTRANCES = {"__init__", "__main__"}  # they name everything, and nothing of the package imports them


def modules() -> dict[str, Path]:
    """Dotted name below scripts/ -> file, but for the template that Auto3DSeg copies."""
    files = [path for path in SCRIPTS.rglob("*.py") if "template" not in path.parts]
    return {".".join(path.relative_to(SCRIPTS).with_suffix("").parts): path for path in files}


def room(module: str) -> str:
    """The room of a module, "" for one of scripts/ itself."""
    return module.split(".", maxsplit=1)[0] if "." in module else ""


def imported(module: str, path: Path, known: set[str]) -> Iterator[str]:
    """The modules of the package that a module imports, in functions too."""
    package = module.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1] + (node.module.split(".") if node.module else [])
            for name in node.names:
                options = [".".join([*base, name.name]), ".".join(base), ".".join([*base, "__init__"])]
                yield next(option for option in options if option in known)


def arrows() -> dict[str, set[str]]:
    """Module -> modules it imports, without the entrances."""
    files = modules()
    return {name: set(imported(name, path, set(files))) for name, path in files.items() if name not in ENTRANCES}


def test_every_room_is_listed():
    assert {room(name) for name in modules()} == set(ROOMS)


def test_rooms_import_downwards_only():
    back = [
        f"{name} imports {other}"
        for name, others in arrows().items()
        for other in others
        if ROOMS.index(room(other)) > ROOMS.index(room(name)) or other in ENTRANCES
    ]
    assert not back


def test_no_module_imports_itself_through_others():
    order = TopologicalSorter(arrows()).static_order()  # raises CycleError, which names the circle
    assert "errors" in set(order)
