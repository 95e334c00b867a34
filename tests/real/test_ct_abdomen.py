"""A real CT with given attention comes out as a label map in its own geometry."""

import nibabel as nib
import numpy as np
import pytest
import yaml
from scipy.ndimage import binary_erosion, shift

from scripts.__main__ import phantom
from tests.stages import run_small

pytestmark = pytest.mark.real

ORGANS = {"spleen": 1, "right_kidney": 2, "left_kidney": 3, "liver": 5, "stomach": 6, "pancreas": 7, "aorta": 52}


def test_a_real_ct_with_given_attention(real_data, tmp_path):
    source = nib.load(real_data / "ct_abdomen" / "ct.nii.gz")
    truth = np.asarray(nib.load(real_data / "ct_abdomen" / "total_label.nii.gz").dataobj)
    given = np.zeros(truth.shape, np.uint8)
    for index in ORGANS.values():
        eroded = binary_erosion(truth == index)
        given[shift(eroded.astype(np.uint8), (1, 1, 0), order=0) > 0] = index
    for folder, volume in {"scans": np.asarray(source.dataobj), "attention": given}.items():
        (tmp_path / folder).mkdir()
        nib.save(nib.Nifti1Image(volume, source.affine), tmp_path / folder / "ct.nii.gz")

    cohort = tmp_path / "cohort"  # the network learns from phantoms that carry the same indices
    phantom(str(cohort), cases=4, folds=2, test_share=0)
    table = yaml.safe_load((cohort / "labels.yaml").read_text())
    keep_phantom_maps(cohort, table)
    for stage, more in {"pretrain": {}, "train": {"max_epochs": 4}}.items():
        done = run_small(stage, dataset_dir=cohort, attention_dir=cohort / "labels", **more)
        assert done.returncode == 0, done.stderr[-3000:]
    (cohort / "models" / "labels.yaml").write_text((cohort / "labels.yaml").read_text())
    done = run_small(
        "inference",
        dataset_dir=tmp_path / "scans",
        attention_dir=tmp_path / "attention",
        ckpt_dir=cohort / "models",
        output_dir=tmp_path / "out",
    )
    assert done.returncode == 0, done.stderr[-3000:]
    drawn = nib.load(tmp_path / "out" / "predictions" / "ct.nii.gz")
    assert drawn.shape == source.shape
    assert np.allclose(drawn.affine, source.affine)
    voxels = np.asarray(drawn.dataobj)
    assert set(np.unique(voxels).tolist()) <= {0, *ORGANS.values()}
    found = [index for index in ORGANS.values() if (voxels == index).any()]
    assert len(found) >= 4
    for index in found:  # drawn where the attention points, not elsewhere
        centre, expected = (np.argwhere(part == index).mean(0) * 3 for part in (voxels, truth))
        assert np.abs(centre - expected).max() < 20  # mm


def keep_phantom_maps(cohort, table):
    """Give the phantoms' organs the real CT's indices and leave the others out."""
    lookup = np.zeros(256, np.uint8)
    for name, index in ORGANS.items():
        lookup[table["organs"][name]["index"]] = index
    for path in (cohort / "labels").iterdir():
        label = nib.load(path)
        nib.save(nib.Nifti1Image(lookup[np.asarray(label.dataobj)], label.affine), path)
    table["organs"] = {name: table["organs"][name] | {"index": index} for name, index in ORGANS.items()}
    (cohort / "labels.yaml").write_text(yaml.safe_dump(table))
