"""All stages in a row, by the bundle's own configs, and the score of the validation fold."""

from __future__ import annotations

import gc
import json
from collections.abc import Sequence
from typing import Any

import torch
import yaml
from monai.bundle import ConfigWorkflow

from ..cohort import datalist
from ..cohort.label_table import LabelTable
from ..files import write_text
from ..job.plain_errors import plain_errors
from ..sidefiles import for_show, plain_note
from .bundle import check_numbers
from .generated import CHAIN_STAGES, Generated
from .score import validation_dice

RESUMABLE = ("coarse", "pretrain", "train")
PROGRESS = "progress.yaml"


def train(config_file: str | Sequence[str], **override: Any) -> None:
    """Run coarse, pretrain, train and inference on the fold's cohort, and write its score where Auto3DSeg expects it.

    Called again after an interruption, it goes on in the stage it was in; called again after its end, or with other
    numbers, it starts over. Each stage writes its usual files: docs/runs.md.

    Args:
        config_file: the files of configs/ of the generated folder, as a list or separated by commas.
        override: numbers as "stage#key": "train#max_epochs"; keys without a stage belong to other algorithms.

    Raises:
        SemclError: for numbers that no config has, before an earlier run is touched; errors of the stages; and when no
            validation case has an organ.
    """
    plain_errors()
    algorithm = Generated.read(config_file, override)
    check_numbers(algorithm.numbers, CHAIN_STAGES)
    own = {f"{group}#{key}" for group, numbers in algorithm.numbers.items() for key in numbers}
    ignored = sorted(set(override) - own)
    if ignored:
        print(f"SemCL ignores {', '.join(ignored)}: its own numbers are named stage#key, as in train#max_epochs")
    progress, note = algorithm.models / PROGRESS, algorithm.cohort / "jobs" / "chain.json"
    begun: dict[str, Any] = {"numbers": json.loads(json.dumps(algorithm.numbers)), "done": []}
    noted = (for_show(note, plain_note) if note.is_file() else None) or {}
    goes_on = (
        not progress.is_file() and noted.get("numbers") == begun["numbers"] and isinstance(noted.get("done"), list)
    )
    progress.unlink(missing_ok=True)
    if goes_on:
        begun = noted
    for stage in CHAIN_STAGES:
        if stage in begun["done"]:
            continue
        write_text(note, json.dumps(begun, indent=1))
        _run(algorithm, stage, goes_on)
        begun["done"].append(stage)
    write_text(note, json.dumps(begun, indent=1))
    cases = datalist.load(algorithm.cohort, "testing", need_label=True)
    organs = validation_dice(cases, LabelTable.load(algorithm.cohort), algorithm.cohort / "predictions")
    score = {"best_avg_dice_score": sum(organs.values()) / len(organs), "fold": algorithm.fold, "organs": organs}
    write_text(progress, yaml.safe_dump([score], sort_keys=False))


def _run(algorithm: Generated, stage: str, goes_on: bool) -> None:
    overrides = algorithm.overrides(stage)
    if goes_on and stage in RESUMABLE:
        overrides["resume"] = (algorithm.cohort / "jobs" / f"{stage}.checkpoint.pt").is_file()
    workflow = ConfigWorkflow(algorithm.config(stage), logging_file=False, **overrides)
    workflow.initialize()
    workflow.run()
    workflow.finalize()
    del workflow
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
