"""MONAI Deploy's own operator over a release: run by a Python that has the SDK, with bundle, scans and output folder.

Volumes go in as its DICOM reader passes them on, in memory; each result is written as <scan>.npy.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from monai.deploy.core import AppContext, Application, Image, IOType
from monai.deploy.operators.monai_bundle_inference_operator import IOMapping, MonaiBundleInferenceOperator


class Port:
    """The operator's input and output at once."""

    def __init__(self, image: Image) -> None:
        self.image, self.result = image, None

    def receive(self, name: str) -> Image:
        return self.image

    def get(self, name: str) -> None:
        return None

    def emit(self, result: Any, name: str) -> None:
        self.result = result


def in_memory(path: Path) -> Image:
    """A scan as DICOMSeriesToVolumeOperator would pass it on: axes D H W, and where its voxels lie."""
    scan = nib.load(path)
    sizes = dict(zip(("row_pixel_spacing", "col_pixel_spacing", "depth_pixel_spacing"), scan.header.get_zooms()))  # noqa: B905
    voxels = np.swapaxes(np.asarray(scan.dataobj), 0, 2)
    return Image(voxels, metadata={**sizes, "nifti_affine_transform": scan.affine})


def main(bundle: str, scans: str, out: str) -> None:
    """Segment every scan of a folder."""
    operator = MonaiBundleInferenceOperator(
        Application(),
        app_context=AppContext({}),
        input_mapping=[IOMapping("image", Image, IOType.IN_MEMORY)],
        output_mapping=[IOMapping("pred", Image, IOType.IN_MEMORY)],
        bundle_path=bundle,
    )
    for path in sorted(Path(scans).glob("*.nii.gz")):
        port = Port(in_memory(path))
        operator.compute(port, port, None)
        np.save(Path(out) / f"{path.name}.npy", np.swapaxes(port.result.asnumpy(), 0, 2))


if __name__ == "__main__":
    main(*sys.argv[1:])
