"""What a check has recognised, whether or not anything is wrong with it, and the files it left aside."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ..cohort.label_table import LabelTable
from ..cohort.volume_files import VOLUME_SUFFIXES
from ..printable import counted, printable
from .splitting import never_tested
from .survey import Sources, Survey

SHOWN_FILES = 5  # of those left aside
NO_TABLE = "none: organs are not checked; `python -m scripts labels --from LABELS` drafts one"
SHOWN_VALUES = 25  # of label maps


def recognised(found: Survey, sources: Sources, table: LabelTable | None, names: bool = True) -> str:
    """Lines about a survey: layout, cases, voxels, label values, phases, and files that are no part of it.

    Args:
        found: by the survey.
        sources: where it looked.
        table: the label table, for the names of label values.
        names: False: files left aside are only counted, for output without identifying data.
    """
    patients = len({case.patient for case in found.cases})
    labelled = sum(scan.labelled for scan in found.scans.values())
    bare = len(never_tested([found.scans[case.id] for case in found.usable()]))
    kinds = f"{labelled} with labels{f', {bare} to learn from without' if bare else ''}"
    lines = {
        "layout": found.layout,
        "cases": f"{counted(len(found.cases), 'case')} of {counted(patients, 'patient')}, {kinds}",
        "voxels": _voxels(found),
        "label values": _values(found, table),
        "label table": NO_TABLE if table is None and labelled else "",
        "phases": _listed(Counter(case.phase for case in found.cases), len(found.cases)),
        "left aside": _left_aside(found, sources, names),
    }
    return printable("\n".join(f"{name + ':':14}{text}" for name, text in lines.items() if text))


def _voxels(found: Survey) -> str:
    """Range of the number and the size of voxels along each axis, right-left, back-front, feet-head."""
    if not found.grids:
        return ""
    shapes = np.array([header.shape[:3] for header in found.grids.values()])
    sizes = np.array([header.sizes for header in found.grids.values()])
    return f"{_range(shapes)} of {_range(sizes)} mm (left-right x back-front x feet-head)"


def _range(numbers: np.ndarray) -> str:
    ends = [
        [f"{end:.3g}" if isinstance(end, float) else str(end) for end in axis]
        for axis in zip(numbers.min(0).tolist(), numbers.max(0).tolist(), strict=True)
    ]
    return " x ".join(low if low == high else f"{low}-{high}" for low, high in ends)


def _values(found: Survey, table: LabelTable | None) -> str:
    """Each value of the label maps with its organ and the number of cases that have it."""
    organs = {organ.index: organ.name for organ in table.organs} if table else {}
    counts = Counter(value for values in found.values.values() for value in values)
    named = {f"{value} {organs.get(value, '')}".strip(): counts[value] for value in sorted(counts)}
    return _listed(named, sum(bool(values) for values in found.values.values()))


def _listed(counts: Mapping[str, int], every: int) -> str:
    """Names, each with the number of cases that have it unless all have."""
    parts = [name if count == every else f"{name} ({counted(count, 'case')})" for name, count in counts.items()]
    more = [f"and {len(parts) - SHOWN_VALUES} more"] if len(parts) > SHOWN_VALUES else []
    return ", ".join([*parts[:SHOWN_VALUES], *more])


def _left_aside(found: Survey, sources: Sources, names: bool) -> str:
    """Files beside the scans and label maps that belong to none."""
    used = {path for scan in found.scans.values() for path in _files(scan.image, scan.label, scan.masks)}
    used |= {sources.images, *([sources.cases] if sources.cases else [])}
    folders = {path.parent for path in used - {sources.images}}
    folders |= {path for path in (sources.images, sources.label_maps) if path is not None and path.is_dir()}
    inside = {path for folder in folders for path in folder.iterdir() if path.is_file()} if folders else set()
    series = {scan.image for scan in found.scans.values() if scan.image.is_dir()}
    left = sorted(path for path in inside - used if path.parent not in series and not _hidden(path, used))
    if not left:
        return ""
    shown = ", ".join(path.name for path in left[:SHOWN_FILES]) if names else ""
    more = f" and {len(left) - SHOWN_FILES} more" if names and len(left) > SHOWN_FILES else ""
    return f"{counted(len(left), 'file')}{': ' if shown else ''}{shown}{more}"


def _files(image: Path, label: Path | None, masks: Sequence[tuple[str, Path]]) -> list[Path]:
    return [image, *([label] if label else []), *(path for _, path in masks)]


def _hidden(path: Path, used: set[Path]) -> bool:
    """Whether a file is a system's own, or holds the voxels that a header beside it refers to."""
    header = path.with_suffix(".mhd")
    return path.name.startswith(".") or (path.suffix not in VOLUME_SUFFIXES and header in used)
