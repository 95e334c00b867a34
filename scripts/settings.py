"""Numbers several stages share: bundle/configs/common.yaml."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from .errors import SemclError


def load_common(bundle_root: str) -> dict[str, Any]:
    """The content of ``bundle_root``/configs/common.yaml.

    Raises:
        SemclError: when it is not there.
    """
    path = Path(bundle_root) / "configs" / "common.yaml"
    if not path.is_file():
        raise SemclError(
            "the bundle's common numbers are missing",
            found=f"no {path}",
            expected="the bundle's folder as bundle_root",
            remedy="run from the repository's root or the bundle's, or pass --bundle_root",
        )
    numbers: dict[str, Any] = yaml.safe_load(path.read_text())
    return numbers
