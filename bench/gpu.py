"""What one device does in a second: loss, views, steps, inference and a small study, as JSON lines or a table.

bench/gpu.sh runs each section in a process of its own, with a deadline. It measures a GPU where there is one, else the
CPU. With ``--smoke`` the sizes are too small to measure speed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import torch
import yaml
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from scripts.commands.phantom import phantom
from scripts.contrast.loss import SemanticContrastiveLoss
from scripts.networks.contrast_net import ContrastNet
from scripts.networks.device import on_device
from scripts.networks.encoder import QueryEncoder
from scripts.networks.pooling import RegionPooling
from scripts.queries.views import Views

from .loss import CLASSES, TEMPERATURE
from .scene import Scene
from .timing import table

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
STANDARD = yaml.safe_load(Path("bundle/configs/standard.yaml").read_text())
PRETRAIN = yaml.safe_load(Path("bundle/configs/pretrain.yaml").read_text())
QUERIES = PRETRAIN["clusters_per_batch"] * PRETRAIN["queries_per_cluster"]
PRECISIONS = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32}  # what needs most, last
MADE = ("aten::empty", "aten::new_empty", "aten::_reshape_alias")  # operators that launch nothing, beside views
COLUMNS = ("section", "what", "ms", "a second", "kernels", "peak MiB", "device")
Line = dict[str, Any]


class Kernels(TorchDispatchMode):
    """Counts operators on the device's tensors but views and allocations: on a GPU about a launch each."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = function(*args, **(kwargs or {}))
        made = tree_flatten(found)[0]
        launched = any(isinstance(one, torch.Tensor) and one.device.type == DEVICE.type for one in made)
        self.count += launched and not function.is_view and not function.name().startswith(MADE)
        return found


def measured(section: str, what: str, run: Callable[[], object], items: int, rounds: int) -> Line:
    """Median milliseconds of a run, items a second, kernels, and peak memory (MiB) of a GPU; none that does not fit."""
    try:
        with Kernels() as kernels:
            run()  # warms up, too
        _wait()
        if DEVICE.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        seconds = []
        for _ in range(rounds):
            start = time.perf_counter()
            run()
            _wait()
            seconds.append(time.perf_counter() - start)
    except torch.OutOfMemoryError:
        torch.cuda.empty_cache()
        return line(section, f"{what}: out of memory")
    median = statistics.median(seconds)
    peak = round(torch.cuda.max_memory_allocated() / 2**20) if DEVICE.type == "cuda" else None
    return line(section, what, round(median * 1e3, 3), round(items / median, 1), kernels.count, peak)


def line(section: str, what: str, *numbers: float | None) -> Line:
    """A line of the results: milliseconds, items a second, kernels and peak memory, as far as they are known."""
    device = torch.cuda.get_device_name() if DEVICE.type == "cuda" else "CPU"
    padded = [*numbers, *[None] * (len(COLUMNS) - 3 - len(numbers))]
    return dict(zip(COLUMNS, [section, what, *padded, f"{device}, torch {torch.__version__}"], strict=True))


def _wait() -> None:
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


def loss(smoke: bool) -> Iterator[Line]:
    """Forward and backward of the loss; items are rows."""
    criterion = SemanticContrastiveLoss(TEMPERATURE)
    for count in (48,) if smoke else (104, 208, 512, 4096, 16384, 65536):
        embeddings = torch.randn(count, 256, device=DEVICE, requires_grad=True)
        labels = torch.arange(count, device=DEVICE) % CLASSES

        def run(embeddings: torch.Tensor = embeddings, labels: torch.Tensor = labels) -> None:
            criterion(embeddings, labels).backward()

        yield measured("loss", f"{count} rows", run, count, 1 if smoke else 9)


def views(smoke: bool) -> Iterator[Line]:
    """One view of each patch, with all changes of intensity."""
    for dims, count, side in ((2, 2, 16),) if smoke else ((2, 104, 128), (2, 512, 128), (3, 16, 64)):
        image = torch.rand(count, 1, *[side] * dims, device=DEVICE) * 2 - 1
        mask = (image > 0).float()
        change = Views(side, contrast=0.1, brightness=0.1, gamma=0.2, blur=1, noise=0.05)

        def run(change: Views = change, image: torch.Tensor = image, mask: torch.Tensor = mask) -> None:
            change(image, mask)

        yield measured("views", " x ".join(map(str, [count, *[side] * dims])), run, count, 1 if smoke else 15)


