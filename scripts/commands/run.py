"""``semcl run``: all stages of a cohort, from attention maps to the report."""

from __future__ import annotations

import gc
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from .arguments import program
from .option_readers import Choice
from .options import checked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..cohort.case import Case

ALL_STAGES = ("coarse", "pretrain", "train", "inference", "evaluate")
WITH_CHECKPOINT = ALL_STAGES[:3]
CHAIN_NOTE = "run.json"  # in jobs/: what the stages were run with, and those that have completed


@checked
def run(
    dataset_dir: str,
    overlay: str | None = None,
    start: Annotated[str, Choice(ALL_STAGES)] | None = None,
    bundle_root: str | None = None,
    **unknown: object,
) -> None:
    """Run all stages on a cohort: attention maps, pretraining, refinement, label maps of the testing cases, report.

    Run again after an interruption it goes on in the stage it was in; stages that have completed are not repeated.

    Args:
        dataset_dir: the cohort, made by prepare.
        overlay: your own numbers, a YAML file, or standard or faithful; kept in the cohort for later commands.
        start: the stage to start with, and repeat: coarse, pretrain, train, inference or evaluate.
        bundle_root: folder of the bundle, by default that of this installation.
    """
    from ..bundle_folder import bundle_folder
    from ..cohort import datalist
    from ..job.closing import CHAINED
    from .stages import check_configs, keep_overlay, overlay_of, run_config

    cohort, root = Path(dataset_dir), Path(bundle_root) if bundle_root else bundle_folder()
    cases = datalist.load(cohort)
    chosen = overlay_of(cohort, overlay, root)
    stages: dict[str, dict[str, Any]] = {stage: {"dataset_dir": dataset_dir} for stage in ALL_STAGES}
    check_configs(root, stages, chosen)
    kept = keep_overlay(chosen, cohort) if chosen else None
    key = _key(kept, cases)
    done = list(ALL_STAGES[: ALL_STAGES.index(start)]) if start else _done(cohort, key)
    again = f"{program()} run --dataset_dir {dataset_dir}"
    if len(done) == len(ALL_STAGES):
        print(f"all stages have completed; {again} --start coarse repeats them")
        return
    CHAINED.set(again)
    for number, stage in enumerate(ALL_STAGES[len(done) :], start=len(done) + 1):
        print(f"\n== {number}/{len(ALL_STAGES)} {stage}", flush=True)
        _note(cohort, key, done)
        if stage in WITH_CHECKPOINT and stage != start:
            stages[stage]["resume"] = (cohort / "jobs" / f"{stage}.checkpoint.pt").is_file()
        run_config(root, stage, kept, stages[stage])
        done.append(stage)
        _note(cohort, key, done)
        gc.collect()


def _key(overlay: Path | None, cases: Sequence[Case]) -> str:
    """Return a hash of what the stages are run with."""
    from ..cohort.case import digest

    text = overlay.read_text(encoding="utf-8") if overlay else ""
    return hashlib.sha256(f"{digest(cases)} {text}".encode()).hexdigest()[:12]


def _done(cohort: Path, key: str) -> list[str]:
    """Return the stages, from the first on, that have completed with the same cohort and numbers."""
    from ..sidefiles import for_show, plain_note

    path = cohort / "jobs" / CHAIN_NOTE
    note = (for_show(path, plain_note) if path.is_file() else None) or {}
    listed = note.get("done")
    count = len(listed) if isinstance(listed, list) and note.get("key") == key else 0
    return list(ALL_STAGES[:count])


def _note(cohort: Path, key: str, done: Sequence[str]) -> None:
    from ..files import write_text

    write_text(cohort / "jobs" / CHAIN_NOTE, json.dumps({"key": key, "done": list(done)}, indent=1))
