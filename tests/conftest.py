"""Cohorts the tests share: phantoms made once a session, and real scans where SEMCL_DATA names their folder."""

from __future__ import annotations

import gc
import os
import shutil
import signal
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from scripts.cohort.label_table import LabelTable, Organ
from scripts.commands.phantom import phantom

signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever started the tests may have had these ignored
signal.signal(signal.SIGHUP, signal.SIG_DFL)
LONGEST = (  # files that start first, so that none of them keeps one core busy at the end
    "faults/test_interruptions.py",
    "study/test_real_study.py",
    "real/test_hippocampus.py",
    "test_chain.py",
    "test_bench.py",
    "distributed/test_agents.py",
    "distributed/test_shards.py",
    "zoo/test_release.py",
    "distributed/test_equality.py",
    "test_main.py",
    "auto3dseg/test_tutorial.py",
    "commands/test_run.py",
    "real/test_ct_abdomen.py",
    "distributed/test_files.py",
)
torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort the longest files to the front, and leave the others in their order."""
    places = {Path(__file__).parent / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


def pytest_collection_finish() -> None:
    """Have garbage collection pass over the thousands of tests and modules, which stay: a second at a time."""
    gc.freeze()


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cohort of six phantom scans of five patients; never write into it."""
    folder = tmp_path_factory.mktemp("phantoms") / "cohort"
    phantom(str(folder), cases=6, seed=0, folds=2, test_share=0.4)
    return folder


@pytest.fixture
def cohort(phantoms: Path, tmp_path: Path) -> Path:
    """A copy of the phantom cohort, to do with as a test likes."""
    return Path(shutil.copytree(phantoms, tmp_path / "cohort"))


@pytest.fixture
def table() -> LabelTable:
    """Three organs, two of them partners, with gaps between their indices, in two phases."""
    organs = (Organ("liver", 5), Organ("right_kidney", 2, "left_kidney"), Organ("left_kidney", 9, "right_kidney"))
    return LabelTable(organs, ("noncontrast", "portal"))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real scans; without it the test is skipped."""
    folder = Path(os.environ.get("SEMCL_DATA", ""))
    if not os.environ.get("SEMCL_DATA") or not folder.is_dir():
        pytest.skip("real scans: set SEMCL_DATA to the folder that holds mr_hippocampus/ and ct_abdomen/")
    return folder


def write_nifti(path: Path, voxels: np.ndarray, affine: np.ndarray | None = None) -> Path:
    """Write a NIfTI file for a test, by default with 1 mm voxels in RAS."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(voxels, np.eye(4) if affine is None else affine), path)
    return path
