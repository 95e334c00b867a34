"""Options that only some stages have."""

from __future__ import annotations

from collections.abc import Iterator

from ..errors import SemclError

RESUMED = ("coarse", "pretrain", "train", "segment", "pretrain_slices")  # stages that write checkpoints
SHARDED = ("maps", "store", "inference", "segment_inference", "evaluate")  # stages over cases, which runs can share


def not_for_the_stage(stage: str, resume: bool, shard: object) -> Iterator[SemclError]:
    """Yield the errors of options that a stage does not have."""
    for name, given, stages in (("resume", resume, RESUMED), ("shard", shard, SHARDED)):
        if given and stage not in stages:
            yield SemclError(
                f"{stage} has no option --{name}",
                found=f"--{name} {given}",
                expected=f"--{name} only with {', '.join(stages)}",
                remedy=f"leave out --{name}",
            )
