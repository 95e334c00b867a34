"""What cohorts of 100 to 1,000,000 scans would take on 1 to 64 GPUs.

Costs of one scan and one query, measured here, times how many there are, under assumptions printed with the result.
"""

from __future__ import annotations

import json
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from monai.losses import DiceCELoss
from monai.networks.nets import UNet
from monai.transforms import Compose, Orientationd
from torch import nn

from scripts.coarse.inferer import CoarseInferer
from scripts.coarse.maps import predict
from scripts.coarse.samples import ReadCoarse
from scripts.cohort import datalist
from scripts.cohort.attention import require_attention
from scripts.cohort.case import Case
from scripts.cohort.label_table import LabelTable
from scripts.contrast.loss import SemanticContrastiveLoss
from scripts.evaluate.rows import measure_case
from scripts.networks.contrast_net import ContrastNet
from scripts.networks.device import on_device
from scripts.networks.encoder import QueryEncoder
from scripts.queries.dataset import QueryDataset
from scripts.queries.grid import QueryGrid
from scripts.queries.sampler import ClusterSampler
from scripts.queries.store import QueryStore
from scripts.queries.views import Views
from scripts.refine.volumes import CheckedLoadImaged, LoadAttentiond

from .scene import CLINICAL, NUMBERS, ORGANS, Scene, write_scan
from .store import volumes
from .timing import table, threads

SCANS = (100, 10_000, 1_000_000)
GPUS = (1, 8, 64)
BATCH = 52  # queries of a measured step
WIDTH = 256  # of an embedding
GIB, HOUR = 2**30, 3600.0


@dataclass(frozen=True)
class Assumed:
    """What cannot be measured here. Defaults: nodes of 8 GPUs as they are sold in 2025, with cautious numbers."""

    gpu_over_core: float = 100.0  # a GPU's speed in the networks over that of one core of this machine
    gpus_a_node: int = 8
    cores_a_gpu: int = 8  # that read, build, measure
    network: float = 10e9  # bytes a second a node sends
    latency: float = 30e-6  # seconds of a collective call
    disk: float = 2e9  # bytes a second of the shared file system, of all nodes together
    metadata: float = 20_000.0  # files a second it opens or looks up, of all nodes together
    node_memory: float = 512 * GIB
    passes: int = 10  # over every query in pretrain and in train, and over every scan in each round of coarse
    rounds: int = 4  # of coarse: 3 folds and one over all
    batch_a_gpu: int = 64  # queries; in coarse a volume


def seconds(run: Callable[[], Any], times: int = 3) -> float:
    """Processor time of the quickest of a few runs: what others on the machine add is not the work's."""
    taken = []
    for _ in range(times):
        start = time.process_time()
        run()
        taken.append(time.process_time() - start)
    return min(taken)


def grown(run: Callable[[], Any]) -> float:
    """Bytes that what ``run`` returns holds, as Python and NumPy count them."""
    tracemalloc.start()
    kept = run()
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    del kept
    return float(size)


def scan(folder: Path, spacing: Sequence[float]) -> tuple[Case, LabelTable]:
    """A phantom at a clinical size, its label map also as attention and as prediction."""
    scene = Scene(spacing)
    voxels, objects = scene.image[0, 0].round().numpy(), scene.attention[0, 0].numpy()
    labels = write_scan(folder, voxels, objects, spacing, maps="labels")
    return Case("a", "a", "portal", folder / "images" / "a.nii.gz", folder / "labels" / "a.nii.gz", fold=0), labels


def trained(network: nn.Module, inputs: torch.Tensor, loss: Callable[[torch.Tensor], torch.Tensor]) -> float:
    """Seconds of a forward and a backward pass."""
    network = on_device(network, "cpu").train()
    return seconds(lambda: loss(network(inputs)).backward())


