"""The stages that ``semcl run`` has completed for a cohort, as its folder notes them."""

from __future__ import annotations

import hashlib
import itertools
import json
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..cohort.case import Case

ALL_STAGES = ("coarse", "pretrain", "train", "self_training", "inference", "evaluate")
TAUGHT = ("pseudo_labels", "self_training")  # the configs of self-training
CHAIN_NOTE = "run.json"  # in jobs/: what the stages were run with, and those that have completed


@dataclass(frozen=True)
class Chain:
    """The stages that have completed for a cohort, noted in its jobs/.

    Args:
        path: of the note.
        keys: hashes of what the stages are run with, for this state of the cohort and for those it extends.
        labelled: a hash of the cases that training and testing depend on.
        organs: a hash of those of the label table.
        files: a hash of sizes and times of scans and label maps.
    """

    path: Path
    keys: tuple[str, ...]
    labelled: str
    organs: str
    files: str

    @classmethod
    def of(cls, cohort: Path, cases: Sequence[Case], overlay: Path | None) -> Chain:
        """The chain of a cohort and an overlay.

        Raises:
            SemclError: for a folder that is no cohort.
        """
        from ..cohort.case import digest, input_files
        from ..cohort.datalist import DATALIST_FILE
        from ..cohort.label_table import LabelTable
        from ..cohort.lineage import cohort_states
        from ..errors import SemclError
        from ..freshness import key, stamp
        from .stages import MARK

        if not (cohort / DATALIST_FILE).is_file():
            raise SemclError(
                f"{cohort} is not a cohort",
                found=f"no {DATALIST_FILE} in it",
                expected="the folder that prepare has made",
                remedy="run semcl prepare first, or point --dataset_dir at its --out",
            )
        text = overlay.read_text(encoding="utf-8") if overlay else ""
        if overlay and not text.startswith(MARK):  # it will be kept
            text = MARK + text
        hashes = [hashlib.sha256(f"{state} {text}".encode()).hexdigest()[:12] for state in cohort_states(cohort)]
        used = digest([case for case in cases if case.label is not None or case.fold is None])
        organs = LabelTable.load(cohort).organs_digest()
        files = key([stamp(path) for path in input_files(cases)])
        return cls(cohort / "jobs" / CHAIN_NOTE, tuple(hashes), used, organs, files)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other runs of all stages out meanwhile.

        Raises:
            SemclError: when there is one.
        """
        from ..job.lock import Locks

        locks = Locks(self.path.parent)
        locks.claim({"all stages": False})
        try:
            yield
        finally:
            locks.release()

    def begun(self) -> bool:
        """Whether the note is about this very state of the cohort, with these label maps and this overlay."""
        note = self._read()
        alike = (note.get("key"), note.get("labelled")) == (self.keys[0], self.labelled)
        return alike and note.get("organs", self.organs) == self.organs

    def changed(self) -> bool:
        """Whether scans or label maps are others than when the first stage was run, or have other times."""
        return self.begun() and self._read().get("files", self.files) != self.files

    def grown(self) -> bool:
        """Whether the note is about a state of the cohort before scans were added."""
        return self._read().get("key") in self.keys[1:]

    def done(self, stages: Sequence[str]) -> list[str]:
        """The stages, from the first on, that have completed with the same numbers and this cohort or one it extends.

        Where label maps, or scans to be tested, were added, training and what follows it have not.
        """
        note = self._read()
        listed = note.get("done")
        known = listed if isinstance(listed, list) and note.get("key") in self.keys else []
        if note.get("organs", self.organs) != self.organs:
            known = []
        if note.get("labelled") != self.labelled:
            known = [stage for stage in known if stage in ALL_STAGES[: ALL_STAGES.index("train")]]
        return list(itertools.takewhile(lambda stage: stage in known, stages))

    def teaching(self) -> bool:
        """Whether self-training was begun for this very state of the cohort, and has not completed."""
        return self.begun() and self._read().get("teaching") is True

    def note(self, done: Sequence[str], taught: bool) -> None:
        """Write which stages have completed, and whether self-training is still to."""
        from ..files import write_text

        files = self._read().get("files", self.files) if done and self.begun() else self.files
        content: dict[str, Any] = {"key": self.keys[0], "labelled": self.labelled, "organs": self.organs}
        content |= {"files": files, "done": list(done)}
        if taught and TAUGHT[-1] not in done:
            content["teaching"] = True
        write_text(self.path, json.dumps(content, indent=1))

    def _read(self) -> dict[str, Any]:
        from ..sidefiles import shown_note

        return shown_note(self.path)
