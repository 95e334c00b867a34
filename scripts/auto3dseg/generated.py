"""A folder that Auto3DSeg generated: its paths, and the numbers of its stages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

from ..sidefiles import shown_note
from .flat_names import StageNumbers, config_of, staged

CONFIG_SUFFIXES = (".yaml", ".yml", ".json")
CONFIG = "hyper_parameters.yaml"
TRAINED_WITH = "cohort/jobs/chain.json"
MLFLOW = {"mlflow_tracking_uri": "tracking_uri", "mlflow_experiment_name": "experiment_name"}  # ours -> MONAI's


@dataclass(frozen=True)
class Generated:
    """The algorithm of one fold.

    Args:
        folder: the generated one.
        fold: kept for validation.
        numbers: by stage, "common" for all stages.
        ignored: names of numbers that are other algorithms'.
        tracking: arguments of a workflow that MLflow follows; empty without a server.
    """

    folder: Path
    fold: int
    numbers: StageNumbers
    ignored: tuple[str, ...] = ()
    tracking: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, config_file: str | Sequence[str], override: Mapping[str, Any], trained: bool = False) -> Generated:
        """Read the files of configs/.

        Args:
            config_file: files, as a list or separated by commas; the generated folder is the parent of theirs, so it
                may be moved.
            override: numbers by the names of ``staged``, and mlflow_tracking_uri and mlflow_experiment_name.
            trained: whether to begin with the numbers that it was trained with, where it was, instead of the files'.
        """
        listed = config_file.split(",") if isinstance(config_file, str) else list(config_file)
        files = [file for file in listed if file.endswith(CONFIG_SUFFIXES)]
        content = ConfigParser.load_config_files(files)
        server = {name: override.get(name, content.get(name)) for name in MLFLOW}
        folder = Path(files[0]).resolve().parent.parent
        noted = shown_note(folder / TRAINED_WITH).get("numbers") if trained else None
        own = {key: value for key, value in override.items() if key not in MLFLOW}
        numbers, ignored = staged(own, noted if isinstance(noted, dict) else content)
        tracking = {MLFLOW[name]: str(value) for name, value in server.items() if value}
        tracking = {"tracking": "mlflow", **tracking} if server["mlflow_tracking_uri"] else {}
        return cls(folder, int(content["fold"]), numbers, tuple(ignored), tracking)

    @property
    def cohort(self) -> Path:
        """Folder of the cohort, into which the stages write."""
        return self.folder / "cohort"

    @property
    def note(self) -> Path:
        """What it was trained with, and how far."""
        return self.folder / TRAINED_WITH

    @property
    def models(self) -> Path:
        """Folder of the weights, and of progress.yaml."""
        return self.cohort / "models"

    @property
    def bundle(self) -> Path:
        """Folder of the bundle."""
        return self.folder / "bundle"

    def config(self, stage: str) -> str:
        """Path of a stage's config."""
        return str(self.bundle / "configs" / f"{config_of(stage, self.numbers)[0]}.yaml")

    def overrides(self, stage: str) -> dict[str, Any]:
        """Values that override those of a stage's config."""
        places = {"bundle_root": str(self.bundle), "dataset_dir": str(self.cohort)}
        _, needed = config_of(stage, self.numbers)
        return {**self.numbers["common"], **self.numbers[stage], **needed, **places}
