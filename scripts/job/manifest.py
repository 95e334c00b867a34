"""The manifest of a run: versions, machine, data, duration, and how it ended."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import time
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from ..outputs import not_own
from ..sidefiles import has_keys
from ..version import __version__

PACKAGES = ("torch", "monai", "pytorch-ignite", "numpy", "nibabel", "itk")


def refuse_strange_run(folder: Path, stage: str, name: str) -> None:
    """Refuse to replace a manifest or checkpoint that is not a stage's; its lock is there before them.

    Args:
        folder: of all three.
        stage: the stage's name.
        name: of the run: the stage's, or that of one of its shards.

    Raises:
        SemclError: naming the first file that no stage wrote.
    """
    lock, manifest = folder / f"{stage}.lock", folder / f"{stage}.json"
    if lock.is_file() and lock.stat().st_size == 0:
        return
    states = (f"{stage}.checkpoint.pt", f"{stage}.checkpoint.previous.pt", f"{stage}.finished.pt")
    names = (f"{name}.json", *states)
    for path in (folder / each for each in names):
        if path.exists() and not has_keys(path if path.suffix == ".json" else manifest, {"stage", "status"}):
            raise not_own(path, "runs", "--output_dir")


def opening(stage: str, folder: str) -> dict[str, Any]:
    """Return what is known when a run starts; ``folder`` is the code's, for its git state."""
    return {
        "stage": stage,
        "status": "running",
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "versions": versions(),
        "machine": {
            "system": f"{platform.system()} {platform.machine()}",
            "cores": os.cpu_count(),
            "gpus": [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())],
        },
        "git": git_state(folder),
    }


def versions() -> dict[str, str | None]:
    """Return the versions of SemCL, Python and the packages that results depend on."""
    return {"semcl": __version__, "python": platform.python_version()} | dict(map(_version, PACKAGES))


def closing(status: str, start: float) -> dict[str, Any]:
    """Return what is known when it ends; ``start`` by ``time.monotonic``."""
    peak = {"resident_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)}
    if torch.cuda.is_available():
        peak["gpu_mib"] = round(torch.cuda.max_memory_allocated() / 2**20)
    return {"status": status, "seconds": round(time.monotonic() - start, 1), "peak_memory": peak}


def git_state(folder: str) -> dict[str, Any] | None:
    """Return the commit of the code, and whether it was changed since; None without git."""

    def ask(*words: str) -> str:
        command = ["git", "-C", folder, *words]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        return {"commit": ask("rev-parse", "HEAD"), "changed": bool(ask("status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return None


def _version(name: str) -> tuple[str, str | None]:
    try:
        return name, version(name)
    except PackageNotFoundError:
        return name, None
