"""Inference from a scan's file to its label map's, by the stage's own config, with clocks between its parts.

``python -m bench.files FOLDER`` prints what the scan of such a folder takes: numbers by the names of ``NAMES``.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from ignite.engine import Events
from monai.bundle import ConfigWorkflow
from torch import nn

from scripts.cohort.resampling import resample, resample_objects, working_shape
from scripts.job.weights import save_weights
from scripts.refine import volumes
from scripts.refine.patches import VolumePatches
from scripts.refine.refiner import Refiner

from .inference import STANDARD
from .scene import AIR_HU, NUMBERS, ORGANS, Copier, encoder_and_decoder, phantom, write_scan
from .timing import forget_peak, in_new_process, memory, table, threads

SHAPES = ((512, 512, 200), (512, 512, 600))
FIELD = 512 * 0.8  # mm along X and Y
DEPTH = 600.0  # mm of the slices together: organs are stretched
NOISE = 10.0  # HU, without which a scan would be read faster than a real one
GRID = {key: STANDARD[key] for key in ("patch_size", "spacing")}
READ, CUT, NETWORK, FUSE, POST, WRITE, REST = PARTS = (
    "reading",
    "resampling and cutting",
    "network",
    "fusing and resampling back",
    "post-processing",
    "writing",
    "the rest",
)
MEMORY, QUERIES, FILE = "peak memory added, MiB", "queries", "the scan's file, MiB"
NAMES = (*PARTS, MEMORY, QUERIES)
GOAL = "under 25 s and 2 GiB on one core, the network's seconds apart"


class Clock:
    """Processor seconds of this process by part; time in a part within another one is not the other's."""

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Count from now on."""
        self.seconds = dict.fromkeys(PARTS, 0.0)
        self.part, self.last = REST, time.process_time()

    def switch(self, part: str, *_: object) -> str:
        """Count the time from now on towards this part, and return the one before."""
        now, before = time.process_time(), self.part
        self.seconds[before] += now - self.last
        self.part, self.last = part, now
        return before

    def timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function with its time counted towards a part."""

        def run(*arguments: Any, **options: Any) -> Any:
            before = self.switch(part)
            try:
                return function(*arguments, **options)
            finally:
                self.switch(before)

        return run


