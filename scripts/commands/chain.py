"""The stages that ``semcl run`` has completed for a cohort, as its folder notes them."""

from __future__ import annotations

import hashlib
import itertools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

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
    """

    path: Path
    keys: tuple[str, ...]
    labelled: str

    @classmethod
    def of(cls, cohort: Path, cases: Sequence[Case], overlay: Path | None) -> Chain:
        """The chain of a cohort and an overlay."""
        from ..cohort.case import digest
        from ..cohort.lineage import cohort_states
        from .stages import MARK

        text = overlay.read_text(encoding="utf-8") if overlay else ""
        if overlay and not text.startswith(MARK):  # it will be kept
            text = MARK + text
        hashes = [hashlib.sha256(f"{state} {text}".encode()).hexdigest()[:12] for state in cohort_states(cohort)]
        used = digest([case for case in cases if case.label is not None or case.fold is None])
        return cls(cohort / "jobs" / CHAIN_NOTE, tuple(hashes), used)

    def begun(self) -> bool:
        """Whether the note is about this very state of the cohort, with these label maps and this overlay."""
        note = self._read()
        return (note.get("key"), note.get("labelled")) == (self.keys[0], self.labelled)

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
        if note.get("labelled") != self.labelled:
            known = [stage for stage in known if stage in ALL_STAGES[: ALL_STAGES.index("train")]]
        return list(itertools.takewhile(lambda stage: stage in known, stages))

    def teaching(self) -> bool:
        """Whether self-training was begun for this very state of the cohort, and has not completed."""
        return self.begun() and self._read().get("teaching") is True

    def note(self, done: Sequence[str], taught: bool) -> None:
        """Write which stages have completed, and whether self-training is still to."""
        from ..files import write_text

        content: dict[str, Any] = {"key": self.keys[0], "labelled": self.labelled, "done": list(done)}
        if taught and TAUGHT[-1] not in done:
            content["teaching"] = True
        write_text(self.path, json.dumps(content, indent=1))

    def _read(self) -> dict[str, Any]:
        from ..sidefiles import for_show, plain_note

        return dict((for_show(self.path, plain_note) if self.path.is_file() else None) or {})
