"""Checks of one scan: its headers, then its voxels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from ..cohort.header import Header
from ..cohort.label_table import LabelTable
from ..cohort.volume_errors import kind_of
from .findings import Finding
from .header_checks import compare, identifying, open_header, plain
from .layouts.scan import Scan
from .organ_masks import masks_of, merge
from .voxels import Seen, inspect_image, inspect_label, inspect_objects

SHOWN_MASKS = 5  # names of masks in a finding


@dataclass(frozen=True)
class Opened:
    """A scan whose headers were read.

    Args:
        scan: its files.
        image: header of the image; None when no stage could read it.
        fits: whether there is a label map on the image's voxels, or one whose image could not be read.
        findings: of the headers.
    """

    scan: Scan
    image: Header | None
    fits: bool
    findings: list[Finding] = field(default_factory=list)

    @property
    def tags(self) -> dict[str, str]:
        """DICOM tags of the series that is read; none for other formats."""
        return self.image.series[0].tags if self.image and self.image.series else {}


def open_scan(scan: Scan, table: LabelTable | None, most: int | None = None) -> Opened:
    """Read the headers of a scan's files and compare them; ``most`` as in ``open_header``."""
    image, findings = open_header(scan.image, scan.case, "image", most)
    files = [scan.label] if scan.label else list((masks_of(scan.masks, table) if table else dict(scan.masks)).values())
    fits = bool(files)
    if scan.masks and not files:
        found = (
            f"no mask of an organ of the label table among {', '.join(name for name, _ in scan.masks[:SHOWN_MASKS])}"
        )
        findings.append(Finding(scan.case, "label_empty", found))
    known = set()
    for path in files:
        label, more = open_header(path, scan.case, "label map", most)
        apart = compare(image, label, scan.case, path) if image and label else None
        for item in [*more, *([apart] if apart else [])]:
            if item.name not in known:  # once, for all mask files of the scan
                findings.append(item)
            known.add(item.name)
        fits = fits and label is not None and apart is None
    return Opened(scan, image, fits, findings)


def annotated_organs(scan: Scan, table: LabelTable | None) -> tuple[str, ...] | None:
    """The organs that were annotated in a scan, in the table's order; None when all were."""
    if table is None or not scan.labelled:
        return None
    stated = scan.row.annotated if scan.row else None
    there = masks_of(scan.masks, table) if scan.masks and not scan.label else None
    organs = tuple(
        name for name in table.names if (stated is None or name in stated) and (there is None or name in there)
    )
    return None if organs == table.names else organs


def check_voxels(opened: Opened, table: LabelTable | None, modality: str) -> Seen:
    """Check the voxels of a scan whose headers could be read."""
    scan, image = opened.scan, opened.image
    seen = inspect_image(scan.image, scan.case, modality) if image else Seen()
    organs = annotated_organs(scan, table)
    label = Seen()
    if opened.fits and scan.label:
        label = inspect_label(scan.label, scan.case, table, organs)
    elif opened.fits and image and table:
        label = _check_masks(scan, image, table, organs)
    return replace(seen, findings=seen.findings + label.findings, sizes=label.sizes, values=label.values)


def _check_masks(scan: Scan, image: Header, table: LabelTable, organs: Sequence[str] | None) -> Seen:
    try:
        merged = merge(masks_of(scan.masks, table), table)
    except Exception as error:  # readers raise whatever they like
        folder = scan.masks[0][1].parent
        return Seen(
            [Finding(scan.case, kind_of(error), f"a mask in {folder}: {plain(error, folder)}", identifying(folder))]
        )
    if merged.odd:
        return Seen(
            [
                Finding(scan.case, "mask_not_binary", f"{values} in {path}", identifying(path))
                for path, values in merged.odd.items()
            ]
        )
    if not merged.objects.any():
        return Seen([Finding(scan.case, "label_empty", "masks that are 0 everywhere")])
    seen = inspect_objects(merged.objects, image.canonical().affine, scan.case, table, organs)
    if merged.overlap:
        seen.findings.append(Finding(scan.case, "masks_overlap", f"{merged.overlap} voxels of several organs"))
    return seen