def of_a_scan(folder: Path, spacing: Sequence[float]) -> dict[str, float]:
    """Seconds, bytes and numbers of one scan in every stage over cases; one thread."""
    case, labels = scan(folder, spacing)
    size, window = NUMBERS["coarse_size"], NUMBERS["window"]
    grid = QueryGrid(2, NUMBERS["patch_size"], NUMBERS["spacing"], window)
    given = [case], str(folder / "labels"), labels, grid
    found: dict[str, float] = {"scan bytes": case.image.stat().st_size, "map bytes": case.label.stat().st_size}
    found["store"] = seconds(lambda: QueryStore(str(folder / "store"), *given, workers=1), 1)
    store = QueryStore(str(folder / "store"), *given)
    files = list((folder / "store" / "a").iterdir())
    found |= {"store files": len(files), "store bytes": sum(path.stat().st_size for path in files)}
    found["queries"] = len(store.index)
    dataset, rng = QueryDataset(store, target=True), np.random.default_rng(0)
    found["read"] = seconds(lambda: [dataset[int(item)] for item in rng.integers(len(dataset), size=64)]) / 64
    reader = ReadCoarse(labels, size, window)
    found["coarse read"] = seconds(lambda: reader({"case": case}))
    sample = reader({"case": case})
    found["coarse bytes"] = sum(part.numel() * part.element_size() for part in sample.values())
    net = UNet(3, 1, ORGANS + 1, NUMBERS["coarse_channels"], NUMBERS["coarse_strides"])
    criterion = DiceCELoss(to_onehot_y=True, softmax=True)
    image, label = (torch.as_tensor(np.asarray(sample[name]))[None] for name in ("image", "label"))
    found["coarse step"] = trained(net, image, lambda scores: criterion(scores, label))
    found["coarse weights"] = sum(weight.numel() for weight in net.parameters()) * 4
    inferer, made = CoarseInferer(size, window), str(folder / "maps")
    cpu = torch.device("cpu")
    found["map"] = seconds(lambda: predict([case], net, inferer, labels, made, cpu, lambda *_: None), 1)
    scene = Scene(spacing)
    found["inference network"] = seconds(scene.bare())
    attention = LoadAttentiond("attention", "image", labels, str(folder / "labels"))
    read = Compose([CheckedLoadImaged("image"), Orientationd("image", "RAS", labels=None), attention])
    found["inference"] = seconds(scene.ours) + seconds(lambda: read({"image": str(case.image)}))
    rows = measure_case(case, {"coarse": case.label, "refined": case.label}, labels, 2.0)
    found["evaluate"] = seconds(
        lambda: measure_case(case, {"coarse": case.label, "refined": case.label}, labels, 2.0), 1
    )
    found |= {"rows": len(rows), "row bytes": sum(len(",".join(map(str, row.__dict__.values()))) + 1 for row in rows)}
    found["row memory"] = grown(lambda: measure_case(case, {"coarse": case.label, "refined": case.label}, labels, 2.0))
    return found


def of_a_query() -> dict[str, float]:
    """Seconds of a query in a step of pretrain and of train, bytes of their gradients; one thread."""
    torch.manual_seed(0)
    side, labels = NUMBERS["patch_size"], torch.arange(BATCH) % ORGANS
    encoder = [2, NUMBERS["block"], NUMBERS["layers"], NUMBERS["widths"]]
    net, loss = ContrastNet(QueryEncoder(*encoder)), SemanticContrastiveLoss()
    views, image = Views(side, noise=0.05), torch.rand(BATCH, 1, side, side)
    twice = torch.rand(2 * BATCH, 2, side, side)
    found = {"views": 2 * seconds(lambda: views(image, image.round())) / BATCH}
    found["pretrain"] = trained(net, twice, lambda vectors: loss(vectors, labels.repeat(2))) / BATCH
    refiner = Scene((6, 6, 40)).network.refiner
    target = image.round()
    criterion = DiceCELoss(sigmoid=True)
    found["train"] = trained(refiner, twice[:BATCH], lambda logits: criterion(logits, target)) / BATCH
    for name, network in (("pretrain weights", net), ("train weights", refiner)):
        found[name] = sum(weight.numel() for weight in network.parameters()) * 4
    found["norms"] = sum(isinstance(module, nn.BatchNorm2d) for module in net.modules())
    return found


