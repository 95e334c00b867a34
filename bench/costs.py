"""Costs of one scan, one query and one listed case in every stage, on one core of this machine."""

from __future__ import annotations

import json
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Sequence
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
from scripts.cohort.attention import require_attention, write_label_map
from scripts.cohort.case import Case
from scripts.cohort.label_table import LabelTable
from scripts.cohort.resampling import resample_objects
from scripts.cohort.volume import read
from scripts.contrast.loss import SemanticContrastiveLoss
from scripts.evaluate.rows import Row, measure_case
from scripts.networks.contrast_net import ContrastNet
from scripts.networks.device import on_device
from scripts.networks.encoder import QueryEncoder
from scripts.networks.pooling import RegionPooling
from scripts.queries.dataset import QueryDataset
from scripts.queries.grid import QueryGrid
from scripts.queries.sampler import ClusterSampler
from scripts.queries.store import QueryStore
from scripts.queries.views import Views
from scripts.refine.volumes import CheckedLoadImaged, LoadAttentiond

from .scene import CLINICAL, NUMBERS, ORGANS, Scene, write_scan
from .store import volumes
from .timing import threads

BATCH = 52  # queries of a measured step
QUERIES_OF_AN_ORGAN = 36  # in a scan, as in the phantom
TIMES = 3  # runs of which the quickest counts
SLICES = (200, 600)  # of longer scans


def seconds(run: Callable[[], Any], times: int = TIMES) -> float:
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


def trained(network: nn.Module, inputs: torch.Tensor, loss: Callable[[torch.Tensor], torch.Tensor]) -> float:
    """Seconds of a forward and a backward pass."""
    network = on_device(network, "cpu").train()
    return seconds(lambda: loss(network(inputs)).backward())


