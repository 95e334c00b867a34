"""What the next k labelled patients teach, chosen by the audit and at random.

``python -m bench.label_next --cohort COHORT --name NAME --overlay OVERLAY`` adds rows to bench/label_next.csv, draw by
draw: an interrupted run goes on. ``--table True`` prints them. In each draw four patients are labelled at first,
``POOL`` wait, and the others are the test. A small coarse network learns from the four, its maps of the pool are
ranked, and networks that learn from the first k ranked patients besides, all of the same initial weights, segment the
test.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import fire
import numpy as np
import torch
from monai.losses import DiceCELoss
from monai.networks.nets import UNet
from scipy import stats

from bench.audit_errors import Cohort
from scripts.audit.collection import Collector
from scripts.audit.comparison import compare_with
from scripts.audit.examples import Examples
from scripts.audit.label_next import CRITERIA, label_next
from scripts.audit.scan import MAP
from scripts.audit.suspicion import expect_dice
from scripts.coarse.samples import ReadCoarse
from scripts.cohort.attention import write_label_map
from scripts.cohort.case import Case
from scripts.cohort.volume import read

ROWS = Path(__file__).with_name("label_next.csv")
COLUMNS = ("cohort", "draw", "k", "method", "dice")
BUDGETS, DRAWS, LABELLED, POOL = (1, 2, 4), 10, 4, 20
RANDOM, FOREGROUND = "random", "foreground-aware random"
Samples = dict[str, dict[str, Any]]


class Learner:
    """A small coarse network and how it is trained: 150 steps of 4 volumes with intensity changes, seconds each.

    Args:
        cohort: the cohort.
        samples: case -> its volume and label map at the network's size.
    """

    steps, batch, rate = 150, 4, 0.005

    def __init__(self, cohort: Cohort, samples: Samples) -> None:
        self.cohort, self.samples, self.classes = cohort, samples, len(cohort.audit.table) + 1

    def train(self, cases: Sequence[Case], seed: int) -> torch.nn.Module:
        """A network that has learnt from the label maps of some cases."""
        torch.manual_seed(seed)
        channels = int(next(iter(self.samples.values()))["image"].shape[0])
        network = UNet(3, channels, self.classes, (8, 16, 32), (2, 2))
        loss, rng = DiceCELoss(to_onehot_y=True, softmax=True), np.random.default_rng(seed)
        optimiser = torch.optim.AdamW(network.parameters(), self.rate)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, self.rate, self.steps)
        for _ in range(self.steps):
            chosen = [self.samples[cases[row].id] for row in rng.integers(0, len(cases), self.batch)]
            images = torch.stack([one["image"] for one in chosen]).float()
            images = images * torch.empty(self.batch, 1, 1, 1, 1).uniform_(0.8, 1.2) + 0.1 * torch.randn_like(images)
            labels = torch.stack([one["label"].clamp(min=0) for one in chosen])
            optimiser.zero_grad()
            loss(network(images), labels).backward()
            optimiser.step()
            schedule.step()
        return network.eval()

    def dice(self, network: torch.nn.Module, cases: Sequence[Case]) -> float:
        """Mean Dice over organs and cases, on the network's grid."""
        found = []
        for case in cases:
            with torch.no_grad():
                called = network(self.samples[case.id]["image"][None].float())[0].argmax(0)
            label = self.samples[case.id]["label"][0]
            for organ in range(1, self.classes):
                total = int((called == organ).sum() + (label == organ).sum())
                found.append(2 * int(((called == organ) & (label == organ)).sum()) / total if total else np.nan)
        return float(np.nanmean(found))


def rankings(cohort: Cohort, learner: Learner, labelled: Sequence[Case], pool: Sequence[Case], seed: int) -> Any:
    """Method -> ids of the pool's cases in the order in which they are labelled."""
    network = learner.train(labelled, seed)
    with TemporaryDirectory() as folder:
        maps = {case.id: Path(folder) / f"{case.id}.nii.gz" for case in pool}
        for case in pool:
            image = read(case.image, case.id, cohort.audit.inferer.channels)
            with torch.no_grad():
                objects = cohort.audit.inferer(image[None], network)[0, 0]
            write_label_map(maps[case.id], objects.to(torch.int16), image, cohort.audit.table)
        cases = [*labelled, *(replace(case, label=None) for case in pool)]
        reader = replace(cohort.audit.reader, attention_dir=folder, encoding=None)
        collector = Collector(reader, Path(folder) / "examples", [], seed, cohort.audit._blur)
        found = collector.gather(cases, maps)
    expected = _expected(found, seed)
    rng = np.random.default_rng(seed)
    sizes = np.array([np.exp(found.measures[own, 0]).sum() for own in (found.cases == case.id for case in pool)])
    share = (sizes + 1) / (sizes + 1).sum()
    made = {RANDOM: rng.permutation([case.id for case in pool]).tolist()}
    made[FOREGROUND] = rng.choice([case.id for case in pool], len(pool), replace=False, p=share).tolist()
    for criterion in CRITERIA:
        ranked = label_next(found, cases, expected, criterion)
        made[criterion] = [case for one in (ranked.patients if ranked else ()) for case in one.cases]
    return made