def write_folder(folder: Path, shape: Sequence[int]) -> None:
    """A phantom's scan of this shape, its label map as attention, and weights of an untrained network.

    The body fills all slices, and as much of each as of a clinical one.
    """
    image, every = phantom()
    spacing = [FIELD / shape[0], FIELD / shape[1], DEPTH / shape[2]]
    depth = float(image.pixdim[2]) * image.shape[3]
    body = working_shape(image.shape[1:], image.pixdim.tolist(), [*spacing[:2], depth / shape[2]])
    pad = [0, 0]
    for axis in (1, 0):
        gap = shape[axis] - body[axis]
        pad += [gap // 2, gap - gap // 2]
    voxels = nn.functional.pad(resample(image.as_tensor(), body), pad, value=AIR_HU)[0].round().short().numpy()
    rng = np.random.default_rng(0)
    for z in range(shape[2]):
        voxels[..., z] += rng.normal(0, NOISE, shape[:2]).astype(np.int16)
    objects = nn.functional.pad(resample_objects(torch.from_numpy(every), body), pad).numpy()
    write_scan(folder, voxels, objects.astype(np.uint8), spacing, maps="attention").save(folder / "models")
    torch.manual_seed(0)
    network = Copier(Refiner(*encoder_and_decoder(NUMBERS, 2, 1)))
    save_weights(folder / "models" / "model.pt", network, {"parts": [], "settings": {}})


def stage(folder: Path, made: str) -> ConfigWorkflow:
    """inference.yaml over the scan of a folder, with results in another, not run yet."""
    folders = {"dataset_dir": "images", "attention_dir": "attention", "ckpt_dir": "models"}
    given = {key: str(folder / name) for key, name in folders.items()}
    network = {"_target_": "bench.scene.Copier", "refiner": "$@shared.refiner"}
    given |= {"bundle_root": "bundle", "device": "$torch.device('cpu')", "output_dir": made}
    numbers = {"network_def": network, "calibrated": False, **GRID}
    flow = ConfigWorkflow("bundle/configs/inference.yaml", logging_file=False, **given, **numbers)
    flow.initialize()
    return flow


def clocked(flow: ConfigWorkflow, clock: Clock) -> dict[str, int]:
    """Put clocks between the parts of inference; what it returns will hold the number of queries of the scan."""
    inferer, steps, evaluator = map(flow.parser.get_parsed_content, ("inferer", "postprocessing", "evaluator"))
    make, augmentation, kept = inferer._patches, inferer.augmentation, dict[str, int]()

    def patches(*given: Any) -> Any:
        found = make(*given)
        kept[QUERIES] = len(found[0].queries)
        return found

    inferer._patches = clock.timed(CUT, patches)
    inferer.augmentation = lambda network: clock.timed(NETWORK, augmentation(network))
    inferer._processed = clock.timed(POST, inferer._processed)
    evaluator.inferer = clock.timed(FUSE, inferer)
    steps.transforms = [clock.timed(POST, step) for step in steps.transforms]
    evaluator.add_event_handler(Events.GET_BATCH_STARTED, partial(clock.switch, READ))
    evaluator.add_event_handler(Events.GET_BATCH_COMPLETED, partial(clock.switch, REST))
    return kept


def measured(folder: Path) -> list[float]:
    """Processor seconds of each part on one thread, memory added (MiB) and queries, in the order of ``NAMES``."""
    clock = Clock()
    writing = patch.object(volumes, "write_volume", clock.timed(WRITE, volumes.write_volume))
    cutting = patch.object(VolumePatches, "cut", clock.timed(CUT, VolumePatches.cut))
    with tempfile.TemporaryDirectory() as made, threads(1), writing, cutting:
        flow = stage(folder, made)
        kept = clocked(flow, clock)
        forget_peak()
        before = memory("VmRSS")
        clock.start()
        with redirect_stdout(sys.stderr):
            flow.run()
        clock.switch(REST)
    return [*clock.seconds.values(), memory("VmHWM") - before, float(kept[QUERIES])]


def quickest(shape: Sequence[int], rounds: int) -> dict[str, float]:
    """What a scan of this shape takes in the quickest of some processes, and the most memory of any."""
    with tempfile.TemporaryDirectory() as folder:
        write_folder(Path(folder), shape)
        size = Path(folder, "images", "a.nii.gz").stat().st_size / 2**20
        runs = [dict(zip(NAMES, in_new_process("bench.files", folder), strict=True)) for _ in range(rounds)]
    found = min(runs, key=lambda run: sum(run[part] for part in PARTS))
    return found | {MEMORY: max(run[MEMORY] for run in runs), FILE: size}


def report(shapes: Sequence[Sequence[int]] = SHAPES, rounds: int = 3) -> str:
    """The section of the results."""
    found = [quickest(shape, rounds) for shape in shapes]
    lines: dict[str, list[str]] = {"in all, s": [f"{sum(run[part] for part in PARTS):.1f}" for run in found]}
    lines["the network, s"] = [f"{run[NETWORK]:.1f}" for run in found]
    others = [part for part in PARTS if part != NETWORK]
    lines["everything else, s"] = [f"{sum(run[part] for part in others):.1f}" for run in found]
    lines |= {f"of it {part}, s": [f"{run[part]:.1f}" for run in found] for part in others}
    lines |= {name: [f"{run[name]:.0f}" for run in found] for name in (MEMORY, QUERIES, FILE)}
    text = (
        f"A phantom's scan, {ORGANS} organs stretched over all slices and noise of {NOISE:g} HU, from its file to that "
        "of the label map by inference.yaml, its attention map given. The network is that of common.yaml, untrained, "
        "and predicts about its attention; patches and grid are those of standard.yaml. Processor seconds on one "
        "thread and peak memory added, once the stage is imported and its weights are read; of the quickest of "
        f"{rounds} processes, memory the most of them. The goal: {GOAL}."
    )
    head = ["", *(" x ".join(map(str, shape)) for shape in shapes)]
    return f"## From file to file\n\n{text}\n\n" + table(head, [[name, *cells] for name, cells in lines.items()])


if __name__ == "__main__":
    print(*measured(Path(sys.argv[1])))
