"""``python -m scripts embed``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .options import checked


@checked
def embed(dataset_dir: str, bundle_root: str | None = None, overlay: str | None = None, **overrides: Any) -> None:
    """Embed queries before and after pretraining: maps, neighbours of other patients, collapse (embed.yaml).

    Args:
        dataset_dir: the cohort, after pretraining.
        bundle_root: folder of the bundle, by default that of this installation.
        overlay: your own numbers, a YAML file, or standard or faithful; by default the cohort's, kept by run.
        overrides: any key of embed.yaml, such as --organ liver --case case001.
    """
    from ..bundle_folder import bundle_folder
    from ..job.overlays import as_meant
    from ..study.strategy import read_overlay
    from .stages import overlay_of, run_config, stage_files

    root = Path(bundle_root) if bundle_root else bundle_folder()
    own = read_overlay(Path(stage_files(root, "embed", None)[0]))
    given = {key: as_meant(key, value, own) for key, value in overrides.items()}
    run_config(root, "embed", overlay_of(Path(dataset_dir), overlay, root), {"dataset_dir": dataset_dir, **given})
