"""The Dice that inference expected, beside the Dice that was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from ..refine.expected_dice import quality_path, read_quality
from ..sidefiles import for_show
from .metrics import FALSE_POSITIVE
from .rows import Row

FEWEST_EXPECTED = 3  # organs of scans from which a correlation is computed


@dataclass(frozen=True)
class ExpectedBesideMeasured:
    """The expected and the measured Dice (N,) of organs of scans; N is at least ``FEWEST_EXPECTED``."""

    expected: NDArray[np.float64]
    measured: NDArray[np.float64]

    def content(self) -> dict[str, Any]:
        """The comparison as plain data: number, Pearson's and Spearman's correlation (None of equal values), errors."""
        varied = np.ptp(self.expected) > 0 and np.ptp(self.measured) > 0
        apart = self.expected - self.measured
        return {
            "organs_of_scans": len(apart),
            "correlation": float(np.corrcoef(self.expected, self.measured)[0, 1]) if varied else None,
            "rank_correlation": float(spearmanr(self.expected, self.measured).statistic) if varied else None,
            "mean_absolute_error": float(np.abs(apart).mean()),
            "mean_difference": float(apart.mean()),
        }

    def in_words(self) -> str:
        """The comparison in a sentence."""
        found = self.content()
        rank = "" if found["rank_correlation"] is None else f" (rank correlation {found['rank_correlation']:.2f})"
        return (
            f"Of {found['organs_of_scans']} segmented organs of scans, the Dice that inference expected differs from "
            f"the measured one by {found['mean_absolute_error']:.2f} on average{rank}; "
            f"the mean difference is {found['mean_difference']:+.2f}."
        )


def expected_beside_measured(rows: Sequence[Row], method: str, folder: Path) -> ExpectedBesideMeasured | None:
    """Compare the measured Dice of a method with what lies beside its predictions; None with too little of it.

    An organ that is drawn where the ground truth has none has Dice 0, although it has no row of it.

    Args:
        rows: the table of rows.
        method: whose rows are compared.
        folder: of its predictions.
    """
    measured: dict[str, dict[str, float]] = {}
    for row in rows:
        if row.method == method and row.metric == "dice":
            measured.setdefault(row.case, {})[row.organ] = row.value
        elif row.method == method and row.metric == FALSE_POSITIVE and row.value > 0:
            measured.setdefault(row.case, {})[row.organ] = 0.0
    pairs = []
    for case, by_organ in measured.items():
        path = quality_path(folder, case)
        expected = (for_show(path, read_quality) if path.is_file() else None) or {}
        pairs += [(dice, by_organ[organ]) for organ, dice in expected.items() if organ in by_organ]
    return ExpectedBesideMeasured(*np.array(pairs).T) if len(pairs) >= FEWEST_EXPECTED else None
