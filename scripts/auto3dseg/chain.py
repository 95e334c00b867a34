"""All stages in a row, by the bundle's own configs, and the score of the validation fold."""

from __future__ import annotations

import gc
import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
import yaml
from monai.bundle import ConfigWorkflow

from .. import ranks
from ..bundle_folder import bundle_folder
from ..cohort import datalist
from ..cohort.label_table import LabelTable
from ..files import write_text
from ..job.plain_errors import plain_errors
from ..job.shipped_configs import shipped
from ..sidefiles import shown_note
from .bundle import check_numbers
from .flat_names import CHAIN_STAGES, TRAINED, config_of
from .generated import Generated
from .score import validation_dice

PATIENCE = 120  # minutes a rank waits for the others
PROGRESS = "progress.yaml"


def train(config_file: str | Sequence[str], **override: Any) -> None:
    """Run coarse, pretrain, train and inference on the fold's cohort, and write its score where Auto3DSeg expects it.

    Called again after an interruption, it goes on in the stage it was in; called again after its end, or with other
    numbers, it starts over. Each stage writes its usual files: docs/runs.md. Ranks, where torchrun started several,
    share every stage.

    Args:
        config_file: the files of configs/ of the generated folder, as a list or separated by commas.
        override: numbers by the names of ``staged``; others belong to other algorithms.

    Raises:
        SemclError: for numbers that no config has, before an earlier run is touched; errors of the stages; and when no
            validation case has an organ.
    """
    plain_errors()
    ranks.join_ranks(PATIENCE)
    algorithm = Generated.read(config_file, override)
    check_numbers(algorithm.numbers, CHAIN_STAGES)
    if algorithm.ignored and ranks.number() == 0:
        print(f"SemCL ignores {', '.join(algorithm.ignored)}, which it does not have")
    begun, goes_on = ranks.gathered(_begin(algorithm) if ranks.number() == 0 else None)[0]
    for stage in CHAIN_STAGES:
        if stage in begun["done"]:
            continue
        ranks.first_alone(partial(_note, algorithm, begun))
        _run(algorithm, stage, goes_on)
        begun["done"].append(stage)
    ranks.first_alone(partial(_note, algorithm, begun))
    leads = ranks.number() == 0
    ranks.leave_ranks()  # MONAI's metrics would wait for all of them
    if leads:
        _score(algorithm)


def _note(algorithm: Generated, begun: Mapping[str, Any]) -> None:
    write_text(algorithm.note, json.dumps(begun, indent=1))


def _begin(algorithm: Generated) -> tuple[dict[str, Any], bool]:
    """What has been done with these numbers, and whether a run goes on with it."""
    progress = algorithm.models / PROGRESS
    begun: dict[str, Any] = {"numbers": json.loads(json.dumps(algorithm.numbers)), "done": []}
    noted = shown_note(algorithm.note)
    goes_on = (
        not progress.is_file() and noted.get("numbers") == begun["numbers"] and isinstance(noted.get("done"), list)
    )
    progress.unlink(missing_ok=True)
    return (noted if goes_on else begun), goes_on


def _score(algorithm: Generated) -> None:
    cases = datalist.load(algorithm.cohort, "testing", need_label=True)
    table, predictions = LabelTable.load(algorithm.cohort), algorithm.cohort / "predictions"
    organs = validation_dice(cases, table, predictions, algorithm.numbers["common"].get("image_channels", 1))
    score = {"best_avg_dice_score": sum(organs.values()) / len(organs), "fold": algorithm.fold, "organs": organs}
    write_text(algorithm.models / PROGRESS, yaml.safe_dump([score], sort_keys=False))


def _run(algorithm: Generated, stage: str, goes_on: bool) -> None:
    overrides = algorithm.overrides(stage)
    config, _ = config_of(stage, algorithm.numbers)
    if goes_on and stage in TRAINED:
        checkpoint = algorithm.cohort / "jobs" / f"{config}.checkpoint.pt"
        overrides["resume"] = ranks.gathered(checkpoint.is_file())[0]
    tracking = algorithm.tracking if stage in TRAINED else {}
    shares = for_ranks(config, overrides, ranks.count()) if stage in TRAINED else {}
    workflow = ConfigWorkflow(algorithm.config(stage), logging_file=False, **tracking, **{**overrides, **shares})
    workflow.initialize()
    workflow.run()
    workflow.finalize()
    del workflow
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def for_ranks(config: str, numbers: Mapping[str, Any], count: int) -> dict[str, int]:
    """Numbers of a stage that trains, instead of those given, with which ranks can share its batches evenly.

    Args:
        config: its name.
        numbers: those given.
        count: of ranks.
    """
    if count == 1:
        return {}
    of_batch = "queries_per_cluster" if config in ("pretrain", "train") else "batch_size"
    own = shipped(bundle_folder(), config).own[of_batch]
    return {of_batch: -(-int(numbers.get(of_batch, own)) // count) * count}
