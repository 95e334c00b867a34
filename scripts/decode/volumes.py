"""Inference's way in and out: a case becomes an oriented volume with its attention, a prediction becomes a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.engines import PrepareBatch
from monai.transforms import Transform

from ..cohort.attention import attention_path, write_label_map
from ..cohort.datalist import Case
from ..cohort.labels import LabelTable
from ..cohort.volume import read, read_objects
from ..errors import SemclError
from ..job.job import Job


class ReadVolume(Transform):
    """From {"case": Case} to {"case": id, "source": its path, "image": (1, X, Y, Z) in RAS}, "attention" as it if any.

    A case that cannot be read becomes a single voxel with the reason as "failed", so that the others go on.

    Args:
        table: the label table.
        attention_dir: where attention maps may lie, as <case>.nii.gz.
    """

    def __init__(self, table: LabelTable, attention_dir: str) -> None:
        self.table, self.attention_dir = table, attention_dir

    def __call__(self, data: Mapping[str, Case]) -> dict[str, Any]:
        case = data["case"]
        try:
            return self._read(case)
        except SemclError as error:
            voxel = torch.zeros(1, 1, 1, 1)
            image = MetaTensor(voxel, meta={"original_affine": torch.eye(4)})
            failed = {"attention": voxel.to(torch.int16), "failed": str(error)}
            return {"case": case.case, "source": str(case.image), "image": image, **failed}

    def _read(self, case: Case) -> dict[str, Any]:
        image = read(case.image, case.case)
        sample: dict[str, Any] = {"case": case.case, "source": str(case.image), "image": image}
        path = attention_path(self.attention_dir, case.case)
        if path.is_file():
            objects = read_objects(path, image, case.case, self.table)
            sample["attention"] = torch.from_numpy(objects.astype(np.int16))[None]
        return sample


class PrepareVolume(PrepareBatch):
    """Batches of inference: one volume as input, its attention map, if it has one, for the inferer."""

    def __call__(
        self, batchdata: dict[str, Any], device: Any = None, non_blocking: bool = False, **kwargs: Any
    ) -> tuple[torch.Tensor, None, tuple[()], dict[str, Any]]:
        image = batchdata["image"].to(device, non_blocking=non_blocking)
        given = (
            {"attention": batchdata["attention"].to(device, non_blocking=non_blocking)}
            if "attention" in batchdata
            else {}
        )
        return image, None, (), given


class WriteLabelMap(Transform):
    """Write the prediction of a case as <case>.nii.gz in the geometry of its image.

    Args:
        table: the label table.
        folder: where to.
        job: is told of cases that could not be read.
    """

    def __init__(self, table: LabelTable, folder: str, job: Job) -> None:
        self.table, self.folder, self.job = table, Path(folder), job

    def __call__(self, data: Mapping[str, Any]) -> Mapping[str, Any]:
        if "failed" in data:
            self.job.fail(data["case"], data["failed"])
            return data
        write_label_map(self.folder / f"{data['case']}.nii.gz", data["pred"][0], data["image"], self.table)
        return data
