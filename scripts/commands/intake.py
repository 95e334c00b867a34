"""``python -m scripts check`` and ``prepare``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from ..errors import one_of
from ..names import MODALITIES
from .arguments import program
from .audit import audited, end_audit
from .option_readers import Choice, Switch
from .options import Count, Folds, Listed, NewPath, Seed, Share, checked

if TYPE_CHECKING:
    from ..cohort.case import Case
    from ..cohort.label_table import LabelTable
    from ..intake.findings import Finding
    from ..intake.survey import Survey


@dataclass(frozen=True)
class IntakeOptions:
    """Scans and label maps that are checked, and how findings are shown.

    Args:
        images: folder of volumes or DICOM folders, root of a data set, or CSV of paths: docs/cohort.md.
        labels: folder of label maps with the same case ids; leave it out for scans that are only to be segmented.
        table: the label table, a YAML file; organs are not checked without it.
        cases: CSV with columns case, patient, phase; without it each case is a patient of its own.
        phase_pattern: regular expression with one group, the phase, searched in file names.
        modality: CT (intensities are Hounsfield units), MR, or RGB for pictures.
        allow: findings to accept, separated by commas.
        csv: file to write all findings to.
        hash_ids: file with the key that hashes case ids in what is shown; made when it is not there.
        workers: scans read at once.
        max_voxels: largest number of voxels, by its header, of a volume that is read; 800 million unless given.
        unlabelled: folder of scans to learn from without label maps, never tested; may be that of images.
    """

    images: str
    labels: str | None = None
    table: str | None = None
    cases: str | None = None
    phase_pattern: str | None = None
    modality: Annotated[str, Choice(MODALITIES)] = "CT"
    allow: Listed = ()
    csv: NewPath | None = None
    hash_ids: NewPath | None = None
    workers: Count | None = None
    max_voxels: Count | None = None
    unlabelled: str | None = None

    def survey(self, table: LabelTable | None, recognised: bool = False) -> Survey:
        """Check the scans, show every finding, and if wanted what was recognised; stop where an error is left."""
        from ..intake import recognised as report
        from ..intake.finding_kinds import FINDINGS
        from ..intake.findings import stop
        from ..intake.survey import Sources, survey

        for name in self.allow:
            one_of("allow", name, list(FINDINGS))
        label_maps, cases, more = (Path(path) if path else None for path in (self.labels, self.cases, self.unlabelled))
        sources = Sources(
            Path(self.images), label_maps, cases, self.phase_pattern, self.modality, self.workers, self.max_voxels, more
        )
        found = survey(sources, table)
        shown = self._show(found.findings)
        if recognised:
            print(report.recognised(found, sources, table, names=self.hash_ids is None))
        stop(shown)
        return found

    def _show(self, found: Sequence[Finding]) -> list[Finding]:
        from ..intake import findings

        shown = findings.allow(found, self.allow)
        if self.hash_ids:
            shown = findings.hash_ids(shown, findings.hash_key(Path(self.hash_ids)))
        if self.csv:
            findings.write_findings(Path(self.csv), shown)
        if shown:
            print(findings.as_text(shown))
        return shown


@checked
def prepare(
    source: IntakeOptions,
    out: str,
    table: str,
    folds: Folds = 3,
    test_share: Share = 0.4,
    seed: Seed = 0,
    labelled_phases: Listed | None = None,
    audit: Annotated[bool, Switch()] = False,
    **unknown: object,
) -> None:
    """Check scans and label maps and make them a cohort: datalist.json and labels.yaml.

    Args:
        source: as of ``check``.
        out: folder of the cohort.
        table: the label table, a YAML file.
        folds: parts of the training patients for cross-fitting.
        test_share: share of the patients kept for testing.
        seed: of the split.
        labelled_phases: phases whose training cases keep their label maps, as portal; all unless given.
        audit: compare the label maps of patients at once, as ``audit`` does, and end with its exit code.
    """
    from ..cohort.case import UNKNOWN_PHASE
    from ..cohort.label_table import LabelTable
    from ..intake import prepare as intake
    from ..printable import counted, printable
    from .stages import keep_window

    organs = LabelTable.read(Path(table))
    for phase in labelled_phases or ():
        one_of("labelled_phases", phase, (*organs.phases, UNKNOWN_PHASE))
    found = source.survey(organs)
    made = intake.write(found, organs, Path(out), folds, test_share, seed, labelled_phases, source.modality)
    print(f"{out}: {_counts(made)}")
    left = sorted({case.id for case in found.usable()} - {case.id for case in made})
    if left:
        names = "" if source.hash_ids else f": {printable(', '.join(left))}"
        print(f"left out, {counted(len(left), 'scan')} without labels of tested patients{names}")
    if source.modality == "MR":
        keep_window(Path(out))
    print(f"next: {_next(made, out)}")
    if audit:
        end_audit(audited(out))


def _next(cases: Sequence[Case], out: str) -> str:
    """The command that comes after: all stages, or where there is nothing to learn from, segmenting."""
    import shlex

    if any(case.label is not None and case.fold is not None for case in cases):
        return f"{program()} run --dataset_dir {shlex.quote(out)}"
    config = "--config_file bundle/configs/inference.yaml --ckpt_dir MODELS"
    return f"python -m monai.bundle run {config} --dataset_dir {shlex.quote(out)}, with models of another cohort"


def _counts(cases: Sequence[Case]) -> str:
    """The numbers of training and testing cases, and how many of the former have no labels."""
    from ..printable import counted

    training = [case for case in cases if case.fold is not None]
    bare = sum(case.label is None for case in training)
    without = f", {bare} of them without labels," if bare else ""
    return (
        f"{counted(len(training), 'training case')}{without} and {counted(len(cases) - len(training), 'testing case')}"
    )


@checked
def check(source: IntakeOptions, **unknown: object) -> None:
    """Report what is wrong with scans and label maps, and change nothing.

    Args:
        source: what is checked.
    """
    from ..cohort.label_table import LabelTable

    source.survey(LabelTable.read(Path(source.table)) if source.table else None, recognised=True)
