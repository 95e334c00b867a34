"""Stages run by several ranks on this machine as under torchrun, each forked from one warm process."""

from __future__ import annotations

import multiprocessing
import os
import runpy
import socket
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from scripts.coarse.samples import ReadCoarse
from scripts.contrast.positives import PrepareViews
from scripts.refine.refiner import PrepareQueries
from tests.stages import FORKED, ROOT, run_logged

PATIENCE = 120  # seconds a test waits for its ranks


def free_port() -> int:
    """A free port."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def run_ranks(
    stage: str, ranks: int, out: Path, harm: Callable[[int], None] | None = None, **overrides: Any
) -> list[int]:
    """Run a stage with its smallest numbers and the overlay; exit codes. Rank n logs to out/rank<n>.log."""
    out.mkdir(parents=True, exist_ok=True)
    port = free_port()
    given = {"output_dir": str(out), **overrides}
    processes = [
        FORKED.Process(target=_run, args=(stage, rank, ranks, port, out / f"rank{rank}.log", harm, given), daemon=True)
        for rank in range(ranks)
    ]
    for process in processes:
        process.start()
    try:
        end = time.monotonic() + PATIENCE
        for process in processes:
            process.join(max(end - time.monotonic(), 0))
        return [process.exitcode if process.exitcode is not None else -1000 for process in processes]
    finally:
        for process in processes:
            if process.is_alive():
                process.kill()
                process.join()


def run_program(words: Sequence[str], folder: Path) -> str:
    """The output of ``python *words`` in a folder, without the seconds that imports take."""
    log = folder / "program.log"
    process = FORKED.Process(target=_program, args=(list(words), folder, log))
    process.start()
    process.join()
    found = log.read_text()
    assert process.exitcode == 0, f"python {' '.join(words)}:\n{found[-6000:]}"
    return found


def _program(words: list[str], folder: Path, log: Path) -> None:
    os.chdir(folder)
    with open(log, "w") as file:
        for number in (1, 2):
            os.dup2(file.fileno(), number)
    multiprocessing.set_start_method("fork", force=True)  # as in a process of its own
    sys.path.insert(0, str(folder))
    sys.argv = words[1:] if words[0] == "-m" else words
    if words[0] == "-m":
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(words[0], run_name="__main__")


def logs(out: Path) -> str:
    """The end of every rank's log, to be shown when a test fails."""
    return "\n".join(f"--- {path.name}\n{path.read_text()[-3000:]}" for path in sorted(out.glob("rank*.log")))


def _run(
    stage: str, rank: int, ranks: int, port: int, log: Path, harm: Callable[[int], None] | None, given: dict[str, Any]
) -> None:
    launched = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": ranks, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    if ranks > 1:
        os.environ.update({name: str(value) for name, value in launched.items()})
    overlay = ROOT / "bundle" / "configs" / "multi_gpu_train.yaml"
    run_logged(log, None if harm is None else partial(harm, rank), stage, overlay, **given)


def in_float64(rank: int) -> None:
    """Make networks and batches float64: rounding then stays far below what a test checks."""
    torch.set_default_dtype(torch.float64)
    for owner in (PrepareViews, PrepareQueries):
        owner.__call__ = _doubled(owner.__call__)
    read = ReadCoarse.__call__
    ReadCoarse.__call__ = lambda self, data: {**(sample := read(self, data)), "image": sample["image"].double()}


def _doubled(prepare: Callable[..., Any]) -> Callable[..., Any]:
    def prepared(*given: Any, **named: Any) -> Any:
        inputs, labels = prepare(*given, **named)
        masks = isinstance(labels, torch.Tensor) and labels.is_floating_point()
        return inputs.double(), labels.double() if masks else labels

    return prepared
