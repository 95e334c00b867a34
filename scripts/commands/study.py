"""``python -m scripts study``."""

from __future__ import annotations

from pathlib import Path

from .options import Count, FoldsOrNone, Listed, Millimetres, checked


@checked
def study(
    dataset_dir: str,
    strategies: Listed = "scratch,simclr,semantic",
    seeds: Count = 3,
    folds: FoldsOrNone = 0,
    protocols: Listed = "frozen,tuned",
    labels: Listed = "100%",
    preset: str | None = None,
    overlay: str | None = None,
    sweep: str | None = None,
    baseline: str | None = None,
    out: str | None = None,
    attention_dir: str | None = None,
    tolerance: Millimetres = 2.0,
    workers: Count | None = None,
    shard: str | None = None,
    bundle_root: str = "bundle",
    **unknown: object,
) -> None:
    """Compare training strategies on a cohort with coarse maps: the paper's tables, with honest statistics.

    Args:
        dataset_dir: the cohort, after coarse.yaml.
        strategies: overlays of configs/strategies by name, or paths of your own, separated by commas.
        seeds: training runs of each strategy.
        folds: parts of the labelled patients, each tested once; 0 for the cohort's own testing cases.
        protocols: frozen, tuned: the encoder while the decoder is trained.
        labels: shares of the labelled patients the decoder learns from, as 10%,50%,100%.
        preset: numbers for all stages: an overlay of configs by name, fast, standard or faithful.
        overlay: config file of your own numbers, for all stages.
        sweep: key=value,value: every strategy once per value, such as temperature=0.05,0.1,0.2.
        baseline: the strategy all are compared with, or coarse; scratch unless given. Changing it needs no new runs.
        out: the study's folder, <dataset_dir>/study unless given; a study that is there goes on.
        attention_dir: attention maps of all cases, if not those of the cohort.
        tolerance: of NSD in mm, for organs to which the label table gives none.
        workers: processes at once; one per GPU, or one per core, unless given.
        shard: i/n, the part of the study that is run here; run again without it to gather.
        bundle_root: folder of the bundle.
    """
    from ..study.study import Study, usual_workers

    root, cohort = Path(bundle_root), Path(dataset_dir)
    overlays = [root / "configs" / f"{preset}.yaml"] if preset else []
    Study(
        dataset_dir=cohort,
        bundle_root=root,
        out=Path(out) if out else cohort / "study",
        strategies=list(strategies),
        seeds=seeds,
        folds=folds,
        protocols=list(protocols),
        labels=list(labels),
        overlays=[*overlays, *([Path(overlay)] if overlay else [])],
        sweep=sweep,
        attention_dir=Path(attention_dir) if attention_dir else None,
        tolerance=tolerance,
        workers=usual_workers() if workers is None else workers,
        share=shard,
        baseline=baseline,
    ).run()
