"""The stages of a strategy with their shares of the budget: in which order they run, and what they need."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from ..errors import SemclError
from ..job.overlays import STAGES

SELF_TRAINING = "self_training"  # the plain network learns from what the pipeline makes of scans without label maps
# stages that spend the budget, in the order they run, and the order where a plain network makes the maps
PIPELINE_STAGES = ("coarse", "pretrain", "train", "pretrain_slices", "segment", SELF_TRAINING)
FROM_SLICES = ("pretrain_slices", "segment", "pretrain", "train", SELF_TRAINING)
ENDS = {  # last stage -> the one that predicts
    "coarse": None,
    "train": "inference",
    "segment": "segment_inference",
}
NEEDS = {  # stage -> those without all of which it makes no sense
    SELF_TRAINING: ("segment",),
    "train": ("coarse", "segment"),
    "pretrain": ("coarse", "segment"),
    "pretrain_slices": ("segment",),
}


def in_order(shares: Mapping[str, float]) -> dict[str, float]:
    """The stages of a strategy in the order they run."""
    order = FROM_SLICES if {"segment", "train"} <= set(shares) else PIPELINE_STAGES
    return {stage: shares[stage] for stage in order if stage in shares}


def predictor(stages: Iterable[str]) -> str | None:
    """The stage that predicts with what stages have trained, given in order; None for a coarse network alone."""
    return ENDS[[stage for stage in stages if stage != SELF_TRAINING][-1]]


def teacher(stages: Iterable[str]) -> str:
    """The stage that makes pseudo-labels of scans without label maps: with a refiner, or else the plain network."""
    return "pseudo_labels" if "train" in stages else "plain_pseudo_labels"


def check_stages(path: Path, stages: object) -> None:
    """Refuse a strategy whose stages do not make a pipeline, or spend more than the budget.

    Raises:
        SemclError: saying what is missing.
    """
    shares = dict(stages) if isinstance(stages, Mapping) else {}
    wrong = ""
    if not shares:
        wrong = f"no key {STAGES}"
    elif unknown := [stage for stage in shares if stage not in PIPELINE_STAGES]:
        wrong = f"no training stage {unknown[0]}"
    elif not all(isinstance(share, int | float) and 0 < share <= 1 for share in shares.values()):
        wrong = f"shares {', '.join(f'{stage} {share}' for stage, share in shares.items())}"
    elif sum(shares.values()) > 1 + 1e-9:
        wrong = f"shares that add up to {sum(shares.values()):g}"
    elif lacking := [stage for stage, others in NEEDS.items() if stage in shares and not set(others) & set(shares)]:
        wrong = f"{lacking[0]} without {' or '.join(NEEDS[lacking[0]])}"
    elif "pretrain" in shares and not {"train", "segment"} & set(shares):
        wrong = "pretrain without train or segment"
    elif not _one_pipeline(set(shares)):
        wrong = f"{', '.join(shares)}, which are not one pipeline"
    if wrong:
        raise SemclError(
            f"{path} does not say how a strategy is trained",
            found=wrong,
            expected="stages with shares of the training budget that add up to at most 1, such as "
            "stages: {segment: 0.5, pretrain: 0.2, train: 0.3}, {coarse: 0.4, train: 0.6} or {segment: 1.0}",
            remedy=f"edit {path}",
        )


def _one_pipeline(stages: set[str]) -> bool:
    """Whether stages end in predictions, and one of them makes the maps, for queries alone."""
    if SELF_TRAINING in stages and "coarse" in stages:
        return False
    stages = stages - {SELF_TRAINING}
    if {"segment", "train"} <= stages:
        return "coarse" not in stages
    ends = max(stages, key=PIPELINE_STAGES.index) in ENDS
    return (
        ends
        and ("pretrain" not in stages or "coarse" in stages)
        and ("pretrain" in stages or not {"coarse", "segment"} <= stages)
    )
