"""The bundle's folder, and in it configs/common.yaml, which stages share, and perhaps models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .errors import SemclError

SUFFIXES = (".yaml", ".json")  # of configs: a checkout has YAML, with comments, a release JSON, as MONAI reads it
NO_CONFIGS = ("metadata", "properties")  # among them
STAGES_FOLDER = "stages"  # of models/ in a release: weights of earlier stages


def bundle_folder() -> Path:
    """Return the folder of this package's bundle: inside the package where installed, above it in a zoo release, else
    beside it in a checkout.

    Raises:
        SemclError: when it is in none of these places.
    """
    package = Path(__file__).absolute().parent
    places = [package / "bundle", package.parent, package.parent / "bundle"]
    for place in places:
        if "common" in configs(place):
            return place
    raise SemclError(
        "the bundle's configs are missing",
        found=f"no configs/common.yaml in {', '.join(map(str, places))}",
        expected="the configs the package is installed with",
        remedy="install the package again",
    )


def configs(bundle_root: str | Path) -> dict[str, Path]:
    """Return the config files of a bundle by their names without suffix."""
    files = [path for path in sorted(Path(bundle_root, "configs").glob("*")) if path.suffix in SUFFIXES]
    return {path.stem: path for path in files if path.stem not in NO_CONFIGS}


def is_release(bundle_root: str | Path) -> bool:
    """Whether a bundle is a release, whose configs are JSON."""
    return Path(bundle_root, "configs", "common.json").is_file()


def stage_weights(ckpt_dir: str, name: str) -> str:
    """Return the path of weights in a folder of models, or in its folder for those of earlier stages.

    A release has that folder: programs offer every file beside model.pt as another model.
    """
    kept = Path(ckpt_dir, STAGES_FOLDER, name)
    return str(kept if kept.is_file() else Path(ckpt_dir, name))


def bundle_root() -> str:
    """Return ``bundle_folder`` as text, for configs."""
    return str(bundle_folder())


def models_dir(output_dir: str, bundle_root: str) -> str:
    """Return the folder of the models to segment with: those trained into ``output_dir``, else the bundle's own."""
    trained, own = Path(output_dir) / "models", Path(bundle_root) / "models"
    return str(own if not trained.is_dir() and (own / "labels.yaml").is_file() else trained)


def load_common(bundle_root: str | Path) -> dict[str, Any]:
    """Return the content of the common config of a bundle.

    Raises:
        SemclError: when there is no such file.
    """
    path = configs(bundle_root).get("common")
    if path is None:
        raise SemclError(
            "the bundle's common numbers are missing",
            found=f"no {Path(bundle_root, 'configs', 'common.yaml')}",
            expected="the bundle's folder",
            remedy="leave out --bundle_root, or point it at the folder that holds configs/",
        )
    from monai.bundle import ConfigParser  # slow to import

    return ConfigParser.load_config_file(path)
