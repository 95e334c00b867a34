"""``python -m scripts study``."""

from __future__ import annotations

from pathlib import Path

from ..bundle_folder import bundle_folder
from .options import Count, FoldsOrNone, Listed, Millimetres, Multiples, Seconds, checked


@checked
def study(
    dataset_dir: str,
    preset: str | None = None,
    strategies: Listed | None = None,
    labels: Listed | None = None,
    budget: Seconds | None = None,
    budgets: Multiples | None = None,
    seeds: Count | None = None,
    folds: FoldsOrNone | None = None,
    sweep: str | None = None,
    baseline: str | None = None,
    overlay: str | None = None,
    out: str | None = None,
    attention_dir: str | None = None,
    tolerance: Millimetres = 2.0,
    workers: Count | None = None,
    shard: str | None = None,
    bundle_root: str | None = None,
    **unknown: object,
) -> None:
    """Compare training strategies on a cohort as whole pipelines: few labels, equal budgets, honest statistics.

    Args:
        dataset_dir: the cohort.
        preset: a design of configs/studies by name (smoke, small, hippocampus, gpu), or the path of your own.
        strategies: overlays of configs/strategies by name, or paths of your own, separated by commas.
        labels: patients whose label maps a run may use, as numbers or shares: 2,10%,100%.
        budget: training seconds of a device for all that a run does; 0 leaves the lengths to the configs.
        budgets: multiples of the budget, each a table: 0.5,1,2.
        seeds: runs of each strategy.
        folds: parts of the labelled patients, each tested once; 0 for the cohort's own testing cases.
        sweep: key=value,value: every strategy once per value, such as temperature=0.05,0.1,0.2.
        baseline: the strategy all are compared with, or "coarse map". Changing it needs no new runs.
        overlay: numbers for all stages: a config of your own, or standard or faithful.
        out: the study's folder, <dataset_dir>/study unless given; a study that is there goes on.
        attention_dir: attention maps of all cases made elsewhere; no coarse network is trained then.
        tolerance: of NSD in mm, for organs to which the label table gives none.
        workers: processes at once; one per GPU, or one per core, unless given.
        shard: i/n, the part of the study that is run here; run again without it to gather.
        bundle_root: folder of the bundle, by default that of this installation.
    """
    from ..job.shard import Shard
    from ..study.design import read_design
    from ..study.study import Study, usual_workers

    root, cohort = Path(bundle_root) if bundle_root else bundle_folder(), Path(dataset_dir)
    given = {
        "strategies": strategies,
        "labels": labels,
        "budget": budget,
        "budgets": budgets,
        "seeds": seeds,
        "folds": folds,
        "baseline": baseline,
        "overlays": [overlay] if overlay else None,
    }
    Study(
        dataset_dir=cohort,
        bundle_root=root,
        out=Path(out) if out else cohort / "study",
        design=read_design(preset, root / "configs", given),
        sweep=sweep,
        attention_dir=Path(attention_dir) if attention_dir else None,
        tolerance=tolerance,
        workers=usual_workers() if workers is None else workers,
        share=Shard.of(shard) if shard else None,
    ).run()
