"""``python -m scripts embed``."""

from __future__ import annotations

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
    from .stages import run_overridden

    run_overridden("embed", dataset_dir, bundle_root, overlay, overrides)
