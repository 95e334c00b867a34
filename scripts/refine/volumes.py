"""Volumes of inference: reading scans with their attention maps, and writing predictions."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.config import KeysCollection
from monai.data import Dataset, MetaTensor, list_data_collate
from monai.engines import PrepareBatch
from monai.transforms import MapTransform
from monai.utils import MetaKeys, convert_to_tensor

from ..cohort.attention import attention_path, read_attention, stored_affine, stored_indices
from ..cohort.label_table import LabelTable
from ..cohort.pictures import is_photo, write_photo
from ..cohort.volume import read_stored
from ..cohort.volume_files import case_id
from ..cohort.window import require_visible
from ..errors import root_cause
from ..files import write_volume
from ..intake.given_maps import ToolMaps, no_map
from ..job.job import Job

WHOLE_MAP, PARTIAL_MAP = "attention", "given"  # keys of a coarse map, and of one that lacks organs


class CheckedLoadImaged(MapTransform):
    """From {"image": path} to {"image": (C, X, Y, Z) as stored, "case": id, "source": path}, with ``read_stored``.

    Callers with volumes in memory leave this transform out, which MONAI Deploy recognises by "LoadImage" in its name.

    Args:
        keys: of the paths.
        channels: C of the images.
        window: of intensities that networks see; None to accept scans that show nothing in it.
    """

    def __init__(self, keys: KeysCollection, channels: int = 1, window: Sequence[float] | str | None = None) -> None:
        super().__init__(keys)
        self.channels, self.window = channels, window

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Read a scan; its id is "case" if given, else the name of its file.

        Raises:
            SemclError: when the scan cannot be read, or shows next to nothing within the window.
        """
        sample = dict(data)
        for key in self.key_iterator(sample):
            source = Path(sample[key])
            case = str(sample.get("case") or case_id(source) or source.name)
            image = read_stored(source, case, self.channels)
            if self.window is not None and not is_photo(source):  # a picture may be dark
                require_visible(image, self.window, case, source)
            image.meta[MetaKeys.ORIGINAL_CHANNEL_DIM] = 0  # for EnsureChannelFirstd: it is first by now
            sample |= {"case": case, "source": str(source), key: image}
        return sample


