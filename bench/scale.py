"""What cohorts of 100 to 1,000,000 scans would take on 1 to 64 GPUs.

Costs of one scan and one query, measured here, times how many there are, under assumptions printed with the result.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .costs import TIMES, measured, of_longer_scans
from .plan import GPUS, VECTORS, WIDTH, Assumed, Plan, limits, waiting
from .timing import table

SCANS = (100, 10_000, 1_000_000)


def amount(size: float) -> str:
    """Bytes for people."""
    units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]
    power = min(int(np.log2(max(size, 1)) // 10), len(units) - 1)
    return f"{size / 1024**power:.3g} {units[power]}"


def by_slices(found: Mapping[int, Mapping[str, float]]) -> str:
    """What was measured of scans by their number of slices, as a table."""
    times = {
        "coarse, reading": "coarse read",
        "maps": "map",
        "store": "store",
        "inference": "inference",
        "of it the network": "inference network",
        "evaluate": "evaluate",
    }
    rows = [[what, *(f"{cost[name] * 1e3:,.0f} ms" for cost in found.values())] for what, name in times.items()]
    return table(["a scan of", *(f"{count} slices" for count in found)], rows)


def costs(cost: Mapping[str, float]) -> str:
    """What else was measured, as a table."""
    times = {
        "coarse, a volume in a step": "coarse step",
        "reading a query": "read",
        "pretrain, a query in a step": "pretrain",
        "train, a query in a step": "train",
        "drawing a batch": "draw",
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


def report(
    cost: Mapping[str, float] | None = None,
    longer: Mapping[int, Mapping[str, float]] | None = None,
    at: Assumed | None = None,
) -> str:
    """The section of the results.

    Args:
        cost: of one scan, query and case; None to measure it.
        longer: of scans by their number of slices, None to measure them.
        at: what is assumed.
    """
    cost, longer, at = cost or measured(), of_longer_scans() if longer is None else longer, at or Assumed()
    slices = round(cost["slices"])
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
    embeddings = VECTORS * at.batch_a_gpu * WIDTH * 4
    fewest = waiting(cost, at)
    sent = (
        f"Sent by a rank in a step: twice the gradients, and in pretrain {amount(embeddings)} of embeddings to each "
        f"other rank, {amount(embeddings * max(GPUS))} of {max(GPUS)}; batch norm sends four small messages a layer."
    )
    return "\n\n".join(
        [
            "## Scale",
            "Costs of one scan (a phantom at 0.8 x 0.8 x 3.0 mm, 13 organs) and one query with the networks of "
            f"common.yaml, in processor time of one core: of the quickest of {TIMES} runs, for maps, store and "
            "evaluate of one. The same body in more slices takes longer:",
            by_slices({slices: cost, **longer}),
            f"All else, and what is computed from it, is for scans of {slices} slices.",
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