def of_a_list(folder: Path, count: int, patients: int) -> dict[str, float]:
    """Costs per case of starting a stage, before work is shared, and per patient of sampling a batch."""
    cases = volumes(folder, count, (24, 24, 6))
    listed = [
        {"case": case.id, "patient": case.patient, "image": str(case.image), "label": str(case.label), "fold": 0}
        for case in cases
    ]
    (folder / "datalist.json").write_text(json.dumps({"training": listed, "testing": []}))
    labels = LabelTable.load(_table(folder))
    attention = str(folder / "labels")
    given = cases, attention, labels, QueryGrid(2, 16, [0, 0, 0], NUMBERS["window"])
    QueryStore(str(folder / "store"), *given)
    found = {"list": seconds(lambda: datalist.load(folder)) / count}
    found["look"] = seconds(lambda: require_attention(cases, attention)) / count
    found["open"] = seconds(lambda: QueryStore(str(folder / "store"), *given)) / count
    kept = grown(lambda: datalist.load(folder)) + grown(lambda: QueryStore(str(folder / "store"), *given).notes)
    found["case memory"] = kept / count
    clusters, of = np.repeat(np.arange(ORGANS), patients), np.tile(np.arange(patients), ORGANS)
    sampler = ClusterSampler(clusters, of, ORGANS, 4, 1)
    found["draw"] = seconds(lambda: list(sampler))
    found["query memory"] = 28 + grown(lambda: ClusterSampler(clusters, of, ORGANS, 4, 1).members) / len(of)
    return found


def _table(folder: Path) -> Path:
    names = {f"organ_{number}": {"index": number} for number in range(1, 5)}
    (folder / "labels.yaml").write_text(yaml.safe_dump({"phases": ["portal"], "organs": names}))
    return folder


def measured(spacing: Sequence[float] = CLINICAL, count: int = 300, patients: int = 100_000) -> dict[str, float]:
    """All costs of one scan, one query and one listed case on one core of this machine."""
    found: dict[str, float] = {}
    with threads(1):
        for part in (lambda at: of_a_scan(at, spacing), lambda at: of_a_list(at, count, patients)):
            with tempfile.TemporaryDirectory() as folder:
                found |= part(Path(folder))
        return found | of_a_query()


@dataclass(frozen=True)
class Plan:
    """So many scans on so many GPUs: seconds, and bytes of memory and disk."""

    cost: Mapping[str, float]
    scans: int
    gpus: int
    at: Assumed = Assumed()

    @property
    def ranks_a_node(self) -> int:
        return min(self.gpus, self.at.gpus_a_node)

    def start(self) -> float:
        """Seconds before a stage works: every rank reads the list and looks for image, label and map of every case."""
        alone = self.cost["list"] + self.cost["look"]
        looked_up = 3 * self.gpus / self.at.metadata
        return self.scans * (max(alone, looked_up) + self.cost["open"] / self.gpus)

    def over_cases(self, core: float, network: float, read: float) -> float:
        """Seconds of a stage over cases, each rank with its part; the slowest of cores, GPUs and disk decides."""
        on_cores = core / (self.gpus * self.at.cores_a_gpu)
        on_gpus = network / self.at.gpu_over_core / self.gpus
        return self.scans * max(on_cores, on_gpus, read / self.at.disk)

    def filling(self) -> float:
        """Seconds until every rank of coarse holds every training volume, which are not shared."""
        return self.scans * max(
            self.cost["coarse read"] / self.at.cores_a_gpu, self.cost["scan bytes"] * self.gpus / self.at.disk
        )

    def step(
        self, network: float, wire: float, calls: float, read: float = 0, files: int = 0, draw: float = 0
    ) -> float:
        """Seconds of a step: the network or what is read meanwhile, then what the ranks send each other.

        Args:
            network: core seconds of one rank's part.
            wire: bytes a rank sends.
            calls: collectives.
            read: core seconds of reading.
            files: opened by a rank.
            draw: seconds of sampling the batch, on each rank.
        """
        reading = max(read / self.at.cores_a_gpu, files * self.gpus / self.at.metadata)
        several, beyond = self.gpus > 1, self.gpus > self.at.gpus_a_node
        sent = several * calls * self.at.latency + beyond * wire * self.ranks_a_node / self.at.network
        return max(network / self.at.gpu_over_core, reading) + draw + sent

    def steps_over_queries(self, stage: str, masks: int) -> float:
        """Seconds of all steps of pretrain or train; ``masks`` are read beside each image."""
        cost, batch = self.cost, self.at.batch_a_gpu
        wire = 2 * cost[f"{stage} weights"] + (2 * batch * WIDTH * 4 * self.gpus if stage == "pretrain" else 0)
        one = self.step(
            batch * cost[stage], wire, 4 * cost["norms"] + 4, batch * cost["read"], batch * (1 + masks), cost["draw"]
        )
        return one * self.at.passes * self.scans * cost["queries"] / (batch * self.gpus)

    def hours(self) -> dict[str, float]:
        """Hours of every stage."""
        cost, scan, one_map = self.cost, self.cost["scan bytes"], self.cost["map bytes"]
        coarse = self.step(cost["coarse step"], 2 * cost["coarse weights"], 1)
        around = cost["inference"] - cost["inference network"]
        found = {
            "coarse": coarse * self.at.passes * self.at.rounds * self.scans / self.gpus + self.filling(),
            "maps": self.over_cases(cost["map"], 0, scan + one_map),
            "store": self.over_cases(cost["store"], 0, scan + 2 * one_map + cost["store bytes"]),
            "pretrain": self.steps_over_queries("pretrain", 1),
            "train": self.steps_over_queries("train", 2),
            "inference": self.over_cases(around, cost["inference network"], scan + 2 * one_map),
            "evaluate": self.over_cases(cost["evaluate"], 0, 3 * one_map),
        }
        return {stage: (taken + self.start()) / HOUR for stage, taken in found.items()}

    def memory_of_coarse(self) -> float:
        """Bytes a node's ranks hold: each every training volume."""
        return self.ranks_a_node * self.scans * (self.cost["coarse bytes"] + self.cost["case memory"])

    def memory_of_pretrain(self) -> float:
        """Bytes a node's ranks hold: each the list, the store's notes, the index and the sampler's lists."""
        queries = self.cost["queries"] * self.cost["query memory"]
        return self.ranks_a_node * self.scans * (queries + self.cost["case memory"])

    def disk(self) -> float:
        """Bytes the stages write: store, maps, predictions, rows."""
        return self.scans * (self.cost["store bytes"] + 2 * self.cost["map bytes"] + self.cost["row bytes"])

    def files(self) -> float:
        """Files there are: scan, label, map, prediction and the store's."""
        return self.scans * (4 + self.cost["store files"])


