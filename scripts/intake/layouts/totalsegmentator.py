"""TotalSegmentator's layout: a folder per subject that holds ct.nii.gz and one mask per organ in segmentations/."""

from __future__ import annotations

from pathlib import Path

from ...cohort.volume_files import case_id
from ..findings import Finding
from .scan import Found, Scan, refuse_label_maps

SCAN_NAMES = ("ct", "mr")
MASK_FOLDER = "segmentations"


def find(images: Path, label_maps: Path | None) -> Found | None:
    """The subjects' folders under ``images``; None when there are none.

    Raises:
        SemclError: for ``label_maps``.
    """
    found, findings = list[Scan](), list[Finding]()
    for folder in sorted(path for path in images.iterdir() if path.is_dir()) if images.is_dir() else []:
        scans = [path for path in sorted(folder.iterdir()) if case_id(path) in SCAN_NAMES]
        masks = sorted((folder / MASK_FOLDER).iterdir()) if (folder / MASK_FOLDER).is_dir() else []
        if scans:
            named = tuple((str(case_id(path)), path) for path in masks if case_id(path))
            found.append(Scan(folder.name, scans[0], None, named))
        elif any(case_id(path.with_name(path.name.lower())) for path in (*folder.iterdir(), *masks)):
            expected = f"a scan called {' or '.join(SCAN_NAMES)}, with a suffix in lower case"
            findings.append(Finding(folder.name, "not_read", str(folder), (folder,), expected=expected))
    if not found:
        return None
    if any(scan.masks for scan in found):
        findings += [
            Finding(scan.case, "image_without_label", f"only {scan.image}", (scan.image,))
            for scan in found
            if not scan.masks
        ]
    refuse_label_maps(label_maps, f"in {MASK_FOLDER}/ of each folder beside {found[0].image.name}")
    return found, findings
