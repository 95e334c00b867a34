"""``python -m scripts``: what is done outside of the bundle's stages."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fire

from .arguments import arguments
from .errors import SemclError
from .extras import require
from .options import (
    Count,
    CountOrNone,
    Folds,
    FoldsOrNone,
    Limits,
    Listed,
    Millimetres,
    NewPath,
    Repeated,
    Seed,
    Share,
    checked,
)
from .signals import ends_in_a_line

AGAIN = "run the same command again"
WHOLE = f"files are whole or not there; {AGAIN}"
KEPT = {  # when a signal stops a command
    "check": f"nothing was changed; {AGAIN}",
    "prepare": WHOLE,
    "phantom": WHOLE,
    "evaluate": WHOLE,
    "study": f"what is done is kept; {AGAIN}",
}

if TYPE_CHECKING:
    from .cohort.label_table import LabelTable
    from .intake.findings import Finding
    from .intake.survey import Survey


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
        cases: scans; of every third patient two, in two phases.
        seed: the same seed gives the same bytes.
        folds: parts of the training patients for cross-fitting.
        test_share: share of the patients kept for testing.
        labelled_phases: in which training cases have label maps, as portal; all unless given.
    """
    require("report", "scipy")
    from .cohort.label_table import LabelTable
    from .intake import prepare as intake
    from .phantom.phantom import plan, write_phantoms

    folder = Path(out)
    intake.split(plan(folder, cases), folds, test_share, seed)  # refuse before anything is made
    write_phantoms(folder, cases, seed)
    table = LabelTable.load(folder)
    intake.prepare(
        folder / "images", folder / "labels", table, folder, folder / "cases.csv", folds, test_share, seed,
        labelled_phases=labelled_phases,
    )  # fmt: skip


@checked
def prepare(
    images: str,
    out: str,
    table: str,
    labels: str | None = None,
    cases: str | None = None,
    folds: Folds = 3,
    test_share: Share = 0.4,
    seed: Seed = 0,
    phase_pattern: str | None = None,
    modality: str = "CT",
    allow: Listed = (),
    csv: NewPath | None = None,
    hash_ids: NewPath | None = None,
    workers: Count | None = None,
    max_voxels: Count | None = None,
    labelled_phases: Listed | None = None,
    **unknown: object,
) -> None:
    """Check scans and label maps and make them a cohort: datalist.json and labels.yaml.

    Args:
        images: folder of volumes or DICOM folders, root of a data set, or CSV of paths: docs/cohort.md.
        out: folder of the cohort.
        table: the label table, a YAML file.
        labels: folder of label maps of the same case ids; leave it out for scans to be segmented only.
        cases: CSV with columns case, patient, phase; without it each case is a patient of its own.
        folds: parts of the training patients for cross-fitting.
        test_share: share of the patients kept for testing.
        seed: of the split.
        phase_pattern: regular expression with one group, the phase, searched in file names.
        modality: CT (intensities are Hounsfield units), MR, or RGB for pictures.
        allow: findings to accept, separated by commas.
        csv: file to write all findings to.
        hash_ids: file with the key to hash case ids with in what is shown; made when it is not there.
        workers: scans read at once.
        max_voxels: that a volume may have, by its header, to be read at all; 800 million unless given.
        labelled_phases: in which training cases keep their label maps, as portal; all unless given.
    """
    from .intake import prepare as intake

    labelled = _table(table)
    found = _survey(images, labels, labelled, cases, phase_pattern, modality, workers, max_voxels)
    _show(found.findings, allow, csv, hash_ids)
    made = intake.write(found, labelled, Path(out), folds, test_share, seed, labelled_phases)
    testing = sum(case.fold is None for case in made)
    print(f"{out}: {len(made) - testing} training and {testing} testing cases")


@checked
def check(
    images: str,
    labels: str | None = None,
    table: str | None = None,
    cases: str | None = None,
    phase_pattern: str | None = None,
    modality: str = "CT",
    allow: Listed = (),
    csv: NewPath | None = None,
    hash_ids: NewPath | None = None,
    workers: Count | None = None,
    max_voxels: Count | None = None,
    **unknown: object,
) -> None:
    """Say what is wrong with scans and label maps, and change nothing.

    Args:
        images: folder of volumes or DICOM folders, root of a data set, or CSV of paths: docs/cohort.md.
        labels: folder of label maps of the same case ids.
        table: the label table, a YAML file; without it organs are not looked at.
        cases: CSV with columns case, patient, phase.
        phase_pattern: regular expression with one group, the phase, searched in file names.
        modality: CT (intensities are Hounsfield units), MR, or RGB for pictures.
        allow: findings to accept, separated by commas.
        csv: file to write all findings to.
        hash_ids: file with the key to hash case ids with in what is shown; made when it is not there.
        workers: scans read at once.
        max_voxels: that a volume may have, by its header, to be read at all; 800 million unless given.
    """
    organs = _table(table) if table else None
    found = _survey(images, labels, organs, cases, phase_pattern, modality, workers, max_voxels)
    _show(found.findings, allow, csv, hash_ids)
    print(f"{images}: {len(found.cases)} cases")