def waiting(cost: Mapping[str, float], at: Assumed) -> dict[str, float]:
    """From how many GPUs on pretrain and train wait for the shared file system to open the store's files."""
    return {
        stage: cost[stage] / at.gpu_over_core * at.metadata / files for stage, files in (("pretrain", 2), ("train", 3))
    }


def limits(cost: Mapping[str, float], at: Assumed) -> list[list[str]]:
    """What gives way, from how many scans on, and what to do then; the first one first."""
    one = Plan(cost, 1, max(GPUS), at)
    found: list[tuple[str, float, str]] = [
        (
            "coarse: the training volumes, which each rank holds all of, fill a node's memory",
            at.node_memory / one.memory_of_coarse(),
            "`--train#dataset#cache_num 2000`, the others are read at each step; or coarse on a part of the cohort",
        ),
        (
            f"coarse: each of {one.gpus} ranks has read every scan only after a day",
            24 * HOUR / one.filling(),
            "the same; fewer ranks for coarse",
        ),
        (
            "pretrain, train: list, index and sampler of each rank fill a node's memory",
            at.node_memory / one.memory_of_pretrain(),
            "fewer ranks a node, or a part of the cohort",
        ),
        (
            f"every stage: {one.gpus} ranks have looked for every file only after an hour",
            HOUR / one.start(),
            "fewer ranks, longer runs, a faster metadata server",
        ),
        (
            "a million files in each of images/, attention/, predictions/, a million folders in store/",
            1e6,
            "file systems differ: ext4 and XFS bear it, listing gets slow; several cohorts",
        ),
        ("ten million files, a usual quota", 10e6 / one.files(), "ask for more, or remove store/ after training"),
        (
            "evaluate: the first rank holds every row, and draws the report",
            at.node_memory / cost["row memory"],
            "a test set of its own; or shards, and a tool for large tables on rows/",
        ),
        ("the index: 2 billion queries", 2**31 / cost["queries"], "several cohorts"),
    ]
    return [[what, f"{count:,.0f}", remedy] for what, count, remedy in sorted(found, key=lambda item: item[1])]


