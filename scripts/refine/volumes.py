"""Volumes of inference: reading scans with their attention maps, and writing predictions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.data import Dataset, MetaTensor
from monai.engines import PrepareBatch
from monai.transforms import Transform

from ..cohort.attention import attention_path, read_attention, stored_affine, stored_indices
from ..cohort.label_table import LabelTable
from ..cohort.pictures import is_photo, write_photo
from ..cohort.volume import read
from ..cohort.volume_files import case_id
from ..errors import root_cause
from ..files import write_volume
from ..job.job import Job


class ReadVolume(Transform):
    """From {"image": path} to {"case": id, "source": path, "image": (C, X, Y, Z) in RAS, "attention": if any}.

    Args:
        table: the label table.
        attention_dir: folder of attention maps, <case>.nii.gz, where there are any.
        channels: C of the images.
    """

    def __init__(self, table: LabelTable, attention_dir: str, channels: int = 1) -> None:
        self.table, self.attention_dir, self.channels = table, attention_dir, channels

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Read a scan; its id is "case" if given, else the name of its file.

        Raises:
            SemclError: when the scan or its attention map cannot be read, or they do not match.
        """
        source = Path(data["image"])
        case = str(data.get("case") or case_id(source) or source.name)
        image = read(source, case, self.channels)
        sample = {**data, "case": case, "source": str(source), "image": image}
        path = attention_path(self.attention_dir, case)
        if path.is_file():
            sample["attention"] = read_attention(path, image, case, self.table)[None]
        return sample


class VolumeDataset(Dataset):
    """MONAI's Dataset, but a case that cannot be read becomes a single voxel with the reason as "failed".

    So the other cases are still segmented.
    """

    def _transform(self, index: int) -> Any:
        try:
            return super()._transform(index)
        except Exception as error:  # MONAI wraps what a transform raises
            cause = root_cause(error)
            if cause is None:
                raise
        case, voxel = self.data[index], torch.zeros(1, 1, 1, 1)
        image = MetaTensor(voxel, meta={"original_affine": torch.eye(4)})
        failed = {"attention": voxel.to(torch.int16), "failed": str(cause)}
        return {"case": case["case"], "source": case["image"], "image": image, **failed}


class PrepareVolume(PrepareBatch):
    """Prepare batches of inference: one volume as input, and its attention map, if it has one, for the inferer."""

    def __call__(
        self, batchdata: dict[str, Any], device: Any = None, non_blocking: bool = False, **kwargs: Any
    ) -> tuple[torch.Tensor, None, tuple[()], dict[str, Any]]:
        image = batchdata["image"].to(device, non_blocking=non_blocking)
        given: dict[str, Any] = {}
        if "attention" in batchdata:
            given["attention"] = batchdata["attention"].to(device, non_blocking=non_blocking)
        return image, None, (), given


class ToStoredLabels(Transform):
    """From "pred" as object numbers (1, X, Y, Z) on the voxels of "image" to label numbers on those of its file.

    Args:
        table: the label table.
    """

    def __init__(self, table: LabelTable) -> None:
        self.table = table

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        return {**data, "pred": stored_indices(data["pred"][0], data["image"], self.table)[None]}


class WriteLabelMap:
    """Handler: write each prediction in the geometry of its scan, as <case>.nii.gz, or <case>.png of a picture.

    Args:
        folder: of the predictions.
        job: cases that could not be read are reported to it.
    """

    def __init__(self, folder: str, job: Job) -> None:
        self.folder, self.job = Path(folder), job

    def attach(self, engine: Engine) -> None:
        """Attach to the engine."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        for sample in samples(engine):
            if "failed" in sample:
                self.job.fail(sample["case"], sample["failed"])
                continue
            path = prediction_path(self.folder, sample["case"], sample["source"])
            if is_photo(path):
                write_photo(path, np.asarray(sample["pred"][0]))
            else:
                write_volume(path, sample["pred"][0], stored_affine(sample["image"]))


def prediction_path(folder: Path, case: str, source: str | Path) -> Path:
    """Path of the prediction of a case whose scan is ``source``."""
    return folder / f"{case}{'.png' if is_photo(source) else '.nii.gz'}"


def samples(engine: Engine) -> Iterator[dict[str, Any]]:
    """The samples of an evaluator's last step, each as one mapping of inputs and outputs."""
    state: Any = engine.state
    for inputs, outputs in zip(state.batch, state.output, strict=True):
        yield {**inputs, **outputs}
