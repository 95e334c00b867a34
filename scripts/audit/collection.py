"""The objects of a cohort, gathered scan by scan: kept beside the results, so that an interrupted audit goes on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from .. import freshness
from ..bars import bar
from ..cohort.attention import attention_path
from ..cohort.case import Case
from .examples import Examples, joined, read_examples
from .measures import ObjectMap
from .scan import MAP, OPINION, ScanReader

FORMAT_OF_EXAMPLES = "audit 2"  # incremented whenever what is gathered changes


@dataclass(frozen=True)
class Collector:
    """Gathers the objects of scans.

    Args:
        reader: of scans and their maps.
        folder: where the objects of each scan are kept.
        made_with: what else they depend on, as plain data: the encoder, say.
        seed: of the injected errors.
        blur: from a label map and a case's id to a map as a network might give it, for examples of Dice; None for none.
    """

    reader: ScanReader
    folder: Path
    made_with: Sequence[object]
    seed: int = 0
    blur: Callable[[torch.Tensor, str], torch.Tensor] | None = None

    def gather(self, cases: Sequence[Case], maps: Mapping[str, Path]) -> Examples:
        """The objects of all cases: as found, in maps, and in label maps with injected errors."""
        parts = []
        for number, case in enumerate(bar(cases, total=len(cases), title="audit", unit="case")):
            donor = self._donor(case, [*cases[number + 1 :], *cases[:number]])
            key = self._key(case, maps.get(case.id), donor)
            path = self.folder / f"{case.id}.npz"
            found = read_examples(path, key)
            if found is None:
                found = self.examine(case, maps.get(case.id), donor)
                found.write(path, key)
            parts.append(found)
        return joined(parts)

    def examine(self, case: Case, given: Path | None, donor: Case | None) -> Examples:
        """The objects of one scan.

        Args:
            case: the case.
            given: its map, if any.
            donor: whose label map is taken for the map of another scan.
        """
        scan = self.reader.scan(case, given)
        if scan.given is not None:
            scan.add(scan.given, source=MAP)
        if scan.label is not None:
            scan.add(scan.label)
            if scan.attention is not None:
                scan.add(scan.attention, source=OPINION)
            blur = self.blur
            scan.inject(
                self.seed,
                None if donor is None else self._label(donor),
                None if blur is None else lambda objects: blur(objects, case.id),
            )
        return scan.examples()

    def _label(self, case: Case) -> ObjectMap | None:
        return self.reader.scan(case).label

    def _donor(self, case: Case, others: Sequence[Case]) -> Case | None:
        if case.label is None:
            return None
        return next((one for one in others if one.patient != case.patient and one.label is not None), None)

    def _key(self, case: Case, given: Path | None, donor: Case | None) -> str:
        files = [case.image, case.label, attention_path(self.reader.attention_dir, case.id), given]
        stamps = [freshness.stamp(path) for path in (*files, donor.label if donor else None)]
        grid, table = self.reader.grid.settings(), self.reader.table.digest()
        about = [case.phase, case.patient, case.annotated and list(case.annotated), str(donor and donor.id)]
        return freshness.key([FORMAT_OF_EXAMPLES, grid, table, stamps, about, self.seed, list(self.made_with)])