class LoadAttentiond(MapTransform):
    """Add the attention map (1, X, Y, Z) of a case, as object numbers on the voxels of its image, where there is one.

    Args:
        keys: under which the map is added.
        image_key: of the image (C, X, Y, Z) in RAS.
        table: the label table.
        attention_dir: folder of attention maps, <case>.nii.gz.
        tool: maps of another tool, which come before those.
        lacking: whether they lack organs, which the coarse network adds: they are then added as "given".
    """

    def __init__(
        self,
        keys: KeysCollection,
        image_key: str,
        table: LabelTable,
        attention_dir: str,
        tool: ToolMaps | None = None,
        lacking: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys=True)
        self.image_key, self.table, self.attention_dir = image_key, table, attention_dir
        self.tool, self.lacking = tool, lacking

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Read the map; a volume in memory has no case, and so none.

        Raises:
            SemclError: when it cannot be read or does not lie on the image's voxels; when it is missing though the
                coarse network segments only what such maps lack; and as ``ToolMaps.objects``.
        """
        sample, case = dict(data), data.get("case")
        if case is None:
            return sample
        image, path = sample[self.image_key], attention_path(self.attention_dir, case)
        given = self.tool.objects(image, Path(sample["source"])) if self.tool and self.tool.used else None
        if given is not None:
            return sample | dict.fromkeys([PARTIAL_MAP] if self.lacking else self.keys, torch.from_numpy(given)[None])
        if path.is_file():
            return sample | dict.fromkeys(self.keys, read_attention(path, image, str(case), self.table)[None])
        if self.lacking:
            raise no_map(str(case), f"no {path}, and none in tool_maps")
        return sample


class VolumeDataset(Dataset):
    """MONAI's Dataset, but a case that cannot be read becomes a single voxel with the reason as "failed".

    So the other cases are still segmented.

    Args:
        data: items, as MONAI's has them.
        transform: what reads them.
        channels: of the images.
    """

    def __init__(self, data: Sequence[Any], transform: Any = None, channels: int = 1) -> None:
        super().__init__(data, transform)
        self.channels = channels

    def _transform(self, index: int) -> Any:
        try:
            return super()._transform(index)
        except Exception as error:  # MONAI wraps what a transform raises
            cause = root_cause(error)
            if cause is None:
                raise
        case, voxel = self.data[index], torch.zeros(1, 1, 1, 1)
        image = MetaTensor(voxel.repeat(self.channels, 1, 1, 1), meta={"original_affine": torch.eye(4)})
        failed = {"attention": voxel.to(torch.int16), "failed": str(cause)}
        return {"case": case["case"], "source": case["image"], "image": image, **failed}


def one_volume(samples: Sequence[dict[Hashable, Any]]) -> dict[Hashable, Any]:
    """A batch of one sample, as ``list_data_collate`` makes it, with the sample's own voxels: that copies them.

    Args:
        samples: one of ``VolumeDataset``.
    """
    (sample,) = samples
    whole = {key: value for key, value in sample.items() if isinstance(value, torch.Tensor)}
    batch: dict[Hashable, Any] = list_data_collate([sample | {key: value[..., :0] for key, value in whole.items()}])
    for key, value in whole.items():
        voxels = convert_to_tensor(value, track_meta=False)[None]
        if isinstance(value, MetaTensor):
            batch[key].data = voxels
        else:
            batch[key] = voxels
    return batch


class PrepareVolume(PrepareBatch):
    """Prepare batches of inference: one volume as input, and its attention or given map, if any, for the inferer."""

    def __call__(
        self, batchdata: dict[str, Any], device: Any = None, non_blocking: bool = False, **kwargs: Any
    ) -> tuple[torch.Tensor, None, tuple[()], dict[str, Any]]:
        image = batchdata["image"].to(device, non_blocking=non_blocking)
        maps = {
            key: batchdata[key].to(device, non_blocking=non_blocking)
            for key in (WHOLE_MAP, PARTIAL_MAP)
            if key in batchdata
        }
        return image, None, (), maps


class ToStoredLabelsd(MapTransform):
    """From object numbers (1, X, Y, Z) on the voxels of an image to label numbers on those it was stored with.

    Args:
        keys: of the object numbers.
        image_key: of the image in RAS.
        table: the label table.
    """

    def __init__(self, keys: KeysCollection, image_key: str, table: LabelTable) -> None:
        super().__init__(keys)
        self.image_key, self.table = image_key, table

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        sample = dict(data)
        for key in self.key_iterator(sample):
            sample[key] = stored_indices(sample[key][0], sample[self.image_key], self.table)[None]
        return sample


class WriteLabelMap:
    """Handler: write each prediction in the geometry of its scan, as <case>.nii.gz, or <case>.png of a picture.

    Before the next volume is read, it lets go of the last one.

    Args:
        folder: of the predictions.
        job: cases that could not be read are reported to it.
    """

    def __init__(self, folder: str, job: Job) -> None:
        self.folder, self.job = Path(folder), job

    def attach(self, engine: Engine) -> None:
        """Attach to the engine."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)
        engine.add_event_handler(Events.GET_BATCH_STARTED, _forget)

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


def _forget(engine: Engine) -> None:
    """Let go of the last volume, which ignite keeps until the next one is read."""
    engine.state.batch = engine.state.output = None


def samples(engine: Engine) -> Iterator[dict[str, Any]]:
    """The samples of an evaluator's last step, each as one mapping of inputs and outputs."""
    state: Any = engine.state
    for inputs, outputs in zip(state.batch, state.output, strict=True):
        yield {**inputs, **outputs}
