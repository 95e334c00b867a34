"""``python -m scripts phantom``."""

from __future__ import annotations

from pathlib import Path

from .options import Count, Folds, Listed, Seed, Share, checked


@checked
def phantom(
    out: str,
    cases: Count = 16,
    seed: Seed = 0,
    folds: Folds = 3,
    test_share: Share = 0.5,
    labelled_phases: Listed | None = None,
    **unknown: object,
) -> None:
    """Write a cohort of abdominal CT phantoms: images, labels, label table, datalist.

    Args:
        out: folder of the cohort.
        cases: scans; every third patient has two, in two phases.
        seed: the same seed gives the same bytes.
        folds: parts of the training patients for cross-fitting.
        test_share: share of the patients kept for testing.
        labelled_phases: phases whose training cases have label maps, as portal; all unless given.
    """
    from ..cohort.label_table import LabelTable
    from ..intake import prepare as intake
    from ..intake.splitting import split
    from ..phantom.phantom import plan, write_phantoms

    folder = Path(out)
    split(plan(folder, cases), folds, test_share, seed)  # refuse before anything is made
    write_phantoms(folder, cases, seed)
    table = LabelTable.load(folder)
    intake.prepare_cohort(
        folder / "images", folder / "labels", table, folder, folder / "cases.csv", folds, test_share, seed,
        labelled_phases=labelled_phases,
    )  # fmt: skip
