"""The results of all runs of a study: values by strategy, seed and patient, organ by organ, and what they cost."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..cohort.attention import attention_path
from ..errors import SemclError
from ..evaluate.rows import Row, measure_cases, read_metrics, write_rows
from ..evaluate.statistics import patient_means
from ..evaluate.step_down import Values
from ..sidefiles import for_show, plain_note
from .comparisons import Measured
from .pipeline import Pipelines
from .plan import Cell, Plan
from .run_costs import cost_of
from .stage_keys import short_hash
from .step import Step
from .step_process import METHOD
from .strategy import FLOOR

ENCODERS_BEFORE = ("untrained", "begun")  # encoders before pretraining: with random weights, and what it began with


class Results:
    """The measured runs of a plan.

    Args:
        plan: the study, with all runs done.
        pipelines: of the plan.

    Attributes:
        methods: the coarse map, where strategies refine one, then the strategies.
        organs: those in the label maps of testing cases, in the order of the label table.
        sizes: how many cases and how many patients were tested.

    Raises:
        SemclError: when nothing was measured, or strategies were tested on different cases.
    """

    def __init__(self, plan: Plan, pipelines: Pipelines) -> None:
        self.plan, self.pipelines = plan, pipelines
        self._rows: dict[Cell, dict[tuple[str, int], list[Row]]] = {cell: defaultdict(list) for cell in plan.cells}
        for cell, method, seed, rows in self._read():
            self._rows[cell][method, seed] += rows
        methods = {method for rows in self._rows.values() for method, _ in rows}
        names = [strategy.name for strategy in plan.strategies]
        self.methods = tuple(name for name in (FLOOR, *names) if name in methods)
        tested = self._tested()
        self.organs = tuple(organ for organ in plan.table.names if any(row.organ == organ for row in tested))
        if not self.organs:
            raise SemclError(
                "there is nothing to compare",
                found="no organ in the label maps of the testing cases",
                expected="at least one organ in one case",
                remedy="check that the label maps are those of these scans",
            )
        self.patients = sorted({row.patient for row in tested})
        self.sizes = len({row.case for row in tested}), len(self.patients)

    def _read(self) -> Iterable[tuple[Cell, str, int, list[Row]]]:
        """Yield the rows of each run, and those of the coarse maps that runs start from."""
        given = self._given_maps() if self.plan.attention_dir is not None else None
        floors = set[tuple[str, Cell, int]]()
        for run in self.plan.runs():
            yield run.cell, run.strategy.name, run.seed, read_metrics(self.pipelines.steps(run)[-1].rows)
            place, floor = (run.split, run.cell, run.seed), self.pipelines.coarse_map(run)
            if place not in floors and (floor or (given and "train" in run.strategy.stages)):
                floors.add(place)
                yield run.cell, FLOOR, run.seed, read_metrics(floor.rows) if floor else (given or {})[run.split]

    def _given_maps(self) -> dict[str, list[Row]]:
        """Split -> rows of attention maps made elsewhere, measured once."""
        found = {}
        for split, cases in self.plan.splits.items():
            path = self.plan.out / "splits" / split / "attention.csv"
            folder = self.plan.attention_dir
            if not path.is_file() and folder is not None:
                tested = [case for case in cases if case.fold is None and attention_path(folder, case.id).is_file()]
                rows = measure_cases(tested, {METHOD: folder}, self.plan.table, self.plan.tolerance)
                write_rows(path, [row for row in rows if row.method == METHOD])
            found[split] = read_metrics(path)
        return found

    def _tested(self) -> list[Row]:
        """The Dice of one run of the first cell, after checking that every other one has the same cases and organs.

        Raises:
            SemclError: naming a strategy that has others.
        """
        first: list[Row] = []
        for cell, by_run in self._rows.items():
            for (method, seed), rows in by_run.items():
                dice = [row for row in rows if row.metric == "dice"]
                first = first or dice
                ours, theirs = ({(row.case, row.organ) for row in found} for found in (dice, first))
                if ours != theirs:
                    case, organ = sorted(ours ^ theirs)[0]
                    raise SemclError(
                        "strategies were tested on different cases",
                        case=case,
                        found=f"{organ} {'only' if (case, organ) in ours else 'not'} in {method}, {cell.name}, "
                        f"seed {seed}",
                        expected="every testing case and organ in every run",
                        remedy="remove the run's last folder in runs/, and run the study again",
                    )
        return first

    def measured(self, cell: Cell, phase: str | None = None) -> Measured:
        """The Dice of a cell, for ``compare_contrasts``; of the scans of one phase where one is given."""
        by_organ: dict[str, Values] = {}
        shape = len(self.methods), self.plan.seeds, len(self.patients)
        overall = np.full(shape, np.nan)
        scans: dict[str, Values] = {organ: np.full(shape, np.nan) for organ in self.organs}
        for (method, seed), rows in self._rows[cell].items():
            kept = [row for row in rows if row.metric == "dice" and phase in (None, row.phase)]
            place = self.methods.index(method), seed
            for patient, value in _by_patient(kept).items():
                overall[(*place, self.patients.index(patient))] = value
            for organ in self.organs:
                for patient, value in _by_patient([row for row in kept if row.organ == organ]).items():
                    scans[organ][(*place, self.patients.index(patient))] = value
        by_organ = {organ: values for organ, values in scans.items() if not np.isnan(values).all()}
        has = ~np.isnan(overall).any((0, 1))
        return Measured(
            table=cell.name,
            arms=self.methods,
            values=overall[..., has],
            families=self.families,
            folds=None
            if self._folds is None
            else [fold for fold, known in zip(self._folds, has, strict=True) if known],
            organs={organ: values[..., has] for organ, values in by_organ.items()},
        )

    @cached_property
    def refiners(self) -> list[list[str]]:
        """Strategies that refine, together those of one coarse run; ``FLOOR`` is the coarse map of the first."""
        found: dict[tuple[Step | None, ...], list[str]] = {}
        for strategy in self.plan.strategies:
            if strategy.refines:
                runs = [run for run in self.plan.runs() if run.strategy == strategy]
                found.setdefault(tuple(map(self.pipelines.coarse_map, runs)), []).append(strategy.name)
        return list(found.values())

    @cached_property
    def families(self) -> dict[str, str]:
        """Strategy -> those that vary alike: refiners of one coarse run; networks of one kind; each other by itself."""
        found = {name: f"refiners {number}" for number, names in enumerate(self.refiners) for name in names}
        for strategy in self.plan.strategies:
            if "segment" in strategy.stages and strategy.coarse_stage != "segment":
                numbers = self.plan.numbers_of(strategy, "segment")
                kind = numbers.get("network_def"), bool(numbers.get("consistency"))  # a mean teacher's runs vary more
                found[strategy.name] = f"networks {short_hash(kind)}"
        return {name: found.get(name, name) for name in (FLOOR, *(one.name for one in self.plan.strategies))}

    @cached_property
    def _folds(self) -> list[int] | None:
        """The fold of each patient; None for one test set."""
        if len(self.plan.splits) < 2:
            return None
        tested = {
            case.patient: number
            for number, cases in enumerate(self.plan.splits.values())
            for case in cases
            if case.fold is None
        }
        return [tested[patient] for patient in self.patients]

    def rows(self) -> list[dict[str, Any]]:
        """All values, each with its seed, labels and budget."""
        return [
            {
                "labels": cell.labels.name,
                "budget": cell.budget,
                "seed": seed,
                **{name: getattr(row, name) for name in Row.__dataclass_fields__ if name != "method"},
                "method": method,
            }
            for cell, by_run in self._rows.items()
            for (method, seed), rows in by_run.items()
            for row in rows
        ]

    def costs(self, cell: Cell) -> list[dict[str, Any]]:
        """One line per strategy: what a run cost, on the machine it ran on, mean over seeds and splits."""
        runs = [run for run in self.plan.runs() if run.cell == cell]
        return [
            cost_of(name, [run for run in runs if run.strategy.name == name], self.pipelines)
            for name in dict.fromkeys(run.strategy.name for run in runs)
        ]

    def learnt(self, cell: Cell) -> dict[str, Any]:
        """How many patients and scans the numbers of a cell learnt from, over seeds and splits."""
        members = [
            self.plan.members(split, cell.labels, seed) for split in self.plan.splits for seed in range(self.plan.seeds)
        ]
        training = [[case for case in cases if case.fold is not None] for cases in members]
        labelled = [[case for case in cases if case.label is not None] for cases in training]
        return {
            "patients": sorted({len({case.patient for case in cases}) for cases in labelled}),
            "labelled_scans": sorted({len(cases) for cases in labelled}),
            "scans": sorted({len(cases) for cases in training}),
        }

    def embeddings(self) -> list[dict[str, Any]]:
        """One line per measure of the embed stage: "untrained", "begun" or a strategy -> mean over its runs."""
        found: dict[str, dict[str, list[float]]] = {}
        for run in self.plan.runs():
            for step in self.pipelines.steps(run):
                path = step.folder / "embeddings" / "summary.json"
                for title, by_encoder in (for_show(path, _measures) or []) if path.is_file() else []:
                    line = found.setdefault(title, {})
                    for encoder in ("pretrained", *ENCODERS_BEFORE):
                        method = run.strategy.name if encoder == "pretrained" else encoder
                        if (value := by_encoder.get(encoder)) is not None:
                            line.setdefault(method, []).append(value)
        return [
            {"measure": title, **{method: float(np.mean(values)) for method, values in line.items()}}
            for title, line in found.items()
        ]

    def left_out(self) -> dict[str, int]:
        """What runs went on without, and why -> in how many runs."""
        steps = [step for run in self.plan.runs() for step in self.pipelines.steps(run)]
        return Counter(f"{step.stage}: {step.left_out}" for step in steps if step.left_out)


def _by_patient(rows: Iterable[Row]) -> dict[str, float]:
    """Each patient's mean over organs of the mean over scans."""
    return {
        patient: float(value)
        for patient, value in patient_means((row.patient, row.organ, row.value) for row in rows).items()
    }


def _measures(path: Path) -> list[tuple[str, dict[str, float | None]]]:
    """Title and values by encoder, for each measure of the embed stage."""
    content = plain_note(path)
    found = []
    for measure in content["measures"]:
        values = [None if value is None else float(value) for value in measure["found"]]
        found.append((str(measure["title"]), dict(zip(content["encoders"], values, strict=True))))
    return found
