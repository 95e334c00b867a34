"""One volume segmented from Python, voxel by voxel as ``inference.yaml`` does it."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Compose
from monai.utils import MetaKeys
from nibabel.spatialimages import SpatialImage

from ..bundle_folder import bundle_folder
from ..cohort.readers import c_ordered
from ..cohort.volume import read_stored, require_volume
from ..cohort.volume_errors import VolumeError, require_place
from ..cohort.volume_files import case_id
from ..cohort.window import require_visible
from ..commands.stages import components_of, overlay_of
from ..errors import SemclError, root_cause
from ..freshness import stamp
from ..intake.findings import allow, stop
from ..intake.tool_maps import read_map
from ..intake.tool_names import read_numbers
from ..refine.ensemble import LoadMembers
from ..refine.volumes import PARTIAL_MAP, WHOLE_MAP

MODELS_KEPT = 2  # models that stay loaded, for one call after another
ORIGINAL = "original_affine"  # meta data: of the voxels as they were given
Volume = str | Path | torch.Tensor | SpatialImage


def segment(
    volume: Volume,
    model_dir: str | Path,
    attention: str | Path | None = None,
    overlay: str | None = None,
    **numbers: Any,
) -> MetaTensor:
    """Segment a volume with trained models, voxel by voxel as ``inference.yaml`` does.

    The models of the last two calls stay loaded.

    Args:
        volume: path of a scan (a file, or a folder of DICOM slices), a nibabel image, or a MetaTensor (X, Y, Z) or
            (C, X, Y, Z) with its affine; in the image's own units, such as HU.
        model_dir: the folder of the models, such as cohort/models.
        attention: label map of the volume by another tool, or its folder of masks, as in ``tool_maps``; None for the
            coarse network's.
        overlay: path or name of the overlay of their training, where it is not the one kept in the cohort around them.
        numbers: other keys of inference.yaml and common.yaml, such as ``test_views=5`` or ``device="cuda:1"``.

    Returns:
        label numbers (1, X, Y, Z) of the models' label table, on the voxels of ``volume`` and with its affine.

    Raises:
        SemclError: when the volume or its map cannot be used, models are missing, or they do not fit the numbers.
    """
    folder = Path(model_dir).resolve()
    times = [stamp(path) for path in sorted(folder.glob("*"))]
    used = overlay_of(folder.parent, overlay, bundle_folder())
    times.append(stamp(used))
    try:
        model = _loaded(str(folder), str(times), overlay and str(used), json.dumps(numbers, default=str))
    except Exception as error:  # MONAI wraps what a component raises
        cause = root_cause(error)
        if cause is None:
            raise
        raise cause from error
    return model(volume, None if attention is None else Path(attention))


@lru_cache(MODELS_KEPT)
def _loaded(folder: str, times: str, overlay: str | None, numbers: str) -> _Segmenter:
    """The models of a folder whose files, and whose overlay, have these times."""
    return _Segmenter(Path(folder), overlay, json.loads(numbers))


BY_COMMAND = "coarse_command"  # makes the map of each scan


class _Segmenter:
    """The components of ``inference.yaml`` that lead from a volume to its label map, with weights."""

    def __init__(self, folder: Path, overlay: str | None, numbers: dict[str, Any]) -> None:
        made = components_of("inference", str(folder.parent), None, overlay, {"ckpt_dir": str(folder), **numbers})
        component = made.get_parsed_content
        self.shared, self.table = component("shared"), component("labels")
        command = [BY_COMMAND] if self.shared.coarse_command else []
        self.maps_by = list(dict.fromkeys([*command, *(key for key in numbers if key in (BY_COMMAND, "tool_maps"))]))
        self.preprocessing = Compose(component("preprocessing").transforms[1:])  # the first reads a file
        self.postprocessing, self.inferer = component("postprocessing"), component("inferer")
        self.device = torch.device(component("device"))
        LoadMembers(component("weights"), component("ensemble"), "train.yaml").load()
        self.network = component("network").eval()

    def __call__(self, volume: Volume, attention: Path | None) -> MetaTensor:
        if attention is None and self.maps_by:
            raise SemclError(
                "a volume has no name by which the map of another tool could be found or made",
                found=f"{', '.join(self.maps_by)} of inference",
                expected="attention, the path of its map",
                remedy="give segment(..., attention=...)",
            )
        image = _as_stored(volume, self.shared.image_channels)
        require_visible(image, self.shared.window, None, volume if isinstance(volume, str | Path) else "the volume")
        sample: Any = self.preprocessing({"image": image})
        maps = {} if attention is None else self._given(sample["image"], attention)
        with torch.no_grad():
            sample["pred"] = self.inferer(sample["image"][None].to(self.device), self.network, **maps)[0]
        numbers = np.asarray(self.postprocessing(sample)["pred"])
        labels = torch.from_numpy(numbers if numbers.dtype == np.uint8 else numbers.astype(np.int32))
        return MetaTensor(labels, affine=torch.as_tensor(sample["image"].meta[ORIGINAL]))

    def _given(self, image: MetaTensor, path: Path) -> dict[str, torch.Tensor]:
        """What the inferer is given of another tool's map: attention, or what lacks organs of it."""
        found = read_map(image, path, read_numbers(self.shared.tool_names), self.table)
        stop(allow(found.findings, self.shared.tool_allow or ()))
        key = PARTIAL_MAP if self.shared.coarse_inferer.objects else WHOLE_MAP
        return {key: torch.from_numpy(found.objects)[None, None].to(self.device)}


def _as_stored(volume: Volume, channels: int) -> MetaTensor:
    """A volume as a MetaTensor (C, X, Y, Z) as ``read_stored`` returns it."""
    if isinstance(volume, str | Path):
        image = read_stored(volume, case_id(Path(volume)) or Path(volume).name, channels)
    elif isinstance(volume, SpatialImage):
        voxels = torch.from_numpy(c_ordered(np.asanyarray(volume.dataobj)))
        image = MetaTensor(voxels, affine=torch.from_numpy(np.asarray(volume.affine, np.float64)))
    elif isinstance(volume, MetaTensor):
        image = MetaTensor(volume.as_tensor().float(), affine=volume.affine)
    else:
        raise SemclError(
            "a volume without a position cannot be segmented",
            found=f"a {type(volume).__name__}",
            expected="a path, a nibabel image, or a MetaTensor with its affine",
            remedy="wrap it: MetaTensor(voxels, affine=affine), from voxel to mm in RAS",
        )
    image = image if image.ndim == 4 else MetaTensor(image.as_tensor()[None], affine=image.affine)
    source = f"a {type(volume).__name__}"
    require_volume(image, source, None, channels)
    try:
        require_place(np.asarray(image.affine))
    except VolumeError as error:
        raise SemclError(
            "a volume has no usable affine", found=f"{source}: {error}", expected="voxel to mm in RAS, (4, 4)",
            remedy="give the affine of its file",
        ) from error  # fmt: skip
    image.meta |= {ORIGINAL: image.affine.clone(), MetaKeys.ORIGINAL_CHANNEL_DIM: 0}
    return image
