"""``python -m scripts evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from .audit import audited, end_audit
from .option_readers import Choice, Switch
from .options import Count, CountOrNone, Limits, Millimetres, Repeated, checked


@checked
def evaluate(
    pred: Repeated,
    truth: str,
    out: str = "evaluation",
    table: str | None = None,
    cases: str | None = None,
    images: str | None = None,
    tolerance: Millimetres = 2.0,
    nsd: Annotated[str, Choice(("area", "edges"))] = "area",
    common: Annotated[bool, Switch()] = False,
    window: Limits = "percentile",
    pictures: CountOrNone = 5,
    workers: Count = 2,
    audit: str | None = None,
    **unknown: object,
) -> None:
    """Measure label maps made by any tool against the ground truth: rows.csv, summary.json, figures, report.html.

    Args:
        pred: folder of label maps, named as in truth; give --pred again for more, to be compared with the first.
        truth: folder of ground-truth label maps.
        out: folder the results are written to.
        table: the label table, a YAML file; without it organs are called by their numbers.
        cases: CSV with columns case, patient, phase; without it each case is a patient of its own.
        images: folder of the scans, for pictures of the worst cases.
        tolerance: of NSD in mm, for organs to which the label table gives none.
        nsd: what NSD counts, area of the surfaces or edges, their voxels.
        common: True measures the cases that truth and every pred have, and names the others.
        window: intensities of the pictures, low,high or percentile.
        pictures: number of cases shown.
        workers: cases measured at once.
        audit: a cohort that the scans belong to: the first folder's maps are audited in it too, as ``audit`` does.
    """
    from ..cohort import datalist
    from ..cohort.label_table import LabelTable
    from ..errors import raise_all
    from ..evaluate.evaluation import Evaluation, name_methods
    from ..evaluate.folders import (
        cases_from_folders,
        common_cases,
        label_table_for,
        misfits,
        print_left_out,
        without_truth,
    )

    if audit:
        datalist.load(audit)
    methods = name_methods(list(pred))
    only = common_cases(Path(truth), methods) if common else None
    found = cases_from_folders(Path(truth), Path(images) if images else None, Path(cases) if cases else None, only)
    if images:
        raise_all([error for case in found for error in misfits(case)], of="the scans")
    if not common:
        print_left_out(without_truth(found, methods))
    labelled = label_table_for(found, LabelTable.read(Path(table)) if table else None, list(methods.values()))
    Evaluation(
        found, labelled, {name: str(folder) for name, folder in methods.items()}, out, window, Path(truth).name,
        tolerance=tolerance, pictures=pictures if images else 0, workers=workers, seen=False,
        nsd=nsd,
    ).run()  # fmt: skip
    if audit:
        end_audit(audited(audit, maps=str(pred[0])))
