"""Inference for the ensemble: class probabilities of a scan on its stored voxels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor
from monai.transforms import Invert, Orientation

from ..cohort.volume_files import case_id
from .derived import read_modalities
from .generated import Generated
from .source import images_of


class InferClass:
    """A trained algorithm, built by inference.yaml with the numbers of its training; MONAI expects this name.

    Args:
        config_file: files of configs/ of the generated folder, as a list or separated by commas.
        override: ``rank``, the number of the GPU to use, and numbers as "inference#key".
    """

    def __init__(self, config_file: str | Sequence[str], **override: Any) -> None:
        algorithm = Generated.read(config_file, override, trained=True)
        parser = ConfigParser()
        parser.read_config(algorithm.config("inference"))
        parser.update(algorithm.overrides("inference"))
        if torch.cuda.is_available() and "rank" in override:
            parser.update({"device": torch.device("cuda", int(override["rank"]))})
        names = ("device", "labels", "network", "inferer")
        self.device, self.labels, self.network, self.inferer = map(parser.get_parsed_content, names)
        shared = parser.get_parsed_content("shared")
        self.channels = shared.image_channels
        parser.get_parsed_content("handlers#0").load()  # weights
        self.network.eval()

    @torch.no_grad()
    def infer(self, image_file: Mapping[str, Any] | str) -> MetaTensor:
        """Class probabilities (K + 1, X, Y, Z), background first, on the voxels of the file and with its metadata.

        The most probable class is the one inference.yaml would write.

        Args:
            image_file: a path, or an entry of the datalist, ``{"image": path}`` or ``{"image": [path, ...]}``.

        Raises:
            SemclError: when the scan cannot be read.
        """
        files = [Path(file) for file in images_of(image_file)]
        stored = read_modalities(files, case_id(files[0]) or files[0].name, self.channels)
        orient = Orientation(axcodes="RAS", labels=None)
        image = cast(MetaTensor, orient(stored))
        found = self.inferer.probabilities(image[None].to(self.device), self.network, len(self.labels) + 1)[0]
        found = MetaTensor(found, meta=image.meta)
        found.applied_operations = image.applied_operations
        as_stored: MetaTensor = Invert(orient)(found)
        return as_stored
