"""Pictures as volumes: channels, palettes, orientation."""

import itk
import numpy as np
import pytest

from scripts.cohort.pictures import is_photo, read_photo, write_photo
from scripts.cohort.volume import read
from scripts.errors import SemclError
from tests.natural import PALETTE, write_palette_png, write_picture

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 7, 3)).astype(np.uint8)  # rows, columns, channels
INDICES = np.array([[0, 3, 255], [1, 0, 2]], np.uint8)


def test_a_picture_is_a_volume_of_one_slice(tmp_path):
    volume = read_photo(write_picture(tmp_path / "a.png", PIXELS))
    assert volume.shape == (3, 7, 5, 1)
    assert np.array_equal(volume[..., 0].numpy(), PIXELS.transpose(2, 1, 0))


def test_a_picture_is_upright_in_radiological_display(tmp_path):
    volume = read(write_picture(tmp_path / "a.png", PIXELS), "a", channels=3)
    shown = volume[..., 0].numpy()[:, ::-1, ::-1].transpose(2, 1, 0)
    assert np.array_equal(shown, PIXELS)


def test_a_palette_is_read_as_indices_or_colours(tmp_path):
    path = write_palette_png(tmp_path / "mask.png", INDICES)
    assert np.array_equal(read_photo(path, indices=True)[0, ..., 0].numpy(), INDICES.T)
    assert np.array_equal(read_photo(path)[..., 0].numpy().transpose(2, 1, 0), PALETTE[INDICES])


def test_transparency_is_left_out(tmp_path):
    path = write_picture(tmp_path / "a.png", np.concatenate([PIXELS, PIXELS[..., :1]], 2))
    assert np.array_equal(read_photo(path)[..., 0].numpy(), PIXELS.transpose(2, 1, 0))


def test_a_grey_picture_has_as_many_equal_channels_as_the_others(tmp_path):
    volume = read(write_picture(tmp_path / "grey.png", PIXELS[..., 0]), "grey", channels=3)
    assert volume.shape == (3, 7, 5, 1)
    assert np.array_equal(volume[0].numpy(), volume[2].numpy())


@pytest.mark.parametrize("most", [3, 300])
def test_a_written_picture_is_read_back(most, tmp_path):
    indices = np.array([[0, 1], [2, most], [0, 0]], np.uint16)[..., None]  # (X, Y, 1)
    write_photo(tmp_path / "map.png", indices)
    assert np.array_equal(read_photo(tmp_path / "map.png", indices=True)[0].numpy(), indices)
    bits = itk.imread(str(tmp_path / "map.png"))
    assert itk.array_from_image(bits).dtype == (np.uint8 if most < 256 else np.uint16)


@pytest.mark.parametrize(
    ("channels", "indices", "message"), [(1, False, "set image_channels to 3"), (1, True, "PNG with a palette")]
)
def test_an_unexpected_number_of_channels_is_refused_with_a_remedy(channels, indices, message, tmp_path):
    path = write_picture(tmp_path / "a.png", PIXELS)
    with pytest.raises(SemclError, match=rf"(?s)case a: .*a\.png with 3 channels.*{message}"):
        read(path, "a", channels, indices)


def test_a_scan_where_pictures_are_expected_is_refused(tmp_path):
    from tests.conftest import write_nifti

    with pytest.raises(SemclError, match=r"(?s)case ct: .*3 channels of three axes"):
        read(write_nifti(tmp_path / "ct.nii.gz", np.zeros((4, 5, 6), np.int16)), "ct", channels=3)


@pytest.mark.parametrize(("name", "is_one"), [("a.JPG", True), ("a.jpeg", True), ("a.png", True), ("a.nii.gz", False)])
def test_pictures_are_recognised_by_their_suffix(name, is_one):
    assert is_photo(name) == is_one
