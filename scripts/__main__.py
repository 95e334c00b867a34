"""``python -m scripts``: what is done outside of the bundle's stages."""

from __future__ import annotations

import difflib
import inspect
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fire

from .errors import SemclError
from .extras import require
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


def phantom(
    out: str,
    cases: int = 16,
    seed: int = 0,
    folds: int = 3,
    test_share: float = 0.5,
    labelled_phases: str | Sequence[str] | None = None,
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
    _refuse(unknown, phantom)
    require("report", "scipy")
    from .cohort.label_table import LabelTable
    from .intake import prepare as intake
    from .phantom.phantom import plan, write_phantoms

    folder = Path(str(out))
    intake.split(plan(folder, cases), folds, test_share, seed)  # refuse before anything is made
    write_phantoms(folder, cases, seed)
    table = LabelTable.load(folder)
    intake.prepare(
        folder / "images", folder / "labels", table, folder, folder / "cases.csv", folds, test_share, seed,
        labelled_phases=None if labelled_phases is None else _listed(labelled_phases),
    )  # fmt: skip


def prepare(
    images: str,
    out: str,
    table: str,
    labels: str | None = None,
    cases: str | None = None,
    folds: int = 3,
    test_share: float = 0.4,
    seed: int = 0,
    phase_pattern: str | None = None,
    modality: str = "CT",
    allow: str | Sequence[str] = (),
    csv: str | None = None,
    hash_ids: str | None = None,
    workers: int | None = None,
    max_voxels: int | None = None,
    labelled_phases: str | Sequence[str] | None = None,
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
    _refuse(unknown, prepare)
    from .intake import prepare as intake

    labelled = _table(table)
    found = _survey(images, labels, labelled, cases, phase_pattern, modality, workers, max_voxels)
    _show(found.findings, allow, csv, hash_ids)
    phases = None if labelled_phases is None else _listed(labelled_phases)
    made = intake.write(found, labelled, Path(str(out)), folds, test_share, seed, phases)
    testing = sum(case.fold is None for case in made)
    print(f"{out}: {len(made) - testing} training and {testing} testing cases")


def check(
    images: str,
    labels: str | None = None,
    table: str | None = None,
    cases: str | None = None,
    phase_pattern: str | None = None,
    modality: str = "CT",
    allow: str | Sequence[str] = (),
    csv: str | None = None,
    hash_ids: str | None = None,
    workers: int | None = None,
    max_voxels: int | None = None,
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
    _refuse(unknown, check)
    organs = _table(table) if table else None
    found = _survey(images, labels, organs, cases, phase_pattern, modality, workers, max_voxels)
    _show(found.findings, allow, csv, hash_ids)
    print(f"{images}: {len(found.cases)} cases")


def evaluate(
    pred: str | Sequence[str],
    truth: str,
    out: str = "evaluation",
    table: str | None = None,
    cases: str | None = None,
    images: str | None = None,
    tolerance: float = 2.0,
    window: str | Sequence[float] = "percentile",
    pictures: int = 5,
    workers: int = 2,
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
    _refuse(unknown, evaluate)
    given = {"tolerance": tolerance, "pictures": pictures, "workers": workers}
    from .evaluate.evaluation import Evaluation, named
    from .evaluate.folders import cases_of, table_of

    paths = [Path(str(path)) if path else None for path in (images, cases)]
    found = cases_of(Path(str(truth)), paths[0], paths[1])
    numbers = {name: _number(name, value) for name, value in given.items()}
    predicted = list(pred) if isinstance(pred, list | tuple) else [pred]
    methods = named([str(folder) for folder in predicted])
    labelled = table_of(found, _table(table) if table else None, list(methods.values()))
    shown = numbers["pictures"] if images else min(numbers["pictures"], 0)
    Evaluation(
        found, labelled, {name: str(folder) for name, folder in methods.items()}, str(out), window,
        Path(str(truth)).name, tolerance=numbers["tolerance"], pictures=int(shown), workers=int(numbers["workers"]),
        seen=False,
    ).run()  # fmt: skip


def embed(dataset_dir: str, bundle_root: str = "bundle", overlay: str | None = None, **overrides: Any) -> None:
    """Embed queries before and after pretraining: maps, neighbours of other patients, collapse (embed.yaml).

    Args:
        dataset_dir: the cohort, after pretraining.
        bundle_root: folder of the bundle.
        overlay: the config file of your own numbers that pretraining was given too.
        overrides: any key of embed.yaml, such as --organ liver --case case001.
    """
    from monai.bundle import run

    config = Path(bundle_root) / "configs" / "embed.yaml"
    if not config.is_file():
        raise SemclError(
            "the bundle is missing", found=f"no {config}", expected="the bundle's folder", remedy="set --bundle_root"
        )
    files = [str(config), *([str(overlay)] if overlay else [])]
    run(config_file=files, bundle_root=bundle_root, dataset_dir=str(dataset_dir), **overrides)


def study(
    dataset_dir: str,
    strategies: str | Sequence[str] = "scratch,simclr,semantic",
    seeds: int = 3,
    folds: int = 0,
    protocols: str | Sequence[str] = "frozen,tuned",
    labels: str | float | Sequence[str | float] = "100%",
    preset: str | None = None,
    overlay: str | None = None,
    sweep: str | None = None,
    baseline: str | None = None,
    out: str | None = None,
    attention_dir: str | None = None,
    tolerance: float = 2.0,
    workers: int | None = None,
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
    _refuse(unknown, study)
    counts = {"seeds": seeds, "folds": folds} | ({} if workers is None else {"workers": workers})
    whole = {name: _whole(name, value) for name, value in counts.items()}
    from .study.study import Study, usual_workers

    root, cohort = Path(str(bundle_root)), Path(str(dataset_dir))
    overlays = [root / "configs" / f"{preset}.yaml"] if preset else []
    Study(
        dataset_dir=cohort,
        bundle_root=root,
        out=Path(str(out)) if out else cohort / "study",
        strategies=_listed(strategies),
        seeds=whole["seeds"],
        folds=whole["folds"],
        protocols=_listed(protocols),
        labels=_listed(labels),
        overlays=[*overlays, *([Path(str(overlay))] if overlay else [])],
        sweep=None if sweep is None else str(sweep),
        attention_dir=Path(str(attention_dir)) if attention_dir else None,
        tolerance=_number("tolerance", tolerance),
        workers=whole["workers"] if "workers" in whole else usual_workers(),
        share=None if shard is None else str(shard),
        baseline=None if baseline is None else str(baseline),
    ).run()


def _listed(given: object) -> list[str]:
    """What was separated by commas; fire makes a tuple of it, or a number of a single one."""
    parts = given if isinstance(given, list | tuple) else str(given).split(",")
    return [str(part).strip() for part in parts if str(part).strip()]


def _whole(name: str, value: object) -> int:
    number = _number(name, value)
    if number % 1:  # infinity too
        raise SemclError(f"--{name} is no whole number", found=value, expected="1, 2, ...", remedy=f"set --{name}")
    return int(number)


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise SemclError(f"--{name} is no number", found=repr(value), expected="a number", remedy=f"set --{name}")
    return value


def _repeated(arguments: Sequence[str], option: str) -> list[str]:
    """Command line with several ``option VALUE`` made one of a tuple: fire would keep the last alone."""
    kept, values = [], []
    rest = iter(arguments)
    for word in rest:
        if word == option:
            values.append(next(rest, ""))
        elif word.startswith(f"{option}="):
            values.append(word.partition("=")[2])
        else:
            kept.append(word)
    return kept + ([f"{option}={values[0] if len(values) == 1 else json.dumps(values)}"] if values else [])


def _table(table: str) -> LabelTable:
    from .cohort.label_table import LabelTable

    source = Path(str(table))
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

    files = [Path(str(path)) if path else None for path in (labels, cases)]
    pattern = None if phase_pattern is None else str(phase_pattern)
    most = None if max_voxels is None else _whole("max_voxels", max_voxels)
    return survey(Sources(Path(str(images)), files[0], files[1], pattern, str(modality), workers, most), table)


def _show(found: Sequence[Finding], allow: str | Sequence[str], csv: str | None, hash_ids: str | None) -> None:
    """Say everything once, as a table and as CSV if asked for, and stop where an error is left."""
    from .intake import findings

    names = allow.split(",") if isinstance(allow, str) else list(allow)  # fire makes a tuple of a,b
    shown = findings.allow(found, [name.strip() for name in names if name.strip()])
    if hash_ids:
        shown = findings.hash_ids(shown, findings.hash_key(Path(str(hash_ids))))
    if csv:
        findings.write_csv(Path(str(csv)), shown)
    if shown:
        print(findings.as_text(shown))
    findings.stop(shown)


def _refuse(unknown: Mapping[str, object], command: Callable[..., None]) -> None:
    """Refuse options a command does not have, before it does anything."""
    known = [name for name in inspect.signature(command).parameters if name != "unknown"]
    for name in unknown:
        near = difflib.get_close_matches(name, known, 1)
        raise SemclError(
            f"{command.__name__} has no option --{name}",
            found=f"--{name}",
            expected=", ".join(f"--{option}" for option in known),
            remedy=f"did you mean --{near[0]}?" if near else "leave it out",
        )


def main() -> None:
    """Run the command line; a SemclError ends it with its message and exit code 2."""
    os.environ.setdefault("PAGER", "cat")
    try:
        commands = {
            "phantom": phantom,
            "prepare": prepare,
            "check": check,
            "evaluate": evaluate,
            "embed": embed,
            "study": study,
        }
        name = sys.argv[1] if len(sys.argv) > 1 else ""
        with ends_in_a_line(name if name in commands else "scripts", KEPT.get(name, AGAIN)):
            fire.Fire(commands, _repeated(sys.argv[1:], "--pred"), name="python -m scripts")
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
