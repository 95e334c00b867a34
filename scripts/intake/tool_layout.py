"""Where the label map of a case lies in a folder of another tool's maps."""

from __future__ import annotations

from pathlib import Path

from ..cohort.volume_files import case_id

MASK_FOLDERS = ("", "segmentations")  # folders of a case in which masks lie


def map_of(folder: Path, case: str) -> Path | None:
    """The label map of a case, or its folder of masks, one file an organ; None without one."""
    files = [path for path in sorted(folder.glob("*")) if path.is_file() and case_id(path) == case]
    if files:
        return files[0]
    for name in reversed(MASK_FOLDERS):
        inner = folder / case / name
        if inner.is_dir() and masks_in(inner):
            return inner
    return None


def masks_in(folder: Path) -> dict[str, Path]:
    """The masks in a folder by their names; empty for a file."""
    found = sorted(folder.iterdir()) if folder.is_dir() else []
    return {str(case_id(path)): path for path in found if case_id(path)}
