"""The folder of attention maps as the coarse stage's own output."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from ..cohort.case import Case, input_files
from ..intake.given_maps import ToolMaps
from ..outputs import Output


def claim_attention(folder: str, cases: Sequence[Case], tool: ToolMaps | None = None) -> None:
    """Claim a folder to write attention maps into, and that of the maps that another tool is called for.

    Raises:
        SemclError: when it holds scans, label maps or anything else that the coarse network did not write.
    """
    Output(Path(folder), "attention maps", "--attention_dir").claim(input_files(cases))
    if tool is not None:
        tool.claim(cases)


def claim_partial(folder: Path, cases: Sequence[Case]) -> None:
    """Claim the folder for the maps of an unfinished run; what an earlier run left in it stays until this one has maps.

    Raises:
        SemclError: when it holds anything else.
    """
    _partial(folder).claim(input_files(cases))


def empty_partial(folder: Path) -> None:
    """Remove the maps that an earlier run left in the folder for those of an unfinished run."""
    shutil.rmtree(folder)
    _partial(folder).claim()


def _partial(folder: Path) -> Output:
    return Output(folder, "attention maps of a run that has not ended", "--attention_dir")
