"""What a cohort of so many scans would take on so many GPUs, computed from measured costs and from assumptions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

GPUS = (1, 8, 64)
WIDTH = 256  # of an embedding
VECTORS = 4  # of a query in pretrain: two views, each of the object and of its surroundings
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
        wire = 2 * cost[f"{stage} weights"] + (VECTORS * batch * WIDTH * 4 * self.gpus if stage == "pretrain" else 0)
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
