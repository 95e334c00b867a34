"""Names of a module that are imported on first use."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

_PACKAGE = __name__.rpartition(".")[0]


def imported_on_demand(module: str, table: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return the ``__getattr__`` and ``__dir__`` of a module whose names are imported from others.

    Args:
        module: the module's ``__name__``.
        table: name -> module of this package that defines it, "module:other" where its name there is another.
    """

    def import_name(name: str) -> Any:
        if name not in table:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        source, _, own = table[name].partition(":")
        found = getattr(import_module(f"{_PACKAGE}.{source}"), own or name)
        setattr(sys.modules[module], name, found)
        return found

    return import_name, lambda: sorted({*vars(sys.modules[module]), *table})