class Told(nn.Module):
    """A network that runs, and is then told where the organs are: untrained, each could be anywhere."""

    def __init__(self, network: nn.Module, scores: torch.Tensor) -> None:
        super().__init__()
        self.network, self.scores = network, scores

    def forward(self, volume: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.network(volume)
        return scores.mul_(0).add_(self.scores)


class Scan:
    """A phantom at a clinical size as a case of a cohort, its label map also as attention and as prediction.

    Args:
        folder: where it is written.
        spacing: mm, of the volume.
    """

    def __init__(self, folder: Path, spacing: Sequence[float]) -> None:
        self.folder, self.scene = folder, Scene(spacing)
        voxels, objects = self.scene.image[0, 0].round().numpy(), self.scene.attention[0, 0].numpy()
        self.labels = write_scan(folder, voxels, objects, spacing, maps="labels")
        files = [folder / kind / "a.nii.gz" for kind in ("images", "labels")]
        self.case, self.stored = Case("a", "a", "portal", *files, fold=0), read(files[0], "a")
        self.network = UNet(3, 1, ORGANS + 1, NUMBERS["coarse_channels"], NUMBERS["coarse_strides"])
        self.reader = ReadCoarse(self.labels, NUMBERS["coarse_size"], NUMBERS["window"])

    def store(self) -> QueryStore:
        """Its queries, cut at the first call."""
        grid = QueryGrid(2, NUMBERS["patch_size"], NUMBERS["spacing"], NUMBERS["window"])
        return QueryStore(
            str(self.folder / "store"), [self.case], str(self.folder / "labels"), self.labels, grid, workers=1
        )

    def map(self) -> None:
        """Write its attention map."""
        inferer, cpu = CoarseInferer(NUMBERS["coarse_size"], NUMBERS["window"]), torch.device("cpu")
        organs = resample_objects(self.scene.attention[0, 0], NUMBERS["coarse_size"]).long()
        told = Told(self.network, nn.functional.one_hot(organs, ORGANS + 1).movedim(-1, 0)[None] * 10.0)
        predict([self.case], told, inferer, self.labels, str(self.folder / "maps"), cpu, lambda *_: None)

    def segment(self) -> None:
        """Write what inference makes of it, attention given."""
        made = self.folder / "predictions" / "a.nii.gz"
        write_label_map(made, self.scene.ours()[0, 0], self.stored, self.labels)

    def rows(self) -> list[Row]:
        """What evaluate writes about it."""
        return measure_case(self.case, {"coarse": self.case.label, "refined": self.case.label}, self.labels, 2.0)

    def read(self) -> Callable[[], object]:
        """What inference reads it with."""
        attention = LoadAttentiond("attention", "image", self.labels, str(self.folder / "labels"))
        read = Compose([CheckedLoadImaged("image"), Orientationd("image", "RAS", labels=None), attention])
        return lambda: read({"image": str(self.case.image)})

    def times(self) -> dict[str, float]:
        """Seconds in every stage over cases; evaluate, maps and store run once."""
        found = {"coarse read": seconds(lambda: self.reader({"case": self.case}))}
        found |= {"map": seconds(self.map, 1), "store": seconds(self.store, 1)}
        found |= {"inference": seconds(self.segment) + seconds(self.read())}
        return found | {"inference network": seconds(self.scene.bare()), "evaluate": seconds(self.rows, 1)}


def of_a_scan(folder: Path, spacing: Sequence[float]) -> dict[str, float]:
    """Seconds, bytes and numbers of one scan; one thread."""
    scan = Scan(folder, spacing)
    found = {"slices": float(scan.scene.image.shape[-1]), **scan.times()}
    found |= {"scan bytes": scan.case.image.stat().st_size, "map bytes": scan.case.label.stat().st_size}
    store, files = scan.store(), list((folder / "store" / "a").iterdir())
    found |= {"store files": len(files), "store bytes": sum(path.stat().st_size for path in files)}
    found["queries"] = len(store.index)
    dataset, rng = QueryDataset(store, target=True), np.random.default_rng(0)
    found["read"] = seconds(lambda: [dataset[int(item)] for item in rng.integers(len(dataset), size=64)]) / 64
    sample = scan.reader({"case": scan.case})
    found["coarse bytes"] = sum(part.numel() * part.element_size() for part in sample.values())
    criterion = DiceCELoss(to_onehot_y=True, softmax=True)
    image, label = (torch.as_tensor(np.asarray(sample[name]))[None] for name in ("image", "label"))
    found["coarse step"] = trained(scan.network, image, lambda scores: criterion(scores, label))
    found["coarse weights"] = sum(weight.numel() for weight in scan.network.parameters()) * 4
    rows = scan.rows()
    found |= {"rows": len(rows), "row bytes": sum(len(",".join(map(str, row.__dict__.values()))) + 1 for row in rows)}
    found["row memory"] = grown(scan.rows)
    return found


def of_longer_scans(spacing: Sequence[float] = CLINICAL, slices: Sequence[int] = SLICES) -> dict[int, dict[str, float]]:
    """Seconds of the same body scanned in other numbers of slices, by these; one thread."""
    depth, found = Scene(spacing).image.shape[-1] * spacing[2], {}
    with threads(1):
        for count in slices:
            with tempfile.TemporaryDirectory() as folder:
                found[count] = Scan(Path(folder), (*spacing[:2], depth / count)).times()
    return found


def of_a_query() -> dict[str, float]:
    """Seconds of a query in a step of pretrain and of train, bytes of their gradients; one thread."""
    torch.manual_seed(0)
    side, labels = NUMBERS["patch_size"], torch.arange(BATCH) % ORGANS
    encoder = [2, NUMBERS["block"], NUMBERS["layers"], NUMBERS["widths"]]
    net, loss = ContrastNet(QueryEncoder(*encoder), pooling=RegionPooling()), SemanticContrastiveLoss()
    views, image = Views(side, noise=0.05), torch.rand(BATCH, 1, side, side)
    twice = torch.rand(2 * BATCH, 4, side, side)  # image, attention and the two regions
    found = {"pretrain": 2 * seconds(lambda: views(image, image.round())) / BATCH}
    found["pretrain"] += trained(net, twice, lambda vectors: loss(vectors, labels.repeat(4))) / BATCH
    refiner = Scene((6, 6, 40)).network.refiner
    target = image.round()
    criterion = DiceCELoss(sigmoid=True)
    found["train"] = trained(refiner, twice[:BATCH, :2], lambda logits: criterion(logits, target)) / BATCH
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
    few = max(1, patients // QUERIES_OF_AN_ORGAN)
    clusters, of = np.repeat(np.arange(ORGANS), few), np.tile(np.arange(few), ORGANS)
    clusters, of = (np.repeat(each, QUERIES_OF_AN_ORGAN) for each in (clusters, of))
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
