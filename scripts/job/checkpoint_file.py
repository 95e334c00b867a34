"""The file of a checkpoint: written whole, read as plain tensors, and kept when another run would replace it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from ..errors import SemclError
from ..files import written_whole


def write_checkpoint(path: Path, state: Mapping[str, Any], before: Callable[[], None]) -> None:
    """Write a checkpoint; the one before stays until this one is whole.

    Args:
        path: of the file.
        state: its content.
        before: called once the new one is whole, and before it takes the place of the old one.

    Raises:
        SemclError: when it cannot be written.
    """
    failure = None
    try:
        with written_whole(path) as aside:
            torch.save(dict(state), aside)
            before()
    except (OSError, RuntimeError) as error:  # torch's writer raises RuntimeError where the disk is full
        failure = str(error).splitlines()[0]
    if failure is not None:  # raised here, since the first error's frames hold the file, and with it the disk
        raise SemclError(
            "the checkpoint cannot be written",
            found=f"{path}: {failure}",
            expected="room on the disk, and leave to write",
            remedy="make room, then go on with --resume True: the last whole checkpoint is untouched",
        )


def load_checkpoint(path: Path, last: str) -> dict[str, Any]:
    """Return the state of a checkpoint.

    Args:
        path: of the file.
        last: how the last run ended, for an error; empty where that is not known.

    Raises:
        SemclError: when there is none, or it cannot be read.
    """
    if not path.is_file():
        raise nothing_to_resume(path, last)
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        for part in ("origin", "config"):
            _ = dict(state[part])  # or it is something else
    except Exception as error:  # a damaged file raises whatever its reader meets first
        raise SemclError(
            "the checkpoint cannot be read",
            found=f"{path}: {type(error).__name__}",
            expected="a checkpoint as this stage writes it",
            remedy="remove it and start the run again",
        ) from error
    return state


def nothing_to_resume(path: Path, last: str) -> SemclError:
    """Return the error of a run without a checkpoint; arguments of ``load_checkpoint``."""
    return SemclError(
        "there is nothing to resume",
        found=f"no {path}{f'; the last run {last}' if last else ''}",
        expected="the checkpoint of an interrupted run, or a finished one and a larger --max_epochs",
        remedy="leave out --resume to start a run, or point --output_dir at the interrupted one",
    )


def keep_last_state(path: Path, finished: Path, rounds: int) -> None:
    """Keep the last checkpoint of a run that has ended, to go on from with more epochs.

    Args:
        path: of the checkpoint; nothing is done where there is none.
        finished: what it becomes.
        rounds: networks trained before the last one; where there are any, it is removed: it knows the last one alone.
    """
    if rounds:
        path.unlink(missing_ok=True)
    elif path.is_file():
        path.replace(finished)


def keep_checkpoint(path: Path, stage: str) -> None:
    """Keep the checkpoint of an interrupted run under another name, and say so."""
    kept = path.replace(path.with_name(f"{stage}.checkpoint.previous.pt"))
    print(f"{stage}: started from scratch; the interrupted run's checkpoint is kept as {kept}", file=sys.stderr)
