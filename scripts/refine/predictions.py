"""The label maps of a run of inference: which are still to be made, and which of an earlier run can stay."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from monai.engines import Evaluator

from .. import ranks
from ..cohort.attention import attention_path
from ..cohort.datalist import Case
from ..errors import SemclError
from ..files import checksum, write_text
from ..job.config_check import digest
from ..job.job import Job
from .calibration import calibration_path
from .volumes import prediction_path


class Predictions:
    """A folder of predictions, all made by the same weights and config, each newer than what it was made of.

    What is there and whole is kept, so an interrupted run goes on where it stopped; predictions made otherwise are
    removed before the first new one is written. A run of a shard makes those of its cases; ranks share what is missing.

    Args:
        folder: of <case>.nii.gz.
        cases: to be segmented.
        weights: files of the refiners' weights.
        attention_dir: of the attention maps, where there are any.
        job: the run.
    """

    def __init__(
        self, folder: str, cases: Sequence[Case], weights: Sequence[str], attention_dir: str, job: Job
    ) -> None:
        self.folder, self.cases, self.weights, self.job = Path(folder), list(cases), list(map(Path, weights)), job
        self.attention_dir = attention_dir
        self.note = self.folder / "predictions.json"

    def path(self, case: Case) -> Path:
        """Where a case's prediction lies."""
        return prediction_path(self.folder, case.case, case.image)

    def missing(self) -> list[Case]:
        """The cases without a prediction that can stay, of this run's shard."""
        return self._missing(self.job.part(self.cases))

    def own(self) -> list[Case]:
        """This rank's part of the missing ones."""
        return ranks.own(self.missing())

    def run(self, evaluator: Evaluator) -> None:
        """Run an evaluator that was built over ``own``, if there is anything to do."""
        own = self.own()
        ranks.first_alone(self._prepare)
        if own:
            evaluator.run()

    def _prepare(self) -> None:
        """Remove what cannot stay, also of other shards, before any of them writes by this note."""
        cases, missing = self.job.part(self.cases), self.missing()
        if len(missing) < len(cases):
            print(f"{len(cases) - len(missing)} of {len(cases)} predictions are there and are kept")
        with self.job.one_at_a_time("predictions"):
            for case in self._missing(self.cases):
                self.path(case).unlink(missing_ok=True)
            scans = self._noted() | {case.case: _stamp(case) for case in self.cases}
            write_text(self.note, json.dumps({**self._made_by(), "scans": scans}, indent=1))

    def _missing(self, cases: Sequence[Case]) -> list[Case]:
        scans = self._noted()
        return [case for case in cases if not (scans.get(case.case) == _stamp(case) and self._current(case))]

    def _made_by(self) -> dict[str, object]:
        files = [*self.weights, *map(calibration_path, self.weights)]
        made_of = [checksum(path) if path.is_file() else None for path in files]
        return {"weights": made_of, "config": digest(self.job.config), "labels": self.job.origin.get("labels")}

    def _noted(self) -> dict[str, list[int]]:
        """The scans of the predictions that were made as this run would; of none where that cannot be told."""
        try:
            note = dict(json.loads(self.note.read_text()))
        except (OSError, ValueError, TypeError):
            return {}
        alike = {key: note.get(key) for key in self._made_by()} == self._made_by()
        return dict(note["scans"]) if alike and isinstance(note.get("scans"), dict) else {}

    def _current(self, case: Case) -> bool:
        path, sources = self.path(case), [case.image, attention_path(self.attention_dir, case.case)]
        made = path.stat().st_mtime_ns if path.is_file() else 0
        return all(made > source.stat().st_mtime_ns for source in sources if source.exists())


def _stamp(case: Case) -> list[int]:
    """By what another scan of the same id is told."""
    if not case.image.exists():
        raise SemclError(
            "a file of the datalist is missing",
            case=case.case,
            found=f"no {case.image}",
            expected="the scan",
            remedy="restore it, or run `python -m scripts prepare` again; predictions stay as they are",
        )
    stat = case.image.stat()
    return [stat.st_size, stat.st_mtime_ns]