def amount(size: float) -> str:
    """Bytes for people."""
    units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]
    power = min(int(np.log2(max(size, 1)) // 10), len(units) - 1)
    return f"{size / 1024**power:.3g} {units[power]}"


def costs(cost: Mapping[str, float]) -> str:
    """What was measured, as a table."""
    times = {
        "coarse, reading a scan": "coarse read",
        "coarse, a volume in a step": "coarse step",
        "maps, a scan": "map",
        "store, a scan": "store",
        "reading a query": "read",
        "pretrain, a query in a step": "pretrain",
        "train, a query in a step": "train",
        "drawing a batch": "draw",
        "inference, a scan": "inference",
        "of it the network": "inference network",
        "evaluate, a scan": "evaluate",
        "start, a case: the list": "list",
        "start, a case: looking for a file": "look",
        "start, a case: opening the store": "open",
    }
    sizes = {
        "scan": "scan bytes",
        "label map": "map bytes",
        "store, a scan": "store bytes",
        "coarse volume in memory": "coarse bytes",
        "list and notes in memory, a case": "case memory",
        "index and sampler in memory, a query": "query memory",
        "rows in memory, a scan": "row memory",
        "gradients of coarse": "coarse weights",
        "gradients of pretrain": "pretrain weights",
        "gradients of train": "train weights",
    }
    rows = [[what, f"{cost[name] * 1e3:.3g} ms"] for what, name in times.items()]
    rows += [[what, amount(cost[name])] for what, name in sizes.items()]
    return table(["", "measured"], [*rows, ["queries of a scan", f"{cost['queries']:.0f}"]])


def assumptions(at: Assumed) -> str:
    """What was not measured, in words."""
    return (
        f"Assumed, not measured: a GPU is {at.gpu_over_core:g} times as fast in the networks as a core of this one; "
        f"nodes have {at.gpus_a_node} GPUs, {at.cores_a_gpu} cores a GPU and {amount(at.node_memory)}; they send "
        f"{at.network / 1e9:g} GB/s, a collective takes {at.latency * 1e6:g} us; one file system for all reads "
        f"{at.disk / 1e9:g} GB/s and opens or finds {at.metadata:,.0f} files a second, of which nodes "
        f"remember none. Pretrain and train see a query {at.passes} times, "
        f"{at.batch_a_gpu} a GPU and step; coarse sees each volume {at.passes} times in each of "
        f"{at.rounds} rounds, one a GPU and step. With a GPU the smallest networks wait for what is read: larger ones "
        "(docs/configs.md) take longer in proportion to their step, everything else stays."
    )


def report(cost: Mapping[str, float] | None = None, at: Assumed | None = None) -> str:
    """The section of the results."""
    cost, at = cost or measured(), at or Assumed()
    plans = [Plan(cost, scans, gpus, at) for scans in SCANS for gpus in GPUS]
    stages = list(plans[0].hours())
    hours = [[f"{plan.scans:,}", plan.gpus, *(f"{taken:.2g}" for taken in plan.hours().values())] for plan in plans]
    needs = [
        [
            f"{plan.scans:,}",
            plan.gpus,
            amount(plan.memory_of_coarse()),
            amount(plan.memory_of_pretrain()),
            amount(plan.disk()),
            f"{plan.files():,.0f}",
            f"{plan.start():.2g}",
        ]
        for plan in plans
    ]
    head = ["scans", "GPUs", "memory of a node, coarse", "pretrain", "disk", "files", "start of a stage, s"]
    embeddings = 2 * at.batch_a_gpu * WIDTH * 4
    fewest = waiting(cost, at)
    sent = (
        f"Sent by a rank in a step: twice the gradients, and in pretrain {amount(embeddings)} of embeddings to each "
        f"other rank, {amount(embeddings * max(GPUS))} of {max(GPUS)}; batch norm sends four small messages a layer."
    )
    return "\n\n".join(
        [
            "## Scale",
            "Costs of one scan (a phantom at 0.8 x 0.8 x 3.0 mm, 13 organs) and one query with the networks of "
            "common.yaml, in processor time of one core; the rest is computed from them.",
            costs(cost),
            assumptions(at),
            "Hours of a stage:",
            table(["scans", "GPUs", *stages], hours),
            "What else it takes:",
            table(head, needs),
            sent,
            "A query opens image, attention and, in train, target of its scan in the store: from "
            f"{fewest['pretrain']:.2g} GPUs on pretrain waits for that, train from {fewest['train']:.2g}; more are no "
            "quicker. A copy of store/ on a disk of each node (`--store_dir`) is.",
            f"What gives way first, with {max(GPUS)} GPUs:",
            table(["", "from how many scans on", "what to do"], limits(cost, at)),
        ]
    )
