"""The benchmark of the audit: how its measures are computed, and its table."""

import numpy as np
import pytest

from bench import audit


def test_auroc_and_precision_by_kind():
    wrong = np.array([True, True, False, False, False])
    kinds = np.array(["leak", "island", "", "", ""])
    scores = np.array([0.9, 0.1, 0.5, 0.2, np.nan])
    found = {(kind, measure): value for kind, measure, value in audit.measured(wrong, kinds, scores)}
    assert found["leak", "auroc"] == 1
    assert found["island", "auroc"] == 0
    assert found["all", "auroc"] == pytest.approx(0.5)
    assert found["all", "precision"] == 0.5


def test_the_table_has_means_with_intervals(tmp_path, monkeypatch):
    path = tmp_path / "audit.csv"
    rows = [f"toys,label errors,0.1,{seed},both,leak,auroc,{value}" for seed, value in ((1, 0.8), (2, 0.9))]
    path.write_text("\n".join([",".join(audit.COLUMNS), *rows]))
    monkeypatch.setattr(audit, "ROWS", path)
    assert audit.as_markdown() == (
        "toys, label errors, 10% wrong: auroc, 2 seeds\n\n| | both |\n|---|---|\n| leak | 0.85 ± 0.64 |"
    )
