"""A step of a study: one stage with all that its result depends on, in a folder named after that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..freshness import noted
from ..sidefiles import for_show, plain_note
from .clock import FILE_NAME as COST

STEP_ROWS = "rows.csv"
ATTENTION_FOLDER, PREDICTION_FOLDER = "attention", "predictions"  # folders of label maps that a step may leave
LEFT_OUT_NOTE = "left_out.json"  # why an optional step could not be made; without the file it is tried again


@dataclass(frozen=True, eq=False)
class Step:
    """One stage of a strategy on the label maps of a cell. Strategies that agree in all of it share the step.

    Args:
        stage: name of the stage's config.
        key: a hash of all that its result depends on.
        folder: its output.
        files: config files: the stage's.
        overrides: keys of the config, with folders.
        needs: steps whose output it reads.
        predicts: folder of the label maps of testing cases that it leaves, to be measured; None for none.
        counts: whether it spends the training budget.
        seconds: device seconds it should take; None where no budget was set.
        optional: whether the run goes on without it.
    """

    stage: str
    key: str
    folder: Path
    files: tuple[str, ...]
    overrides: Mapping[str, Any]
    needs: tuple[Step, ...] = ()
    predicts: Path | None = None
    counts: bool = True
    seconds: float | None = None
    optional: bool = field(default=False)

    @property
    def manifest(self) -> Path:
        """The path of its manifest."""
        return self.folder / "jobs" / f"{self.stage}.json"

    @property
    def rows(self) -> Path:
        """The path of its measurements."""
        return self.folder / STEP_ROWS

    @property
    def makes_maps(self) -> bool:
        """Whether it leaves attention maps."""
        return self.predicts is not None and self.predicts.name == ATTENTION_FOLDER

    @property
    def completed(self) -> bool:
        """Whether it has run to its end or is left out, and its predictions have been measured."""
        return has_ended(self.manifest, self.optional) and (not self.predicts or self.rows.is_file())

    @property
    def left_out(self) -> str | None:
        """Why it could not be made, for an optional one; None where it was made, or has not been tried."""
        why: str | None = noted(self.folder / LEFT_OUT_NOTE).get("why")
        return why

    @property
    def cost(self) -> dict[str, Any]:
        """What it has cost, as ``Clock`` noted it."""
        return noted(self.folder / COST)

    def described(self) -> dict[str, Any]:
        """What the process that runs it needs to know."""
        return {
            "stage": self.stage,
            "folder": str(self.folder),
            "files": list(self.files),
            "overrides": dict(self.overrides),
            "predicts": str(self.predicts) if self.predicts else None,
            "optional": self.optional,
        }


def has_ended(manifest: Path, optional: bool) -> bool:
    """Whether the stage of a manifest has run to its end, or is left out where it is optional."""
    note = for_show(manifest, plain_note) if manifest.is_file() else None
    completed = note is not None and note.get("status") == "completed"
    return completed or (optional and bool(noted(manifest.parent.parent / LEFT_OUT_NOTE)))