@checked
def evaluate(
    pred: Repeated,
    truth: str,
    out: str = "evaluation",
    table: str | None = None,
    cases: str | None = None,
    images: str | None = None,
    tolerance: Millimetres = 2.0,
    window: Limits = "percentile",
    pictures: CountOrNone = 5,
    workers: Count = 2,
    **unknown: object,
) -> None:
    """Measure label maps made by any tool against the truth: rows.csv, summary.json, figures, report.html.

    Args:
        pred: folder of label maps, named as the true ones; give --pred again for more, the first is compared with.
        truth: folder of true label maps.
        out: folder the results are written to.
        table: the label table, a YAML file; without it organs are called by their numbers.
        cases: CSV with columns case, patient, phase; without it each case is a patient of its own.
        images: folder of the scans, for pictures of the worst cases.
        tolerance: mm, of NSD where the label table gives an organ none.
        window: intensities of the pictures, low,high or percentile.
        pictures: how many cases are shown.
        workers: cases measured at once.
    """
    from .evaluate.evaluation import Evaluation, name_methods
    from .evaluate.folders import cases_from_folders, label_table_for

    found = cases_from_folders(Path(truth), Path(images) if images else None, Path(cases) if cases else None)
    methods = name_methods(list(pred))
    labelled = label_table_for(found, _table(table) if table else None, list(methods.values()))
    Evaluation(
        found, labelled, {name: str(folder) for name, folder in methods.items()}, out, window, Path(truth).name,
        tolerance=tolerance, pictures=pictures if images else 0, workers=workers, seen=False,
    ).run()  # fmt: skip


@checked
def embed(dataset_dir: str, bundle_root: str = "bundle", overlay: str | None = None, **overrides: Any) -> None:
    """Embed queries before and after pretraining: maps, neighbours of other patients, collapse (embed.yaml).

    Args:
        dataset_dir: the cohort, after pretraining.
        bundle_root: folder of the bundle.
        overlay: the config file of your own numbers that pretraining was given too.
        overrides: any key of embed.yaml, such as --organ liver --case case001.
    """
    from monai.bundle import run

    from .job.overlays import as_meant
    from .study.strategy import read_overlay

    config = Path(bundle_root) / "configs" / "embed.yaml"
    if not config.is_file():
        raise SemclError(
            "the bundle is missing", found=f"no {config}", expected="the bundle's folder", remedy="set --bundle_root"
        )
    if overlay:
        read_overlay(Path(overlay))
    given = {key: as_meant(key, value, read_overlay(config)) for key, value in overrides.items()}
    run(
        config_file=[str(config), *([overlay] if overlay else [])],
        bundle_root=bundle_root,
        dataset_dir=dataset_dir,
        **given,
    )


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
        sweep: key=value,value: every strategy once a value, such as temperature=0.05,0.1,0.2.
        baseline: the strategy all are compared with, or coarse; scratch unless given. Another one needs no new runs.
        out: the study's folder, <dataset_dir>/study unless given; a study there goes on.
        attention_dir: attention maps of all cases, if not those of the cohort.
        tolerance: mm, of NSD where the label table gives an organ none.
        workers: processes at once; without it one a GPU, or one a core.
        shard: i/n, the part of the study that is run here; run again without it to gather.
        bundle_root: folder of the bundle.
    """
    from .study.study import Study, usual_workers

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


def _table(table: str) -> LabelTable:
    from .cohort.label_table import LabelTable

    source = Path(table)
    if not source.is_file():
        raise SemclError(
            "there is no label table", found=f"no {source}", expected="a YAML file", remedy="see docs/cohort.md"
        )
    return LabelTable.read(source)


def _survey(
    images: str,
    labels: str | None,
    table: LabelTable | None,
    cases: str | None,
    phase_pattern: str | None,
    modality: str,
    workers: int | None,
    max_voxels: int | None,
) -> Survey:
    from .intake.survey import Sources, survey

    files = [Path(path) if path else None for path in (labels, cases)]
    return survey(Sources(Path(images), files[0], files[1], phase_pattern, modality, workers, max_voxels), table)


def _show(found: Sequence[Finding], allow: Sequence[str], csv: str | None, hash_ids: str | None) -> None:
    """Say everything once, as a table and as CSV if asked for, and stop where an error is left."""
    from .intake import findings

    shown = findings.allow(found, allow)
    if hash_ids:
        shown = findings.hash_ids(shown, findings.hash_key(Path(hash_ids)))
    if csv:
        findings.write_csv(Path(csv), shown)
    if shown:
        print(findings.as_text(shown))
    findings.stop(shown)


def main() -> None:
    """Run the command line; a SemclError ends it with its message and exit code 2."""
    os.environ.setdefault("PAGER", "cat")
    try:
        commands: dict[str, Callable[..., None]] = {
            "phantom": phantom,
            "prepare": prepare,
            "check": check,
            "evaluate": evaluate,
            "embed": embed,
            "study": study,
        }
        name = sys.argv[1] if len(sys.argv) > 1 else ""
        with ends_in_a_line(name if name in commands else "scripts", KEPT.get(name, AGAIN)):
            fire.Fire(commands, arguments(sys.argv[1:], commands, "pred"), name="python -m scripts")
    except SemclError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        from .job.plain_errors import explain

        cause = explain(error)
        if cause is None:
            raise
        print(f"error: {cause}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
