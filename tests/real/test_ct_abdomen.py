"""A real CT with given attention comes out as a label map in its own geometry."""

import nibabel as nib
import numpy as np
import pytest
import yaml
from scipy.ndimage import binary_erosion, shift

from scripts.commands.phantom import phantom
from tests.stages import run_small

pytestmark = pytest.mark.real

ORGANS = {"spleen": 1, "right_kidney": 2, "left_kidney": 3, "liver": 5, "stomach": 6, "pancreas": 7, "aorta": 52}


GRID = {"patch_size": 48, "spacing": "[3,3,0]"}
BUDGET = {"pretrain": {}, "train": {"max_epochs": 8, "epoch_length": 14, "calibration_share": 0, "val_interval": 0}}


def spoiled(label: np.ndarray, step: tuple[int, int, int]) -> np.ndarray:
    """A label map whose organs are shrunk and shifted, as in a coarse map."""
    worse = np.zeros_like(label)
    for index in np.unique(label[label > 0]):
        eroded = binary_erosion(label == index).astype(np.uint8)
        worse[shift(eroded, step, order=0) > 0] = index
    return worse


def dice(first: np.ndarray, second: np.ndarray) -> list[float]:
    return [
        2 * ((first == k) & (second == k)).sum() / ((first == k).sum() + (second == k).sum()) for k in ORGANS.values()
    ]


def test_a_real_ct_with_given_attention_is_segmented(real_data, tmp_path):
    source = nib.load(real_data / "ct_abdomen" / "ct.nii.gz")
    truth = np.asarray(nib.load(real_data / "ct_abdomen" / "total_label.nii.gz").dataobj)
    truth = np.where(np.isin(truth, list(ORGANS.values())), truth, 0).astype(np.uint8)
    given = spoiled(truth, (1, 1, 0))
    for folder, volume in {"scans": np.asarray(source.dataobj), "attention": given}.items():
        (tmp_path / folder).mkdir()
        nib.save(nib.Nifti1Image(volume, source.affine), tmp_path / folder / "ct.nii.gz")

    cohort = tmp_path / "cohort"  # the network learns from phantoms, with masks as bad as the one it will be given
    phantom(str(cohort), cases=4, folds=2, test_share=0)
    keep_phantom_maps(cohort)
    for stage, more in BUDGET.items():
        done = run_small(stage, dataset_dir=cohort, **(GRID | more))
        assert done.returncode == 0, done.stderr[-3000:]
    done = run_small(
        "inference",
        dataset_dir=tmp_path / "scans",
        attention_dir=tmp_path / "attention",
        ckpt_dir=cohort / "models",
        output_dir=tmp_path / "out",
        **GRID,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    prediction = nib.load(tmp_path / "out" / "predictions" / "ct.nii.gz")
    assert prediction.shape == source.shape
    assert np.allclose(prediction.affine, source.affine)
    voxels = np.asarray(prediction.dataobj)
    assert set(np.unique(voxels).tolist()) <= {0, *ORGANS.values()}
    before, after = dice(given, truth), dice(voxels, truth)
    print(dict(zip(ORGANS, zip(before, after, strict=True), strict=True)))
    assert np.mean(after) > np.mean(before)


def keep_phantom_maps(cohort):
    """Give the phantoms' organs the real CT's indices, leave the others out, and write their attention maps."""
    table = yaml.safe_load((cohort / "labels.yaml").read_text())
    lookup = np.zeros(256, np.uint8)
    for name, index in ORGANS.items():
        lookup[table["organs"][name]["index"]] = index
    rng = np.random.default_rng(0)
    (cohort / "attention").mkdir()
    for path in (cohort / "labels").iterdir():
        label = nib.load(path)
        kept = lookup[np.asarray(label.dataobj)]
        nib.save(nib.Nifti1Image(kept, label.affine), path)
        attention = spoiled(kept, tuple(rng.integers(-1, 2, 3)))
        nib.save(nib.Nifti1Image(attention, label.affine), cohort / "attention" / path.name)
    table["organs"] = {name: table["organs"][name] | {"index": index} for name, index in ORGANS.items()}
    (cohort / "labels.yaml").write_text(yaml.safe_dump(table))
