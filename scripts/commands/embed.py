"""``python -m scripts embed``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import SemclError
from .options import checked


@checked
def embed(dataset_dir: str, bundle_root: str = "bundle", overlay: str | None = None, **overrides: Any) -> None:
    """Embed queries before and after pretraining: maps, neighbours of other patients, collapse (embed.yaml).

    Args:
        dataset_dir: the cohort, after pretraining.
        bundle_root: folder of the bundle.
        overlay: the config file of your own numbers, the one given to pretraining too.
        overrides: any key of embed.yaml, such as --organ liver --case case001.
    """
    from monai.bundle import run

    from ..job.overlays import as_meant
    from ..study.strategy import read_overlay

    config = Path(bundle_root) / "configs" / "embed.yaml"
    if not config.is_file():
        raise SemclError(
            "the bundle is missing", found=f"no {config}", expected="the bundle's folder", remedy="set --bundle_root"
        )
    if overlay:
        read_overlay(Path(overlay))
    given = {key: as_meant(key, value, read_overlay(config)) for key, value in overrides.items()}
    run(
        config_file=[str(config), *([overlay] if overlay else [])],
        bundle_root=bundle_root,
        dataset_dir=dataset_dir,
        **given,
    )
