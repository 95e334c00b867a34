"""A cohort after the stages, which tests of this folder share, and the fuzz test's counts at the end of a run."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.stages import run_here


@pytest.fixture(scope="session")
def predicted(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cohort with models after an epoch, and predictions."""
    cohort = Path(shutil.copytree(phantoms, tmp_path_factory.mktemp("predicted") / "cohort"))
    shutil.copytree(cohort / "labels", cohort / "by_hand")
    few = {"max_epochs": 1, "epoch_length": 2}
    run_here("coarse", dataset_dir=cohort, **few)
    train = {"clusters_per_batch": 4, "calibration_batches": 1, "encoder_weights": None}
    run_here("train", dataset_dir=cohort, attention_dir=cohort / "by_hand", **few, **train)
    run_here("inference", dataset_dir=cohort, attention_dir=cohort / "by_hand")
    return cohort


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say how many probes of each kind were made."""
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, [])]
    lines = [value for report in reports for name, value in report.user_properties if name == "probes"]
    if lines:
        terminalreporter.write_line("fuzz: " + "; ".join(lines))
