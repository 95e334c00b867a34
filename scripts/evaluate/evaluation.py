"""The evaluate stage: label maps against the ground truth, as a table, summary, figures, pictures and a report."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import torch

from .. import ranks
from ..cohort.case import Case, input_files
from ..cohort.label_table import LabelTable
from ..cohort.window import window_ends
from ..errors import SemclError, one_of
from ..files import write_text
from ..job.job import Job
from ..names import bad_cell
from ..printable import counted
from .expected import expected_beside_measured
from .folders import measurable, print_left_out
from .metrics import METRICS
from .owned_outputs import claim, folder_output, rows_output
from .report import Report
from .rows import TRUTH, Row, measure_cases, write_rows
from .shard_rows import ShardRows
from .summary import Summary
from .surfaces import AREA, NSD_COUNTS
from .verdict import EQUIVALENCE
from .worst_cases import case_picture, worst_cases


class Evaluation:
    """Measures folders of label maps against the ground truth and writes the results.

    Args:
        cases: cases with label maps.
        table: the label table.
        methods: name -> folder of label maps; the others are compared with the first.
        output_dir: where rows.csv, summary.json, figures/, pictures/ and report.html are written; the report shows its
            curves/, jobs/ and embeddings/.
        window: intensities shown in the pictures.
        name: the cohort's name, for the title.
        tolerance: of NSD, mm, for organs without one in the label table.
        pictures: how many cases are pictured, from the worst.
        others: more folders to compare, named by their last part.
        workers: how many cases are measured at once.
        seen: whether it is known which cases the networks were trained on.
        equivalence: the largest difference of Dice, IoU and NSD that means nothing in practice; 0 for none.
        nsd: what NSD counts, "area" of the surfaces or "edges": their voxels.
        common: leave out cases that a method has no map of, and say which, instead of refusing them.
        cohort: ids of all cases of the cohort with a label map, whose maps are not missing a ground truth.
        job: the run; with a shard, only that shard is measured, into rows/, where a run without one collects it.

    Raises:
        SemclError: for two methods of the same name, one called truth, or an invalid tolerance, number of pictures,
            equivalence or window.
    """

    def __init__(
        self,
        cases: Sequence[Case],
        table: LabelTable,
        methods: Mapping[str, str],
        output_dir: str,
        window: Sequence[float] | str,
        name: str,
        tolerance: float = 2.0,
        pictures: int = 5,
        others: Sequence[str] = (),
        workers: int = 2,
        seen: bool = True,
        equivalence: float = EQUIVALENCE,
        nsd: str = AREA,
        common: bool = False,
        cohort: Collection[str] = (),
        job: Job | None = None,
    ) -> None:
        for option, number, valid, expected in (
            ("tolerance", tolerance, 0 < tolerance < math.inf, "mm above 0"),
            ("pictures", pictures, pictures >= 0, "0 or more"),
            ("equivalence", equivalence, 0 <= equivalence < 1, "0 or more, below 1"),
        ):
            if not valid:
                raise SemclError(
                    f"{option} cannot be {number}",
                    found=f"{option} {number}",
                    expected=expected,
                    remedy=f"set {option}",
                )
        self.table, self.name = table, name
        self.methods = {method: Path(folder) for method, folder in methods.items()} | name_methods(others, methods)
        if TRUTH in self.methods:
            raise SemclError(
                f"a method cannot be called {TRUTH}",
                found=f"folder {self.methods[TRUTH]}",
                expected=f"another name: method {TRUTH} is the ground truth",
                remedy="rename or link the folder",
            )
        self.cases, self.left_out = measurable(cases, self.methods, common, cohort)
        window_ends(torch.zeros(1), window)  # refuse an invalid window before anything is measured
        self.output_dir, self.window, self.tolerance = Path(output_dir), window, tolerance
        self.pictures, self.workers, self.seen, self.job = pictures, workers, seen, job
        self.equivalence, self.nsd = equivalence, nsd
        one_of("nsd", nsd, NSD_COUNTS)

    def run(self) -> None:
        """Measure, compare and write; all ranks measure, the first does the rest.

        Raises:
            SemclError: when a map is missing or does not fit, there is nothing to measure, or files that are not an
                evaluation's would be replaced.
        """
        ranks.first_alone(self._check)
        if ranks.number() == 0:
            print_left_out(self.left_out)
        rows = self.measured_rows()
        if ranks.number() or (self.job and self.job.shard):
            return
        if not any(row.metric == METRICS[0].name for row in rows):
            raise SemclError(
                "there is nothing to measure",
                found=f"no organ in the label maps of {counted(len(self.cases), 'case')}",
                expected="at least one organ in one case",
                remedy="check that the label maps are those of these scans",
            )
        claim(self.output_dir, self.cases, self.pictures > 0)
        summary = Summary(rows, tuple(self.methods), self.table.names, self.table.phases, self.equivalence)
        write_rows(self.output_dir / "rows.csv", rows)
        expected = expected_beside_measured(rows, summary.main, self.methods[summary.main])
        content = summary.content() | ({"expected_dice": expected.content()} if expected else {})
        write_text(self.output_dir / "summary.json", json.dumps(content, indent=1))
        report = Report(summary, self.name, self.counts(), self.output_dir, self.tolerances(), expected)
        pictured = worst_cases(summary, self.cases, self.pictures)
        folder = self.output_dir / "pictures"
        report.pictures = [
            case_picture(case, dice, self.methods, summary.main, self.table, self.window, folder)
            for case, dice in pictured
        ]
        folder_output(folder, self.output_dir).keep_only([f"{case.id}.png" for case, _ in pictured])
        report.legend = report.colours(self.table.names)
        report.write()
        print(f"{summary.headline()} {summary.beside_headline()}".rstrip())
        print(f"report: {self.output_dir / 'report.html'}")

    def _check(self) -> None:
        """Refuse to replace files that are not an evaluation's, before anything is measured."""
        if self.job and self.job.shard:
            rows_output(self.output_dir).claim(input_files(self.cases))
        else:
            claim(self.output_dir, self.cases, self.pictures > 0, check_only=True)

    def measured_rows(self) -> list[Row]:
        """The rows of the run's cases: those that runs of shards have left, and the others, shared by the ranks."""
        cases = self.job.part(self.cases) if self.job else self.cases
        shard_rows = ShardRows(self.output_dir / "rows", self.methods, self.table, self.tolerance, self.nsd)
        kept = shard_rows.read(cases)
        own = ranks.own([case for case in cases if case.id not in kept])
        rows = measure_cases(own, self.methods, self.table, self.tolerance, self.workers, self.nsd)
        for rows_of_rank in ranks.gathered(rows):
            for row in rows_of_rank:
                kept.setdefault(row.case, []).append(row)
        found = [row for case in cases for row in kept.get(case.id, [])]
        if self.job and self.job.shard and ranks.number() == 0:
            shard_rows.write(self.job.shard.name, cases, found)
            print(f"measured {len(cases)} of {counted(len(self.cases), 'case')}; run it without --shard to compare")
        return found

    def counts(self) -> str:
        """How many cases and patients were measured, and whether the networks had seen them."""
        patients = len({case.patient for case in self.cases})
        size = f"{counted(len(self.cases), 'case')} of {counted(patients, 'patient')}"
        seen = sum(case.fold is not None for case in self.cases)
        use = "kept for testing" if not seen else f"{seen} of which the refiner was trained on, which flatters it"
        return f"{size}, {use}." if self.seen else f"{size}."

    def tolerances(self) -> str:
        """The tolerances of NSD and what it counts, in words."""
        own = [f"{organ.name.replace('_', ' ')} {organ.tolerance:g}" for organ in self.table.organs if organ.tolerance]
        rest = [f"{'others ' if own else ''}{self.tolerance:g}"] if len(own) < len(self.table) else []
        counted = "by their area" if self.nsd == AREA else "by their voxels"
        return f"{', '.join(own + rest)} mm; {counted}"


def name_methods(folders: Sequence[str], taken: Mapping[str, str] | None = None) -> dict[str, Path]:
    """Folders of label maps, each by the last part of its path.

    Args:
        folders: paths of folders.
        taken: methods that have a name already.

    Raises:
        SemclError: when two have the same name, or a name cannot stand in a table.
    """
    found: dict[str, Path] = {}
    taken = taken or {}
    for folder in folders:
        path = Path(folder)
        name = path.name or path.resolve().name
        wrong = bad_cell("a method", name)
        if wrong:
            raise wrong
        if name in found or name in taken:
            raise SemclError(
                "two methods of the same name",
                found=f"{found.get(name, taken.get(name))} and {path}",
                expected="folders that differ in their last part, which names the method",
                remedy="rename or link one of them",
            )
        found[name] = path
    return found
