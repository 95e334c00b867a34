"""Runs stages as a user would, small."""

from __future__ import annotations

import ast
import atexit
import multiprocessing
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from monai.bundle import ConfigWorkflow

from scripts.errors import root_cause
from scripts.job.job import Job
from scripts.job.plain_errors import explain
from scripts.signals import ENDING

# one process imports the package, and each run in a process of its own is a fork of it
FORKED = multiprocessing.get_context("forkserver")
FORKED.set_forkserver_preload(["tests.warm"])

ROOT = Path(__file__).parent.parent
NO_SETTINGS = {"parts": [], "settings": {}}  # in the note of weights: they fit whatever a stage is given

# the smallest numbers with which every stage still has something to do
SMALL = {
    "coarse": {
        "coarse_size": "[40,36,24]",
        "coarse_channels": "[8,16,32]",
        "coarse_strides": "[2,2]",
        "max_epochs": 3,
        "epoch_length": 15,
    },
    "pretrain": {"patch_size": 32, "spacing": "[5,5,0]", "widths": "[4,8,8,16]", "max_epochs": 2, "epoch_length": 3},
    "train": {
        "patch_size": 32,
        "spacing": "[5,5,0]",
        "widths": "[4,8,8,16]",
        "decoder_width": 16,
        "max_epochs": 2,
        "epoch_length": 10,
    },
    "inference": {
        "coarse_size": "[40,36,24]",
        "coarse_channels": "[8,16,32]",
        "coarse_strides": "[2,2]",
        "patch_size": 32,
        "spacing": "[5,5,0]",
        "widths": "[4,8,8,16]",
        "decoder_width": 16,
    },
    "evaluate": {},
    "maps": {"coarse_size": "[40,36,24]", "coarse_channels": "[8,16,32]", "coarse_strides": "[2,2]"},
    "segment": {
        "segment_size": "[80,64]",
        "spacing": "[5,5,0]",
        "widths": "[4,8,8,16]",
        "decoder_width": 16,
        "batch_size": 2,
        "max_epochs": 2,
        "epoch_length": 3,
    },
    "pretrain_slices": {
        "segment_size": "[80,64]",
        "spacing": "[5,5,0]",
        "widths": "[4,8,8,16]",
        "batch_size": 4,
        "max_epochs": 2,
        "epoch_length": 3,
    },
    "segment_inference": {
        "segment_size": "[80,64]",
        "spacing": "[5,5,0]",
        "widths": "[4,8,8,16]",
        "decoder_width": 16,
    },
    "store": {"patch_size": 32, "spacing": "[5,5,0]"},
    "audit": {"patch_size": 32, "spacing": "[5,5,0]", "widths": "[4,8,8,16]"},
    "embed": {"patch_size": 32, "spacing": "[5,5,0]", "widths": "[4,8,8,16]"},
}


def run_stage(
    config_files: list[Path | str], cwd: Path = ROOT, **overrides: object
) -> subprocess.CompletedProcess[str]:
    """``python -m monai.bundle run`` with the configs and overrides, in a process of its own."""
    files = [str(file) for file in config_files]
    named = files[0] if len(files) == 1 else str(files)
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", named]
    for key, value in overrides.items():
        command += [f"--{key}", str(value)]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def workflow_of(stage: str, *overlays: str | Path, **overrides: object) -> ConfigWorkflow:
    """A stage with its smallest numbers, and overlays by name or path, not run yet."""
    files = [
        one if isinstance(one, Path) else ROOT / "bundle" / "configs" / f"{one}.yaml" for one in (stage, *overlays)
    ]
    config = list(map(str, files))
    given = {key: str(value) if isinstance(value, Path) else value for key, value in overrides.items()}
    given = {"bundle_root": str(ROOT / "bundle"), **small_numbers(stage), **given}
    return ConfigWorkflow(config, logging_file=False, **given)


def small_numbers(stage: str) -> dict[str, object]:
    """The smallest numbers of a stage, as Python has them."""
    return {key: ast.literal_eval(value) if isinstance(value, str) else value for key, value in SMALL[stage].items()}


def run_here(stage: str, *overlays: Path, **overrides: object) -> None:
    """A stage with its smallest numbers, in this process."""
    with as_if_a_process_ended():
        workflow = workflow_of(stage, *overlays, **overrides)
        workflow.initialize()
        workflow.run()


@contextmanager
def as_if_a_process_ended() -> Iterator[None]:
    """Clean up after the runs inside: hooks, handlers, locks, and manifests marked as running."""
    hook = sys.excepthook
    handlers = {number: signal.getsignal(number) for number in (*ENDING, signal.SIGALRM, signal.SIGCHLD)}
    begin, jobs = Job.begin, []

    def note(job: Job) -> None:
        jobs.append(job)
        begin(job)

    Job.begin = note
    try:
        yield
    finally:
        Job.begin = begin
        sys.excepthook = hook
        for job in jobs:
            job._left()
            job._release()
            atexit.unregister(job._left)
        for number, handler in handlers.items():
            signal.signal(number, handler)


def refusal(stage: str, **overrides: object) -> str:
    """The error message of a stage."""
    try:
        run_here(stage, **overrides)
    except Exception as error:
        cause = root_cause(error)
        if cause is None:
            raise
        return str(cause)
    raise AssertionError(f"{stage} did not refuse")


def run_small(stage: str, cwd: Path = ROOT, **overrides: object) -> subprocess.CompletedProcess[str]:
    """A stage with its smallest numbers, from any folder."""
    return run_stage([ROOT / "bundle" / "configs" / f"{stage}.yaml"], cwd, **(SMALL[stage] | overrides))


def run_logged(log: Path, harm: Callable[[], None] | None, stage: str, *overlays: str | Path, **given: object) -> None:
    """Run a stage in a process of its own: its output goes to ``log``, an error is exit code 1.

    ``harm`` is done to the process first.
    """
    with open(log, "a") as file:
        for number in (1, 2):
            os.dup2(file.fileno(), number)
    torch.set_num_threads(1)
    if harm is not None:
        harm()
    try:
        run_here(stage, *overlays, **given)
    except Exception as error:
        cause = explain(error)
        if cause is None:
            traceback.print_exc()
        print(f"error: {cause}", file=sys.stderr)
        sys.exit(1)
    finally:
        sys.stderr.flush()
