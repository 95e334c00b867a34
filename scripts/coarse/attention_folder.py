"""The folder of attention maps as the coarse stage's own output."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..cohort.attention import attention_path
from ..cohort.case import Case, input_files
from ..cohort.provenance import ATTENTION
from ..intake.given_maps import ToolMaps
from ..job.job import Job
from ..outputs import Output, visible


def claim_attention(
    folder: str, cases: Sequence[Case], networks: Mapping[str, Path], job: Job, tool: ToolMaps | None = None
) -> None:
    """Claim a folder to write attention maps into, and that of the maps that another tool is called for.

    A folder of an earlier version, which left no marker, is claimed when each map in it was written after its network,
    ``networks``[case], and before the last run of a stage that writes maps ended.

    Raises:
        SemclError: when it holds scans, label maps or anything else that the coarse network did not write.
    """

    def earlier() -> bool:
        notes = [path for stage in ("coarse", "segment", "maps") for path in job.folder.glob(f"{stage}*.json")]
        ended = max([job.last, *(path.stat().st_mtime_ns for path in notes if path != job.manifest)])
        made = {attention_path(folder, case): network for case, network in networks.items()}
        return all(
            path in made and made[path].is_file() and made[path].stat().st_mtime_ns <= path.stat().st_mtime_ns <= ended
            for path in visible(Path(folder))
            if path.name != ATTENTION
        )

    Output(Path(folder), "attention maps", "--attention_dir").claim(input_files(cases), earlier)
    if tool is not None:
        tool.claim(cases)


def claim_partial(folder: Path, cases: Sequence[Case], resume: bool) -> None:
    """Claim the folder for the maps of an unfinished run; what an earlier run left in it stays until this one has maps.

    Raises:
        SemclError: when it holds anything else.
    """
    known = {attention_path(folder, case.id) for case in cases}
    _partial(folder).claim(input_files(cases), lambda: resume and set(visible(folder)) <= known)


def empty_partial(folder: Path) -> None:
    """Remove the maps that an earlier run left in the folder for those of an unfinished run."""
    shutil.rmtree(folder)
    _partial(folder).claim()


def _partial(folder: Path) -> Output:
    return Output(folder, "attention maps of a run that has not ended", "--attention_dir")
