"""The predictions of a run of inference: which are missing, and which of an earlier run can be kept."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from ignite.engine import Engine, Events
from monai.engines import Evaluator

from .. import ranks
from ..cohort.attention import attention_path
from ..cohort.case import Case, input_files
from ..cohort.provenance import note_of
from ..cohort.resampling import RESAMPLING
from ..errors import SemclError
from ..files import checksum, checksum_of, write_text
from ..freshness import key, newer, noted, stamp
from ..intake.given_maps import ToolMaps, needs_coarse
from ..job.config_check import config_digest
from ..job.job import Job
from ..outputs import Output, visible
from ..previous import PREVIOUS_FOLDER, forget_previous, set_aside
from .calibration import calibration_path
from .expected_dice import SUFFIX
from .volumes import prediction_path, samples

PREDICTION_SUFFIXES = (".nii.gz", ".png", ".dcm", SUFFIX)


class Predictions:
    """Handler: a folder of predictions, all by the same weights and config, of today's scans and coarse maps.

    Up-to-date predictions are kept, so an interrupted run goes on where it stopped; outdated ones, also of cases of
    another section, are set aside with the files beside them just before the first new one is written, and removed once
    every case of theirs has a new one. A shard predicts its own cases; ranks share the missing ones. Must come before
    the handlers that write.

    Args:
        folder: of the predictions, <case>.nii.gz.
        cases: to be segmented.
        weights: files of the refiners' weights.
        attention_dir: folder of the attention maps, where there are any.
        job: the run.
        tool: maps of another tool, where they are used.
        coarse: file of the weights of the coarse network, which segments cases without a map; None without one.
        lacking: whether it also adds the organs that maps of another tool lack.
        dicom_seg: whether a DICOM series also gets <case>.dcm.
    """

    def __init__(
        self,
        folder: str,
        cases: Sequence[Case],
        weights: Sequence[str],
        attention_dir: str,
        job: Job,
        tool: ToolMaps | None = None,
        coarse: str | None = None,
        lacking: bool = False,
        dicom_seg: bool = False,
    ) -> None:
        self.dicom_seg = dicom_seg
        self.folder, self.cases, self.weights, self.job = Path(folder), list(cases), list(map(Path, weights)), job
        self.attention_dir, self.tool = attention_dir, tool
        self.coarse, self.lacking = None if coarse is None else Path(coarse), lacking
        self.note = self.folder / "predictions.json"
        self.cleared = True
        self.outdated: dict[Path, list[int] | None] = {}  # with their stamps: another rank may have rewritten one since

    def path(self, case: Case) -> Path:
        """Path of a case's prediction."""
        return prediction_path(self.folder, case.id, case.image)

    def missing(self) -> list[Case]:
        """The cases of this run's shard without an up-to-date prediction."""
        return self._missing(self.job.part(self.cases))

    def own(self) -> list[Case]:
        """This rank's part of the missing cases."""
        return ranks.own(self.missing())

    def run(self, evaluator: Evaluator) -> None:
        """Run an evaluator over the cases of ``own``, if there are any.

        Raises:
            SemclError: when the folder holds scans, label maps or anything else that inference did not write.
        """
        own = self.own()
        self.outdated, self.cleared = self._outdated(), False
        ranks.first_alone(self._claim)
        if own:
            evaluator.run()
        ranks.wait()
        if ranks.number() == 0:
            with self.job.one_at_a_time("predictions"):
                if self._all_made_again():
                    forget_previous(self.folder)

    def attach(self, engine: Engine) -> None:
        """Attach to the engine."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Set outdated predictions aside before the first new one is written."""
        if not self.cleared and any("failed" not in sample for sample in samples(engine)):
            self._clear()
            self.cleared = True

    def _claim(self) -> None:
        if self.folder.resolve() == Path(self.attention_dir).resolve():
            raise SemclError(
                "predictions would lie among the attention maps",
                found=f"{self.folder} as prediction_dir and as attention_dir",
                expected="two folders",
                remedy="point --prediction_dir at another folder",
            )
        Output(self.folder, "predictions", "--prediction_dir").claim(input_files(self.cases))
        if self.tool is not None:
            self.tool.claim(self.cases)
        cases, missing = self.job.part(self.cases), self.missing()
        if len(missing) < len(cases):
            print(f"{len(cases) - len(missing)} of {len(cases)} predictions are up to date and kept")

    def _clear(self) -> None:
        """Set outdated predictions aside, also those of other shards, and write the note for all of them."""
        with self.job.one_at_a_time("predictions"):
            still = [path for path, at in self._outdated().items() if self.outdated.get(path) == at]
            kept = set_aside(self.folder, still)
            if kept is not None:
                count = len(set(map(_case_of, still)))
                print(f"{count} outdated predictions are in {kept} until every case has a new one")
            scans = self._noted() | {case.id: self._stamp(case) for case in self.cases}
            write_text(
                self.note,
                json.dumps({**self._made_by, "made_by": list(map(note_of, self.weights)), "scans": scans}, indent=1),
            )

    def _missing(self, cases: Sequence[Case]) -> list[Case]:
        scans = self._noted()
        return [case for case in cases if not (scans.get(case.id) == self._stamp(case) and self._current(case))]

    def _outdated(self) -> dict[Path, list[int] | None]:
        """Files of predictions that a run like this one would make again or has not made, with their stamps."""
        files = {path: stamp(path) for path in visible(self.folder) if _case_of(path) is not None}
        kept = set(self._noted()) - {case.id for case in self._missing(self.cases)}
        return {path: at for path, at in files.items() if _case_of(path) not in kept}

    def _all_made_again(self) -> bool:
        """Whether all cases have a prediction, also those of other sections whose outdated ones were set aside."""
        aside = {_case_of(path) for path in (self.folder / PREVIOUS_FOLDER).glob("*/*")}
        return not self._missing(self.cases) and aside <= set(map(_case_of, visible(self.folder)))

    @cached_property
    def _made_by(self) -> dict[str, object]:
        tool = {"tool": key(self.tool.numbers)} if self.tool is not None and self.tool.used else {}
        files = [*self.weights, *map(calibration_path, self.weights)]
        made_of = list(map(checksum_of, files))
        config = {name: value for name, value in self.job.config.items() if name != "section"}  # which cases, not how
        labels = self.job.origin.get("labels")
        return {"weights": made_of, "config": config_digest(config), "labels": labels, "resampling": RESAMPLING, **tool}

    def _noted(self) -> dict[str, list[int | str | None]]:
        """The scans whose predictions were made as this run would make them; none if that is unknown."""
        note = noted(self.note)
        alike = all(note.get(name) == value for name, value in self._made_by.items())
        return dict(note["scans"]) if alike and isinstance(note.get("scans"), dict) else {}

    def _stamp(self, case: Case) -> list[int | str | None]:
        """Size and time of a scan, and checksums of its maps, and of the coarse weights where these segment it."""
        found: list[int | str | None] = [*_scan_stamp(case)]
        if self.coarse is not None and needs_coarse(case.id, self.attention_dir, self.tool, self.lacking):
            found.append(self._coarse_checksum)
        maps = [path for path in self._maps(case) if path.is_file() and not self._to_be_made(path)]
        return [*found, key(list(map(checksum, maps)))] if maps else found

    def _to_be_made(self, path: Path) -> bool:
        """Whether the command of another tool makes a map, perhaps in this run, after the scans are noted."""
        return self.tool is not None and self.tool.command is not None and path.is_relative_to(self.tool.made)

    def _maps(self, case: Case) -> list[Path]:
        """The files of a case's coarse map, whether there or not: another tool's come before attention maps."""
        if self.tool is not None and self.tool.gives(case.id):
            return self.tool.sources(case.id)
        return [attention_path(self.attention_dir, case.id)]

    @cached_property
    def _coarse_checksum(self) -> int | None:
        return checksum_of(self.coarse)

    def _current(self, case: Case) -> bool:
        sources = list(filter(Path.exists, [case.image, *self._maps(case)]))
        made = self.path(case)
        if not newer(made, sources):
            return False
        if not (self.dicom_seg and case.image.is_dir()) or newer(self.folder / f"{case.id}.dcm", sources):
            return True
        try:
            written: Any = nib.load(made)
            return not np.asanyarray(written.dataobj).any()  # of a scan without organs there is no .dcm
        except (OSError, EOFError, nib.filebasedimages.ImageFileError):
            return False


def _case_of(path: Path) -> str | None:
    """The case that a file of a prediction is of; None for other files."""
    return next((path.name.removesuffix(end) for end in PREDICTION_SUFFIXES if path.name.endswith(end)), None)


def _scan_stamp(case: Case) -> list[int]:
    """Size and time of a scan, which differ for another scan of the same id."""
    found = stamp(case.image)
    if found is None:
        raise SemclError(
            "a file of the datalist is missing",
            case=case.id,
            found=f"no {case.image}",
            expected="the scan",
            remedy="restore it, or run `python -m scripts prepare` again; predictions are left as they are",
        )
    return found
