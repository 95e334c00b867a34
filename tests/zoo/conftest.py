"""A release with models, made of a small cohort, unpacked as in the Model Zoo."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from tests.stages import SMALL, run_here
from tests.zoo import isolated
from tools.release import NAME, release

collect_ignore = [path.name for path in isolated.UNIT_TESTS]  # run on the release, not on this repository


@pytest.fixture(scope="session")
def numbers() -> dict[str, object]:
    """The numbers of common.yaml the models are trained with."""
    common = yaml.safe_load(Path("bundle/configs/common.yaml").read_text())
    given = {key: value for stage in SMALL.values() for key, value in stage.items() if key in common}
    return {key: yaml.safe_load(str(value)) for key, value in given.items()}


@pytest.fixture(scope="session")
def trained(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cohort after training and evaluation; never write into it."""
    cohort = Path(shutil.copytree(phantoms, tmp_path_factory.mktemp("zoo") / "cohort"))
    for stage, given in {
        "coarse": {"max_epochs": 1, "epoch_length": 10},
        "pretrain": {"max_epochs": 1},
        "train": {"max_epochs": 1, "calibration_batches": 5},
        "inference": {},
        "evaluate": {"pictures": 0},
    }.items():
        run_here(stage, dataset_dir=cohort, **given)
    return cohort


@pytest.fixture(scope="session")
def zoo(trained: Path, numbers: dict[str, object], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The zoo's folder, outside this repository, with the release from the zip."""
    folder = tmp_path_factory.mktemp("release")
    (folder / "small.yaml").write_text(yaml.safe_dump(numbers))
    release(str(folder), cohort=str(trained), overlay=str(folder / "small.yaml"))
    (archive,) = folder.glob("*.zip")
    shutil.rmtree(folder / NAME)
    return isolated.unpack(archive, folder / "zoo")


@pytest.fixture(scope="session")
def bundle(zoo: Path) -> Path:
    """The release."""
    return zoo / "models" / NAME
