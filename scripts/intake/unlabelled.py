"""Scans that are given to be learnt from without a label map, joined to those of a layout."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from .findings import Finding
from .layouts import find_layout
from .layouts.scan import Found, Scan


def with_unlabelled(found: Found, folder: Path) -> Found:
    """The scans of a layout and those of a folder whose label maps, if it has any, are left alone.

    The folder may hold scans that were found already: those without a label map are then wanted without one, and a note
    instead of an error.

    Args:
        found: by a layout.
        folder: of scans, in any layout.

    Raises:
        SemclError: when the folder is missing or holds no scans.
    """
    scans, findings = list(found[0]), list(found[1])
    _, (more, problems) = find_layout(folder, None)
    known = {scan.image.resolve(): number for number, scan in enumerate(scans)}
    ids = {scan.case: scan for scan in scans}
    noted = set[str]()
    for scan in more:
        number = known.get(scan.image.resolve())
        if number is None and scan.case in ids:
            there = ids[scan.case].image
            findings.append(Finding(scan.case, "two_files", f"{there} and {scan.image}", (there, scan.image)))
        elif number is None:
            scans.append(Scan(scan.case, scan.image, row=scan.row, unlabelled=True))
        elif not scans[number].labelled:
            scans[number] = replace(scans[number], unlabelled=True)
            noted.add(scans[number].case)
    findings = [_noted(item) if item.case in noted else item for item in findings if not _is_about(item, folder)]
    new = [item for item in problems if item.name != "image_without_label" and item not in findings]
    return scans, findings + new


def _is_about(finding: Finding, folder: Path) -> bool:
    """Whether a finding is that this very folder, or one in it, is not read."""
    about = [Path(part).resolve() for part in finding.about[:1]]
    return finding.name == "not_read" and any(part.is_relative_to(folder.resolve()) for part in about)


def _noted(finding: Finding) -> Finding:
    if finding.name != "image_without_label":
        return finding
    return Finding(finding.case, "learnt_without_label", finding.found, finding.about)
