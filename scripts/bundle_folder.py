"""The bundle's folder, and in it configs/common.yaml, which stages share, and perhaps models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from .errors import SemclError

COMMON = Path("configs", "common.yaml")


def bundle_folder() -> Path:
    """Return the folder of this package's bundle: inside the package where installed, above it in a zoo release, else
    beside it in a checkout.

    Raises:
        SemclError: when it is in none of these places.
    """
    package = Path(__file__).absolute().parent
    places = [package / "bundle", package.parent, package.parent / "bundle"]
    for place in places:
        if (place / COMMON).is_file():
            return place
    raise SemclError(
        "the bundle's configs are missing",
        found=f"no {COMMON} in {', '.join(map(str, places))}",
        expected="the configs the package is installed with",
        remedy="install the package again",
    )


def bundle_root() -> str:
    """Return ``bundle_folder`` as text, for configs."""
    return str(bundle_folder())


def models_dir(output_dir: str, bundle_root: str) -> str:
    """Return the folder of the models to segment with: those trained into ``output_dir``, else the bundle's own."""
    trained, own = Path(output_dir) / "models", Path(bundle_root) / "models"
    return str(own if not trained.is_dir() and (own / "labels.yaml").is_file() else trained)


def load_common(bundle_root: str | Path) -> dict[str, Any]:
    """Return the content of ``bundle_root``/configs/common.yaml.

    Raises:
        SemclError: when there is no such file.
    """
    path = Path(bundle_root) / COMMON
    if not path.is_file():
        raise SemclError(
            "the bundle's common numbers are missing",
            found=f"no {path}",
            expected="the bundle's folder",
            remedy="leave out --bundle_root, or point it at the folder that holds configs/",
        )
    content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return content
