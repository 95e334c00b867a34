"""The page of an audit: what is suspicious, beside what the same organ looks like in other patients."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from ..cohort.case import Case
from ..evaluate.figures import figure_text, png
from ..evaluate.report import template
from ..evaluate.slices import show_slice
from ..files import write_text
from ..version import __version__
from .examples import Examples
from .findings import WHOLE_SCAN, AuditFinding
from .judging import Judgement
from .measures import MEASURE_GROUPS, MEASURES
from .scan import MAP, AuditScan, ScanReader

LISTED = 500  # findings in the table
LIKE = [MEASURES.index(name) for group in ("size", "place") for name in MEASURE_GROUPS[group]]
PICTURE_SIDE = 1.6  # of a picture, times the object's longest extent
LEAST_SIDE = 60.0  # mm of a picture
SUSPECT, TRUE = "#c92a2a", "#2b8a3e"


def write_page(
    path: Path,
    judgement: Judgement,
    cases: Sequence[Case],
    reader: ScanReader,
    maps: Mapping[str, Path],
    sentence: str,
    threshold: float,
    pictures: int,
) -> None:
    """Write a page that needs no other file.

    Args:
        path: of the page.
        judgement: what was found.
        cases: the cohort.
        reader: of its scans.
        maps: case -> map that was judged instead of the label map.
        sentence: the result in one sentence.
        threshold: of the suspicion from which a finding counts.
        pictures: how many objects are pictured, from the most suspicious.
    """
    found = [one for one in judgement.findings if np.isfinite(one.suspicion)]
    wanted = [one for one in found if one.organ != WHOLE_SCAN and _row(judgement, one) is not None][:pictures]
    by_id = {case.id: case for case in cases}
    scans: dict[str, AuditScan] = {}

    def scan(case: str) -> AuditScan:
        if case not in scans:
            scans[case] = reader.scan(by_id[case], maps.get(case))
        return scans[case]

    shown = [(one, picture(one, judgement, scan)) for one in wanted]
    verdicts, phases = judgement.verdicts, judgement.phases
    page = template("audit.html.j2", Path(__file__).parent).render(
        sentence=sentence,
        threshold=threshold,
        findings=found[:LISTED],
        more=max(0, len(found) - LISTED),
        silent=len(judgement.findings) - len(found),
        pictures=shown,
        rests_on=verdicts and verdicts.rests_on,
        measured=verdicts and verdicts.measured,
        phases=phases,
        label_next=judgement.label_next,
        listed=LISTED,
        version=__version__,
    )
    write_text(path, page)


def picture(finding: AuditFinding, judgement: Judgement, scan: Callable[[str], AuditScan]) -> str:
    """The object of a finding beside its three nearest in other patients, as a data URL of a PNG.

    Args:
        finding: of an object.
        judgement: what was found.
        scan: case id -> scan.
    """
    row = _row(judgement, finding)
    if row is None:
        return ""
    nearest = [other for other in judgement.compared.nearest[row].tolist() if other >= 0]
    nearest = nearest or similar(judgement.judged, row, judgement.reference)
    figure, axes = plt.subplots(1, 1 + len(nearest), figsize=(2.6 * (1 + len(nearest)), 2.9), squeeze=False)
    own = scan(finding.case)
    in_map = judgement.judged.sources[row] == MAP
    _panel(axes[0][0], own, own.given if in_map else own.label, judgement.judged, row, SUSPECT, "suspicious: ")
    for axis, other in zip(axes[0][1:], nearest, strict=True):
        beside = scan(str(judgement.reference.cases[other]))
        _panel(axis, beside, beside.label, judgement.reference, other, TRUE, "")
    figure.tight_layout(pad=0.4)
    return "data:image/png;base64," + base64.b64encode(png(figure)).decode()


def similar(objects: Examples, row: int, reference: Examples) -> list[int]:
    """Rows of at most three objects of the same organ in other patients, the nearest in size and place first."""
    allowed = np.flatnonzero((reference.organs == objects.organs[row]) & (reference.patients != objects.patients[row]))
    if not len(allowed):
        return []
    values = reference.measures[allowed][:, LIKE]
    apart = np.abs((values - objects.measures[row, LIKE]) / np.maximum(values.std(0), 1e-6)).mean(1)
    found: list[int] = allowed[np.argsort(apart)[:3]].tolist()
    return found


def _row(judgement: Judgement, finding: AuditFinding) -> int | None:
    judged = judgement.judged
    rows = np.flatnonzero((judged.cases == finding.case) & (judged.organs == finding.organ))
    return int(rows[0]) if len(rows) else None


def _panel(
    axis: Axes, scan: AuditScan, objects: NDArray[np.integer] | None, table: Examples, row: int, colour: str, mark: str
) -> None:
    """Show the middle slice of an object with its outline, the patient's right on the left."""
    number = scan.table.names.index(table.organs[row]) + 1
    own = np.zeros(scan.image.shape[1:], bool) if objects is None else objects == number
    middle = table.starts[row].tolist()
    slices = np.flatnonzero(own.any((0, 1)))
    z = min(slices.tolist(), key=lambda at: abs(at - middle[2])) if len(slices) else middle[2]
    flat = np.argwhere(own[:, :, z])
    extent = float((np.ptp(flat, axis=0) * scan.size[:2]).max()) if len(flat) else 0.0
    half = [int(max(LEAST_SIDE, PICTURE_SIDE * extent) / 2 / mm) + 1 for mm in scan.size[:2]]
    centre = flat.mean(0).round().astype(int).tolist() if len(flat) else middle[:2]
    box = tuple(slice(max(0, at - reach), at + reach) for at, reach in zip(centre, half, strict=True))
    image = scan.image[:, box[0], box[1], z].movedim(0, -1).float().numpy()
    show_slice(axis, image, scan.size[1] / scan.size[0])
    mask = own[box[0], box[1], z]
    if mask.any() and not mask.all():
        axis.contour(mask[::-1, ::-1].T.astype(float), [0.5], colors="#ffd43b", linewidths=1.0)
    axis.set_title(f"{mark}{figure_text(str(table.cases[row]))}", fontsize=8, color=colour)
    axis.set_xticks([])
    axis.set_yticks([])
    for spine in axis.spines.values():
        spine.set(color=colour, linewidth=1.6)
