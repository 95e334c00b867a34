"""Optional dependencies: the extras of setup.cfg."""

from __future__ import annotations

from importlib.util import find_spec

from .errors import SemclError


def require(extra: str, *modules: str) -> None:
    """Check that the packages of an extra are installed, without importing them.

    Raises:
        SemclError: naming those that are missing, and the extra.
    """
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        raise SemclError(
            f"the extra `{extra}` is not installed",
            found=f"no {', '.join(missing)}",
            expected=", ".join(modules),
            remedy=f"pip install 'semcl[{extra}]'",
        )
