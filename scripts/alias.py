"""The name `scripts`, by which configs know this package, where it is installed under another name."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, spec_from_loader
from types import ModuleType

from .errors import SemclError

_PACKAGE = __name__.rpartition(".")[0]
_IN_CONFIGS = "scripts"


class _SameModules(MetaPathFinder, Loader):
    """Finds `scripts` and `scripts.x` as the modules of this package: copies would have classes of their own."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] != _IN_CONFIGS or find_spec(self._own(fullname)) is None:
            return None
        return spec_from_loader(fullname, self)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        found = import_module(self._own(spec.name))
        spec.loader_state = found.__spec__
        return found

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = module.__spec__.loader_state if module.__spec__ else None  # its own again

    def _own(self, fullname: str) -> str:
        return _PACKAGE + fullname.removeprefix(_IN_CONFIGS)


def provide_scripts() -> None:
    """Let configs import this package as `scripts`; without effect where it can be, as in a clone.

    Raises:
        SemclError: when another package of that name was imported before.
    """
    known = sys.modules.get(_IN_CONFIGS)
    if known is None and _PACKAGE != _IN_CONFIGS:
        sys.meta_path.insert(0, _SameModules())
    elif known is not None and not hasattr(known, "components"):
        raise SemclError(
            "another package named scripts is in the way",
            found=str(getattr(known, "__file__", None) or list(known.__path__)),
            expected=f"{_PACKAGE}, which the bundle's configs know by that name",
            remedy="rename that package, or import it in another process",
        )
