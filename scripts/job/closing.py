"""What a stage says at its end: what it wrote, its key figure, and the next command."""

from __future__ import annotations

import csv
import shlex
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from contextvars import ContextVar
from pathlib import Path

from monai.bundle import ConfigParser

from ..bundle_folder import is_release
from ..cohort.datalist import DATALIST_FILE
from ..outputs import visible
from ..printable import counted
from . import config_files, overlays

CHAINED: ContextVar[str] = ContextVar("chained", default="")  # the command that runs all stages, where one does
NEXT = {
    "coarse": "pretrain",
    "pretrain": "train",
    "train": "inference",
    "inference": "evaluate",
    "segment": "segment_inference",
    "segment_inference": "evaluate",
}
WRITTEN = ("attention", "store", "predictions", "pseudo", "embeddings", "models")  # in the output folder


def closing_lines(stage: str, output_dir: Path, dataset_dir: str, configs: Path, start: float) -> str:
    """Return the lines about a stage that has completed.

    Args:
        stage: its name.
        output_dir: where it wrote.
        dataset_dir: the cohort, as it was given.
        configs: the bundle's configs.
        start: when it started, by ``time.monotonic``; older files are not its own.
    """
    seconds = time.monotonic() - start
    since = time.time() - seconds
    wrote = list(_written(output_dir, since))
    lines = [f"{stage}: completed in {_duration(seconds)}{'; wrote ' if wrote else ''}{', '.join(wrote)}"]
    figures = key_figures(output_dir / "curves" / f"{stage}.csv", since)
    figures = figures or pace(list(_new(output_dir / "predictions", since)), seconds)
    lines += [f"{stage}: {figures}"] if figures else []
    released = is_release(configs.parent)  # there evaluate.json is an overlay, no stage
    as_coarse = stage == "segment" and any("coarse.pt" in one for one in wrote)  # in the coarse network's place
    taught = (output_dir / "pseudo").is_dir()  # by a refiner: no stage before inference is to come
    following = NEXT.get(("train" if taught else "coarse") if as_coarse else stage)
    pseudo_labels = any(one.startswith(f"{output_dir / 'pseudo'}/") for one in wrote)
    measured = not released and (Path(dataset_dir) / DATALIST_FILE).is_file()  # a folder of scans has no ground truth
    if following and not pseudo_labels and not CHAINED.get() and (measured or following != "evaluate"):
        config = configs / f"{following}.{'json' if released else 'yaml'}"
        lines.append(f"next: {_command(following, config, dataset_dir, output_dir)}")
    return "\n".join(lines)


def _command(stage: str, config: Path, dataset_dir: str, output_dir: Path) -> str:
    """The command that runs a stage as this one was: with the overlays that are for it, and the same folders."""
    with suppress(ValueError):
        config = config.absolute().relative_to(Path.cwd())
    more = [
        file for file in config_files.given_files()[1:] if overlays.is_for(ConfigParser.load_config_file(file), stage)
    ]
    words = ["python", "-m", "monai.bundle", "run", "--config_file", str([str(config), *more]) if more else str(config)]
    words += ["--dataset_dir", dataset_dir]
    if output_dir.resolve() != Path(dataset_dir).resolve():
        words += ["--output_dir", str(output_dir)]
    return shlex.join(words)


def go_on(checkpoint: Path, earlier: bool = False) -> str:
    """Return how an interrupted stage goes on; ``earlier``: the checkpoint is still that of an earlier run."""
    if CHAINED.get():
        return f"go on with {CHAINED.get()}"
    return (
        "go on with --resume True" if checkpoint.is_file() and not earlier else "run it again: what is written is whole"
    )


def some_failed(cases: Sequence[str]) -> str:
    """Return which cases a stage went on without."""
    return f"{counted(len(cases), 'case')} failed, the others are done: {', '.join(cases)}"


def key_figures(curve: Path, since: float) -> str:
    """Return the first and the last loss of a curve's last run, and its other figures at the end; "" without one."""
    if not curve.is_file() or curve.stat().st_mtime < since:
        return ""
    with open(curve, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    own = [row for row in rows if row["run"] == rows[-1]["run"]]
    first, last = own[0], own[-1]
    text = f"loss {float(last['loss']):.3f} after one epoch"
    if len(own) > 1:
        text = f"loss {float(first['loss']):.3f} in the first epoch, {float(last['loss']):.3f} in epoch {last['epoch']}"
    others = [name for name in last if name not in ("stage", "run", "epoch", "loss") and last[name]]
    return ", ".join([text, *(f"{name.replace('_', ' ')} {float(last[name]):.3f}" for name in others)])


def pace(files: Sequence[str], seconds: float) -> str:
    """Return how many scans were segmented and how long one took; "" if none of the files is a prediction."""
    scans = sum(not file.endswith(".json") for file in files)
    return f"{counted(scans, 'scan')}, {seconds / scans:.1f} s each" if scans else ""


def _written(output_dir: Path, since: float) -> Iterator[str]:
    """Yield what was written to each folder: weights by name, else the number of files."""
    for name in WRITTEN:
        folder = output_dir / name
        files = list(_new(folder, since))
        weights = sorted(file for file in files if file.endswith(".pt"))
        if weights:
            yield ", ".join(str(folder / file) for file in weights)
        elif files and name != "models":
            yield f"{folder}/ ({len(files)})"


def _new(folder: Path, since: float) -> Iterator[str]:
    if folder.is_dir():
        yield from (path.name for path in visible(folder) if path.stat().st_mtime >= since)


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
