"""The label maps of a run of inference: which are still to be made, and which of an earlier run can stay."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from monai.engines import Evaluator

from ..cohort.attention import attention_path
from ..cohort.datalist import Case
from ..files import checksum, write_text
from ..job.config import digest
from ..job.job import Job
from .calibration import calibration_path


class Predictions:
    """A folder of predictions, all made by the same weights and config, each newer than what it was made of.

    What is there and whole is kept, so an interrupted run goes on where it stopped; predictions made otherwise are
    removed before the first new one is written.

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
        return self.folder / f"{case.case}.nii.gz"

    def missing(self) -> list[Case]:
        """The cases without a prediction that can stay."""
        scans = self._noted()
        return [case for case in self.cases if not (scans.get(case.case) == _stamp(case) and self._current(case))]

    def run(self, evaluator: Evaluator) -> None:
        """Run an evaluator that was built over ``missing``, if there is anything to do."""
        missing = self.missing()
        if len(missing) < len(self.cases):
            print(f"{len(self.cases) - len(missing)} of {len(self.cases)} predictions are there and are kept")
        for case in missing:
            self.path(case).unlink(missing_ok=True)
        scans = self._noted() | {case.case: _stamp(case) for case in self.cases}
        write_text(self.note, json.dumps({**self._made_by(), "scans": scans}, indent=1))
        if missing:
            evaluator.run()

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
    stat = case.image.stat()
    return [stat.st_size, stat.st_mtime_ns]
