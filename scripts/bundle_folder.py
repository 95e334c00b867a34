"""Where the bundle lies, and the numbers several stages share: its configs/common.yaml."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from .errors import SemclError


def bundle_root() -> str:
    """The bundle's folder: that of this package, or ``bundle`` beside it; "." where neither has configs."""
    beside = Path(__file__).absolute().parent.parent
    found = (folder for folder in (beside, beside / "bundle") if (folder / "configs" / "common.yaml").is_file())
    return str(next(found, "."))


def models_dir(output_dir: str, bundle_root: str) -> str:
    """Where the models to segment with lie: those trained into ``output_dir``, else those the bundle came with."""
    trained, own = Path(output_dir) / "models", Path(bundle_root) / "models"
    return str(own if not trained.is_dir() and (own / "labels.yaml").is_file() else trained)


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
            remedy="pass the folder that holds configs/ and scripts/ as --bundle_root",
        )
    numbers: dict[str, Any] = yaml.safe_load(path.read_text())
    return numbers