def step(smoke: bool) -> Iterator[Line]:
    """Pretraining steps of standard.yaml's network on two views of each query, by precision; items are queries."""
    layers, widths = ([1, 1, 1, 1], [4, 8, 8, 8]) if smoke else (STANDARD["layers"], STANDARD["widths"])
    block, side = ("basic", 16) if smoke else (STANDARD["block"], STANDARD["patch_size"])
    criterion = SemanticContrastiveLoss(TEMPERATURE)
    for count in (2,) if smoke else (QUERIES // 4, QUERIES // 2, QUERIES):
        network = on_device(ContrastNet(QueryEncoder(2, block, layers, widths), 256, RegionPooling()), DEVICE)
        optimizer = torch.optim.AdamW(network.parameters(), fused=DEVICE.type == "cuda")
        inputs = torch.rand(2 * count, 4, side, side, device=DEVICE)  # image, attention and the two regions
        labels = torch.arange(4 * count, device=DEVICE) % CLASSES
        for name, precision in PRECISIONS.items():
            if precision == torch.float16 and DEVICE.type != "cuda":
                continue  # it is float32 there
            scaler = torch.amp.GradScaler(DEVICE.type, enabled=precision == torch.float16)

            def run(
                precision: torch.dtype = precision,
                network: torch.nn.Module = network,
                optimizer: torch.optim.Optimizer = optimizer,
                inputs: torch.Tensor = inputs,
                labels: torch.Tensor = labels,
                scaler: torch.amp.GradScaler = scaler,
            ) -> None:
                with torch.autocast(DEVICE.type, precision, enabled=precision != torch.float32):
                    value = criterion(network(inputs), labels)
                scaler.scale(value).backward()
                scaler.step(optimizer)
                scaler.update()
                optimizer.zero_grad()

            yield measured("step", f"{count} queries, {name}", run, count, 1 if smoke else 9)


def inference(smoke: bool) -> Iterator[Line]:
    """A volume from attention to label map, with the networks of common.yaml; items are queries."""
    for slices in (8,) if smoke else (76, 200, 600):
        scene = Scene((6.0, 6.0, 30.0) if smoke else (0.8, 0.8, 228 / slices))
        image, attention, network = scene.image.to(DEVICE), scene.attention.to(DEVICE), scene.folded.to(DEVICE)

        def run(
            scene: Scene = scene, image: torch.Tensor = image, attention: torch.Tensor = attention, of: Any = network
        ) -> None:
            scene.inferer(image, of, attention=attention)

        size = " x ".join(map(str, image.shape[2:]))
        yield measured("inference", size, run, len(scene.patches.queries), 1 if smoke else 5)


def study(smoke: bool) -> Iterator[Line]:
    """A short study on phantoms with the networks of standard.yaml: training of all stages; items are its samples.

    What the study prints goes to standard error.
    """
    design = {"preset": "smoke", "strategies": "coarse", "budget": 8}
    if not smoke:
        design = {"preset": "gpu", "strategies": "semantic,multiclass", "budget": 20, "budgets": 1}
    with tempfile.TemporaryDirectory() as folder:
        with redirect_stdout(sys.stderr):
            phantom(folder, **({"cases": 5, "folds": 2} if smoke else {"cases": 8}))
        options = {"dataset_dir": folder, **design, "labels": 2, "seeds": 1, "workers": 1}
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        subprocess.run([sys.executable, "-m", "scripts", "study", *words], check=True, stdout=sys.stderr)
        (done,) = json.loads(Path(folder, "study", "summary.json").read_text())["tables"]
    for cost in done["costs"]:
        seconds = cost["training_seconds"]
        numbers = round(seconds * 1e3), round(cost["samples"] / seconds, 1), None, cost.get("gpu_mib")
        yield line("study", f"{cost['strategy']}, {design['budget']} s", *numbers)


SECTIONS = {"loss": loss, "views": views, "step": step, "inference": inference, "study": study}


def as_table(lines: list[Line]) -> str:
    """The lines as a Markdown table."""
    return table(COLUMNS, [["-" if one[name] is None else one[name] for name in COLUMNS] for one in lines])


def main(arguments: list[str] | None = None) -> None:
    """Print a section's JSON lines, or the table of those on standard input."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("section", choices=[*SECTIONS, "table"])
    parser.add_argument("--smoke", action="store_true", help="sizes too small to measure speed")
    given = parser.parse_args(arguments)
    if given.section == "table":
        print(as_table([json.loads(line) for line in sys.stdin if line.startswith("{")]))
        return
    for one in SECTIONS[given.section](given.smoke):
        print(json.dumps(one), flush=True)


if __name__ == "__main__":
    main()
