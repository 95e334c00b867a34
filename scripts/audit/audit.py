"""The audit of a cohort: gathers, judges, and writes audit.csv, summary.json and the page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from ..coarse.inferer import CoarseInferer
from ..coarse.simulated import simulate_map
from ..cohort.attention import attention_path
from ..cohort.case import Case, input_files
from ..cohort.label_table import LabelTable
from ..cohort.volume_files import volumes
from ..errors import SemclError, one_of, raise_all
from ..files import write_text
from ..outputs import Output
from .collection import Collector
from .findings import above, write_audit
from .judging import Judgement, in_one_sentence, judge
from .kinds import AUDIT_KINDS
from .page import write_page
from .scan import ScanReader

NO_OPINION = (
    "audit: attention maps of labelled cases are simulated from their label maps, so agreement with them is left out,"
    " and an encoder that was pretrained with them has seen the errors it is to find; coarse_dims: 3 in the overlay of"
    " semcl run (coarse.yaml --labelled_maps cross-fitted) makes maps that are a second opinion"
)
BLUR = (0.2, 1.6)  # of simulated maps, as ``simulate_map`` takes it: from almost right to a failure


class Audit:
    """Finds label maps, phases and predictions that look wrong beside those of other patients.

    Args:
        cases: of the cohort.
        table: the label table.
        reader: of scans and maps.
        output_dir: where audit/ is written.
        inferer: of the coarse network, whose maps are imitated.
        made_with: what embeddings depend on, as plain data.
        maps: folder of label maps that are audited instead of the cohort's (those are judged too where all
            are of scans without one); None for the cohort's.
        threshold: of the suspicion from which a finding counts.
        allow: kinds of findings that are accepted.
        usable: the least Dice of a usable segmentation.
        pictures: how many objects the page pictures, from the most suspicious.
        seed: of the injected errors, the folds and the trees.
    """

    def __init__(
        self,
        cases: Sequence[Case],
        table: LabelTable,
        reader: ScanReader,
        output_dir: str,
        inferer: CoarseInferer,
        made_with: Sequence[object] = (),
        maps: str | None = None,
        threshold: float = 0.5,
        allow: Sequence[str] = (),
        usable: float = 0.6,
        pictures: int = 8,
        seed: int = 0,
    ) -> None:
        for name in allow:
            one_of("allow", name, list(AUDIT_KINDS))
        self.cases, self.table, self.reader, self.folder = list(cases), table, reader, Path(output_dir) / "audit"
        self.inferer, self.made_with, self.maps = inferer, made_with, Path(maps) if maps else None
        self.threshold, self.allow, self.usable, self.seed = threshold, list(allow), usable, seed
        self.pictures = pictures

    def run(self) -> Judgement:
        """Audit and write.

        Raises:
            SemclError: when there is nothing to compare, a map is missing or does not fit, or the folder holds
                something else.
        """
        patients = {case.patient for case in self.cases if case.label is not None}
        if len(patients) < 2:
            raise SemclError(
                "an audit compares patients",
                found=f"label maps of {len(patients)} patient{'s' * (len(patients) != 1)}",
                expected="label maps of at least two patients",
                remedy="add patients, or set section to all",
            )
        maps = self.map_files()
        if not self.reader.second_opinion:
            print(NO_OPINION)
        output = Output(self.folder, "an audit", "--output_dir")
        output.claim(input_files(self.cases))
        collector = Collector(self.reader, self.folder / "examples", self.made_with, self.seed, self._blur)
        found = judge(collector.gather(self.cases, maps), self.cases, maps, self.table, self.usable, self.seed)
        self.write(found)
        sentence, page = in_one_sentence(found, self.threshold), self.folder / "audit.html"
        write_page(page, found, self.cases, self.reader, maps, sentence, self.threshold, self.pictures)
        print(sentence)
        print(f"audit: {page}")
        return found

    def map_files(self) -> dict[str, Path]:
        """Case -> map that is judged: of the folder ``maps``, else the attention maps of scans without label maps.

        Raises:
            SemclError: when the folder holds no map of the cohort's cases, or maps of other cases.
        """
        if self.maps is None:
            paths = {case.id: attention_path(self.reader.attention_dir, case.id) for case in self.cases}
            return {case.id: paths[case.id] for case in self.cases if not case.label and paths[case.id].is_file()}
        if not self.maps.is_dir():
            raise SemclError(
                "there is no folder of maps", found=str(self.maps), expected="a folder of <case>.nii.gz",
                remedy="set --maps",
            )  # fmt: skip
        known = {case.id for case in self.cases}
        found = volumes(self.maps)
        raise_all([_stranger(name, path) for name, path in found.items() if name not in known], of="the maps")
        if not found:
            raise SemclError(
                "there are no maps", found=f"no volume in {self.maps}", expected="<case>.nii.gz", remedy="set --maps"
            )
        return found

    def write(self, found: Judgement) -> None:
        """Write audit.csv and summary.json; quality.json of other maps; label_next.csv of unlabelled scans.

        Those of an earlier audit do not stay beside what they are not about.
        """
        for name in ("label_next.csv", "quality.json"):
            (self.folder / name).unlink(missing_ok=True)
        write_audit(self.folder / "audit.csv", found.findings)
        if found.label_next is not None:
            found.label_next.write(self.folder / "label_next.csv")
        if found.expected is not None:
            write_text(self.folder / "quality.json", json.dumps(found.quality(), indent=1))
        counted = above(found.findings, self.threshold, self.allow)
        rests = (
            {} if found.verdicts is None else {"rests_on": found.verdicts.rests_on, "auroc": found.verdicts.measured}
        )
        content = {
            "headline": in_one_sentence(found, self.threshold),
            "threshold": self.threshold,
            "allowed": self.allow,
            "above": len(counted),
            "label_maps": rests,
            "phases": None
            if found.phases is None
            else {"rests_on": found.phases.rests_on, "agree": found.phases.agree},
            "label_next": found.label_next and found.label_next.content,
            "findings": [one.content for one in found.findings],
        }
        write_text(self.folder / "summary.json", json.dumps(content, indent=1))

    def _blur(self, objects: torch.Tensor, case: str) -> torch.Tensor:
        """A map as a coarse network might give it, with errors of a size drawn from the case's id and the seed."""
        seed = [self.seed, *case.encode()]
        errors = float(np.random.default_rng(seed).uniform(*BLUR))
        return simulate_map(objects, len(self.table), self.inferer, errors, f"{case} {self.seed}")


def _stranger(name: str, path: Path) -> SemclError:
    return SemclError(
        "a map of a case that is not in the cohort",
        case=name,
        found=path,
        expected="maps named after the cohort's cases",
        remedy="take it out of the folder, or rename it",
    )
