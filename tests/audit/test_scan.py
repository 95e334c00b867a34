"""A scan's objects: as found, of other maps, with injected errors, with the true Dice."""

import shutil
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
import torch
from scipy.ndimage import binary_dilation

from scripts.audit.kinds import OTHER_SCAN
from scripts.audit.measures import AGREEMENT, MEASURES
from scripts.audit.scan import BLURRED, INJECTED, LABEL, MAP
from scripts.cohort.attention import attention_path
from scripts.cohort.provenance import LABELLED_MAPS, SIMULATED, note_attention
from scripts.cohort.volume import read
from scripts.errors import SemclError
from tests.conftest import write_nifti

from .made import SHAPE, TABLE, reader


def test_objects_of_a_label_map(toys):
    scan = reader().scan(toys[1])
    assert scan.image.shape == (1, *SHAPE)
    assert scan.size == [1, 1, 1]
    scan.add(scan.label)
    found = scan.examples()
    assert found.organs.tolist() == ["liver", "right_kidney", "left_kidney"]
    assert set(found.cases) | set(found.patients) == {"p1"}
    assert set(found.phases) == {"portal"}
    assert found.dice.tolist() == [1, 1, 1]
    assert found.measures.shape == (3, len(MEASURES) + len(AGREEMENT))
    assert np.isfinite(found.measures[:, : len(MEASURES)]).all()
    assert np.isnan(found.measures[:, len(MEASURES) :]).all()  # no attention map
    assert found.vectors.shape == (3, 2, 3)
    assert np.linalg.norm(found.vectors, axis=2) == pytest.approx(np.ones((3, 2)))
    assert len(scan.examples()) == 0


def test_only_annotated_organs_of_a_label_map_are_judged(toys):
    scan = reader(encoded=False).scan(replace(toys[0], annotated=("liver",)))
    scan.add(scan.label)
    scan.add(scan.label, source=MAP)
    found = scan.examples()
    assert found.organs[found.sources == LABEL].tolist() == ["liver"]
    assert (found.sources == MAP).sum() == 3
    assert dict(
        zip(found.organs[found.sources == MAP], np.isfinite(found.dice[found.sources == MAP]), strict=True)
    ) == {organ: organ == "liver" for organ in TABLE.names}
    assert found.vectors.size == 0


def test_what_a_map_draws_where_the_label_map_is_ignored_costs_no_dice(toys, tmp_path):
    label = nib.load(toys[0].label)
    numbers, affine = np.asarray(label.dataobj).astype(np.uint16), label.affine
    liver = numbers == 1
    grown = binary_dilation(liver) & (numbers == 0)
    given = write_nifti(tmp_path / "given.nii.gz", np.where(grown, 1, numbers), affine)
    numbers[grown] = TABLE.ignore
    case = replace(toys[0], label=write_nifti(tmp_path / "label.nii.gz", numbers, affine))
    scan = reader(encoded=False).scan(case, given)
    scan.add(scan.given, source=MAP)
    assert scan.examples().dice[0] == 1
    scan = reader(encoded=False).scan(toys[0], given)
    assert scan.known is None
    scan.add(scan.given, source=MAP)
    assert 0.5 < scan.examples().dice[0] < 1


def test_a_map_of_ignored_voxels_alone_has_no_dice(toys, tmp_path):
    label = nib.load(toys[0].label)
    numbers = np.asarray(label.dataobj).astype(np.uint16)
    numbers[numbers == 1] = TABLE.ignore
    case = replace(toys[0], label=write_nifti(tmp_path / "label.nii.gz", numbers, label.affine))
    scan = reader(encoded=False).scan(case, toys[0].label)
    scan.add(scan.given, source=MAP, only=1)
    assert np.isnan(scan.examples().dice[0])


def test_errors_come_with_their_dice(toys):
    scan, donor = reader(encoded=False).scan(toys[0]), reader(encoded=False).scan(toys[1]).label
    scan.inject(0, donor, lambda objects: torch.where(objects == 2, 0, objects))
    found = scan.examples()
    counts = {kind: int((found.kinds == kind).sum()) for kind in (*INJECTED, OTHER_SCAN, BLURRED)}
    assert counts == dict.fromkeys(INJECTED, 3) | {OTHER_SCAN: 3, BLURRED: 2}
    assert (found.dice < 1)[found.kinds != BLURRED].all()
    both = ((donor == 1) & (scan.label == 1)).sum()
    dice = found.dice[(found.kinds == OTHER_SCAN) & (found.organs == "liver")]
    assert dice == pytest.approx(2 * both / ((donor == 1).sum() + (scan.label == 1).sum()))


def test_the_attention_map_is_an_opinion_on_label_maps(toys, tmp_path):
    label = read(toys[0].label, "p0")[0].numpy().astype(np.uint8)
    write_nifti(attention_path(tmp_path, "p0"), np.where(label == 2, 3, label))
    scan = reader(tmp_path, encoded=False).scan(toys[0])
    scan.add(scan.label)
    found = scan.examples().measures[:, len(MEASURES) :]
    names = dict(zip(AGREEMENT, found.T, strict=True))
    assert names["agreement"][0] == pytest.approx(1)
    assert names["agreement"][1] == 0
    assert names["called_other"].tolist() == [0, 1, 0]
    assert names["left_out"][2] > 0.5


def test_attention_simulated_from_a_label_map_is_no_opinion_on_it(toys, tmp_path):
    shutil.copy(toys[0].label, attention_path(tmp_path, "p0"))
    note_attention(tmp_path, {LABELLED_MAPS: SIMULATED})
    assert reader(tmp_path, encoded=False).scan(toys[0]).attention is None
    unlabelled = reader(tmp_path, encoded=False).scan(replace(toys[0], label=None))
    assert unlabelled.attention is not None  # a network predicted it


def test_a_map_of_another_grid_or_of_unknown_numbers_is_refused(toys, tmp_path):
    other = write_nifti(tmp_path / "p0.nii.gz", np.ones((5, 5, 5), np.uint8))
    with pytest.raises(SemclError, match=r"case p0: image and label map differ in shape"):
        reader().scan(toys[0], other)
    unknown = write_nifti(tmp_path / "p1.nii.gz", np.full(SHAPE, 77, np.uint8))
    with pytest.raises(SemclError, match=r"case p0: label values outside the label table[\s\S]*77"):
        reader().scan(toys[0], unknown)


def test_ignored_voxels_are_background(toys, tmp_path):
    label = read(toys[0].label, "p0")[0].numpy().astype(np.uint16)
    path = write_nifti(tmp_path / "p0.nii.gz", np.where(label == 1, TABLE.ignore, label).astype(np.uint16))
    assert set(np.unique(reader().scan(toys[0], path).given)) == {0, 2, 3}
