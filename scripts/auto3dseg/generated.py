"""A folder that Auto3DSeg generated: its paths, and the numbers of its stages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

CHAIN_STAGES = ("coarse", "pretrain", "train", "inference")
CONFIG_SUFFIXES = (".yaml", ".yml", ".json")
CONFIG = "hyper_parameters.yaml"


@dataclass(frozen=True)
class Generated:
    """The algorithm of one fold: its folder, the fold, and its numbers by stage ("common" for all stages)."""

    folder: Path
    fold: int
    numbers: Mapping[str, Mapping[str, Any]]

    @classmethod
    def read(cls, config_file: str | Sequence[str], override: Mapping[str, Any]) -> Generated:
        """Read the files of configs/.

        Args:
            config_file: files, as a list or separated by commas; the generated folder is the parent of theirs, so it
                may be moved.
            override: numbers as "stage#key"; other keys, which may be other algorithms', are ignored.
        """
        listed = config_file.split(",") if isinstance(config_file, str) else list(config_file)
        files = [file for file in listed if file.endswith(CONFIG_SUFFIXES)]
        content = ConfigParser.load_config_files(files)
        numbers = {group: dict(content.get(group) or {}) for group in ("common", *CHAIN_STAGES)}
        for key, value in override.items():
            group, _, name = key.partition("#")
            if name and group in numbers:
                numbers[group][name] = value
        return cls(Path(files[0]).resolve().parent.parent, int(content["fold"]), numbers)

    @property
    def cohort(self) -> Path:
        """Folder of the cohort, into which the stages write."""
        return self.folder / "cohort"

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
        return str(self.bundle / "configs" / f"{stage}.yaml")

    def overrides(self, stage: str) -> dict[str, Any]:
        """Values that override those of a stage's config."""
        places = {"bundle_root": str(self.bundle), "dataset_dir": str(self.cohort)}
        return {**self.numbers["common"], **self.numbers[stage], **places}