def _expected(found: Examples, seed: int) -> dict[str, float]:
    """Case -> mean expected Dice of its map."""
    compared = compare_with(found, found[found.clean])
    own = found.sources == MAP
    known = ~own & np.isfinite(found.dice)
    dice = expect_dice(found[own], compared[own], found[known], compared[known], seed=seed).dice
    names = found.cases[own]
    return {
        str(case): float(np.nanmean(dice[names == case]))
        for case in np.unique(names)
        if np.isfinite(dice[names == case]).any()
    }


def measured(cohort: Cohort, learner: Learner, draw: int) -> Iterator[tuple[Any, ...]]:
    """Rows of one draw: Dice of the test after the first four patients, and after k more by each method."""
    order = np.random.default_rng(draw).permutation(len(cohort.cases))
    drawn = [cohort.cases[row] for row in order]
    labelled, pool, test = drawn[:LABELLED], drawn[LABELLED : LABELLED + POOL], drawn[LABELLED + POOL :]
    by_id = {case.id: case for case in pool}
    yield draw, 0, "none", learner.dice(learner.train(labelled, draw), test)
    for method, ids in rankings(cohort, learner, labelled, pool, draw).items():
        for budget in BUDGETS:
            chosen = [by_id[name] for name in ids[:budget]]
            yield draw, budget, method, learner.dice(learner.train([*labelled, *chosen], draw), test)


def main(cohort: str = "", name: str = "", overlay: str | None = None, table: bool = False, draws: int = DRAWS) -> None:
    """Measure draws that have no rows yet, or print the table."""
    if table:
        print(as_markdown(rows()))
        return
    made = Cohort(cohort, overlay)
    inferer = made.audit.inferer
    read_coarse = ReadCoarse(made.audit.table, inferer.size, inferer.window, inferer.channels)
    learner = Learner(made, {case.id: read_coarse({"case": case}) for case in made.cases})
    for draw in range(1, draws + 1):
        if (name, str(draw)) in {(row["cohort"], row["draw"]) for row in rows()}:
            continue
        new = [[name, *row] for row in measured(made, learner, draw)]
        fresh = not ROWS.is_file()
        with open(ROWS, "a", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([*([COLUMNS] if fresh else []), *new])
        print(f"{name}, draw {draw}: {len(new)} rows", flush=True)


def rows() -> list[dict[str, str]]:
    """The rows measured so far."""
    if not ROWS.is_file():
        return []
    with open(ROWS, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def as_markdown(found: Sequence[dict[str, str]]) -> str:
    """A table for each cohort: mean Dice, and the difference to random in the same draws with its 95 % interval (t)."""
    lines: list[str] = []
    for cohort in dict.fromkeys(row["cohort"] for row in found):
        own = {(row["method"], row["k"], row["draw"]): float(row["dice"]) for row in found if row["cohort"] == cohort}
        draws = list(dict.fromkeys(draw for _, _, draw in own))
        first = np.mean([value for (method, _, _), value in own.items() if method == "none"])
        lines += ["", f"{cohort}: {len(draws)} draws, Dice before {first:.3f}", ""]
        lines += ["| method | " + " | ".join(f"k = {k}" for k in BUDGETS) + " |", "|---|" + "---|" * len(BUDGETS)]
        for method in dict.fromkeys(method for method, _, _ in own if method != "none"):
            cells = []
            for k in map(str, BUDGETS):
                values = np.array([own[method, k, draw] for draw in draws])
                apart = values - [own[RANDOM, k, draw] for draw in draws]
                cell = f"{values.mean():.3f}"
                if method != RANDOM and len(draws) > 1:
                    width = stats.t.ppf(0.975, len(draws) - 1) * stats.sem(apart)
                    cell += f" ({apart.mean():+.3f} ± {width:.3f})"
                cells.append(cell)
            lines.append(f"| {method} | " + " | ".join(cells) + " |")
    return "\n".join(lines).strip()


if __name__ == "__main__":
    fire.Fire(main)
