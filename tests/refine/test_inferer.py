"""Whole volumes through the query inferer."""

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from scripts.cohort.label_table import IGNORED
from scripts.errors import SemclError
from scripts.queries.grid import QueryGrid
from scripts.refine.calibration import Scale, scored
from scripts.refine.inferer import QueryInferer
from scripts.refine.patches import VolumePatches
from tests.memory import added


def volume(shape=(40, 36, 12), spacing=(1.0, 1.0, 3.0)) -> MetaTensor:
    image = torch.zeros(1, 1, *shape)
    return MetaTensor(image, affine=torch.diag(torch.tensor([*spacing, 1.0])), meta={})


def boxes(shape=(40, 36, 12)) -> torch.Tensor:
    """A small object, one larger than a patch, one at the volume's corner."""
    objects = torch.zeros(1, 1, *shape, dtype=torch.int16)
    objects[0, 0, 2:38, 4:12, 3:9] = 2
    objects[0, 0, 18:25, 20:27, 4:8] = 1
    objects[0, 0, 36:, 32:, 10:] = 3
    return objects


def no_coarse(inputs: torch.Tensor) -> torch.Tensor:
    raise AssertionError("the attention was given")


def copy_mask(patches: torch.Tensor) -> torch.Tensor:
    """A refiner that is sure of its attention mask."""
    return (patches[:, 1:] - 0.5) * 20


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("batch_size", [1, 7, 1000])
def test_a_network_that_copies_its_mask_gives_the_attention_back(dims, batch_size):
    inferer = QueryInferer(QueryGrid(dims, 16, [0, 0, 0], [-160, 240]), batch_size, no_coarse)
    result = inferer(volume(), copy_mask, attention=boxes())
    assert torch.equal(result, boxes())


def test_on_another_grid_it_comes_back_but_for_its_edges():
    inferer = QueryInferer(QueryGrid(2, 16, [1.5, 1.5, 0], [-160, 240]), 8, no_coarse)
    result = inferer(volume(), copy_mask, attention=boxes())
    assert result.shape == boxes().shape
    for number in (1, 2):
        predicted, truth = result == number, boxes() == number
        assert 2 * (predicted & truth).sum() / (predicted.sum() + truth.sum()) > 0.85


def test_an_overlap_goes_to_the_object_with_the_higher_score():
    attention = torch.zeros(1, 1, 32, 32, 1, dtype=torch.int16)
    attention[0, 0, 8:16, 8:24] = 1
    attention[0, 0, 16:24, 8:24] = 2

    def claim_all(patches):
        first = patches[:, 1, :, :].sum((1, 2)) > 0
        where = patches[:, 1].argmax(1).amax(1)  # some difference between the objects: the lower is surer
        return (
            torch.where(where > 8, 3.0, 1.0).view(-1, 1, 1, 1)
            * torch.ones_like(patches[:, 1:])
            * first.view(-1, 1, 1, 1)
        )

    grid = QueryGrid(2, 16, [0, 0, 0], [-160, 240])
    inferer = QueryInferer(grid, 8, no_coarse, grow=0)
    result = inferer(volume((32, 32, 1)), claim_all, attention=attention)
    scores = {number: np.zeros((32, 32, 1)) for number in (1, 2)}
    for stitched in inferer.refine(VolumePatches(grid, volume((32, 32, 1))[0], attention[0, 0]), claim_all):
        (x, y, z), score = stitched.stitch()
        sizes = score.shape
        scores[stitched.number][x : x + sizes[0], y : y + sizes[1], z : z + sizes[2]] = score.numpy()
    stacked = np.stack([np.full((32, 32, 1), 0.5), scores[1], scores[2]])
    assert np.array_equal(result[0, 0].numpy(), stacked.argmax(0))
    assert set(result.unique().tolist()) == {0, 1, 2}


@pytest.mark.parametrize("batch_size", [1, 2, 4, 16])
def test_of_two_scores_that_tie_the_first_object_wins_whatever_the_batches(batch_size):
    attention = torch.zeros(1, 1, 40, 32, 4, dtype=torch.int16)
    attention[0, 0, 2:24, 8:20] = 1  # asks for patches beyond its own, so that it is refined last
    attention[0, 0, 24:30, 8:20] = 2

    def sure(patches: torch.Tensor) -> torch.Tensor:
        return torch.full_like(patches[:, 1:], 30.0)

    inferer = QueryInferer(QueryGrid(2, 16, [0, 0, 0], [-160, 240]), batch_size, no_coarse)
    image = volume((40, 32, 4))
    found = inferer(image, sure, attention=attention)
    assert (found == 1).sum() > (attention == 1).sum()
    assert (found == 2).any()
    assert torch.equal(inferer.probabilities(image, sure, 3, attention).argmax(1, keepdim=True).short(), found)
    assert torch.equal(found, QueryInferer(inferer.grid, 7, no_coarse)(image, sure, attention=attention))


def test_below_the_threshold_is_background():
    scales = {
        1: Scale(threshold=0.9),
        2: Scale(threshold=0.7),
        3: Scale(threshold=0.74),
    }  # the network gives sigmoid(1) = 0.73 everywhere
    inferer = QueryInferer(QueryGrid(2, 16, [0, 0, 0], [-160, 240]), 8, no_coarse, calibration=scales)
    unsure = inferer(volume(), lambda patches: torch.ones_like(patches[:, 1:]), attention=boxes())
    assert set(unsure.unique().tolist()) == {0, 2}


@pytest.mark.parametrize(
    ("first", "winner"),
    [
        pytest.param(Scale(offset=-1.0, threshold=0.3), 1, id="odds 2.3 times the threshold's"),
        pytest.param(Scale(offset=-1.0, threshold=0.48), 2, id="odds 1.1 times"),
    ],
)
def test_the_object_furthest_above_its_threshold_wins(first, winner):
    scales = {1: first, 2: Scale(threshold=0.7)}  # of a logit of 1, probabilities of 0.5 and 0.73, the other's odds 1.2
    everywhere = torch.zeros_like(boxes())
    everywhere[0, 0, 10:14, 10:14, 4] = 1
    everywhere[0, 0, 12:16, 10:14, 4] = 2
    inferer = QueryInferer(QueryGrid(2, 16, [0, 0, 0], [-160, 240]), 8, no_coarse, grow=0, calibration=scales)
    predicted = inferer(volume(), lambda patches: torch.ones_like(patches[:, 1:]), attention=everywhere)[0, 0, :, :, 4]
    expected = torch.zeros_like(predicted)
    patches = {1: (slice(3, 19), slice(4, 20)), 2: (slice(6, 22), slice(4, 20))}  # around x 10 to 12 and x 12 to 16
    for number in (3 - winner, winner):
        expected[patches[number]] = number
    assert torch.equal(predicted, expected)


def test_uncertain_voxels_are_ignored_on_request():
    def in_steps(patches: torch.Tensor) -> torch.Tensor:
        """Sure of the mask's lower half, less sure of its upper; outside, less sure beside it than further away."""
        upper = torch.arange(16).view(1, 1, 16, 1) >= 8
        near = torch.nn.functional.max_pool2d(patches[:, 1:], 3, 1, 1)
        inside = torch.where(upper, 0.5, 4.0)
        return torch.where(patches[:, 1:] > 0, inside, torch.where(near > 0, -0.5, -4.0))

    objects = torch.zeros(1, 1, 32, 32, 3, dtype=torch.int16)
    objects[0, 0, 12:20, 12:20] = 1
    given = QueryGrid(2, 16, [0, 0, 0], [-160, 240]), 8, no_coarse
    plain, marked = (
        QueryInferer(*given, certain=certain)(volume((32, 32, 3)), in_steps, objects)[0, 0] for certain in (None, 0.8)
    )
    assert torch.equal(plain, objects[0, 0])
    sure = objects[0, 0].bool() & (torch.arange(32) < 16).view(-1, 1, 1)
    ring = torch.nn.functional.max_pool2d(objects[0].permute(3, 0, 1, 2).float(), 3, 1, 1)[:, 0].permute(1, 2, 0) > 0
    assert torch.equal(marked == 1, sure)
    assert torch.equal(marked == IGNORED, ring & ~sure)


def test_what_post_processing_changes_is_not_certain():
    """An island that is removed, and a slice on which the coarse map stays, of which the network is sure."""
    objects = torch.zeros(1, 1, 32, 32, 4, dtype=torch.int16)
    objects[0, 0, 12:20, 12:20] = 1
    objects[0, 0, 2:4, 2:4, 0] = 1

    def blind_on_the_last_slice(patches: torch.Tensor) -> torch.Tensor:
        return copy_mask(patches).where(patches[:, :1] < 0, -10.0)

    image = volume((32, 32, 4))
    image[..., 3] = 400
    grid = QueryGrid(2, 16, [0, 0, 0], [-160, 240])
    inferer = QueryInferer(grid, 8, no_coarse, smallest_island=0.1, keep_slices=True, certain=0.8)
    expected = objects.clone()
    expected[0, 0, 2:4, 2:4, 0] = IGNORED
    expected[..., 3] *= IGNORED
    assert torch.equal(inferer(image, blind_on_the_last_slice, objects), expected)


@pytest.mark.parametrize("certain", [0.4, 1.01])
def test_a_value_of_certain_out_of_range_is_refused(certain):
    with pytest.raises(SemclError, match=r"(?s)certain.*0\.5 to 1, or null"):
        QueryInferer(QueryGrid(2, 16, [0, 0, 0], [-160, 240]), 8, no_coarse, certain=certain)


def test_a_volume_without_queries_is_background():
    inferer = QueryInferer(QueryGrid(2, 16, [0, 0, 0], [-160, 240]), 8, no_coarse)
    assert not inferer(volume(), copy_mask, attention=torch.zeros_like(boxes())).any()


def test_a_volume_without_attention_is_segmented_coarsely_first():
    inferer = QueryInferer(QueryGrid(2, 16, [0, 0, 0], [-160, 240]), 8, lambda inputs: boxes())
    assert torch.equal(inferer(volume(), copy_mask), boxes())


@pytest.mark.parametrize("keep_slices", [False, True])
def test_a_stray_island_of_the_coarse_map_does_not_become_organ(keep_slices):
    attention = boxes()
    attention[0, 0, 5:8, 30:33, 11] = 1  # 9 voxels of 196, on a slice without the rest
    grid = QueryGrid(2, 16, [0, 0, 0], [-160, 240], islands=0.1)
    inferer = QueryInferer(grid, 8, no_coarse, keep_slices=keep_slices)
    assert torch.equal(inferer(volume(), copy_mask, attention=attention), boxes())
    assert torch.equal(inferer.probabilities(volume(), copy_mask, 4, attention=attention).argmax(1)[0], boxes()[0, 0])


def test_batches_are_full_whatever_objects_and_slices_they_are_of():
    sizes = []

    def note(patches):
        sizes.append(len(patches))
        return copy_mask(patches)

    grid = QueryGrid(2, 16, [0, 0, 0], [-160, 240])
    QueryInferer(grid, 7, no_coarse)(volume(), note, attention=boxes())
    count = len(grid.queries(boxes()[0, 0].numpy()))
    assert sizes == [7] * (count // 7) + [count % 7]


def under_segmented() -> tuple[torch.Tensor, torch.Tensor]:
    """An object of which the attention shows only the middle, longer than a patch along y, and that attention."""
    truth = torch.zeros(1, 1, 40, 60, 3, dtype=torch.int16)
    truth[0, 0, 18:22, 10:50] = 1
    attention = torch.zeros_like(truth)
    attention[0, 0, 18:22, 24:36] = 1
    return truth, attention


def bright(patches: torch.Tensor) -> torch.Tensor:
    """A refiner that segments what is bright."""
    return patches[:, :1] * 20


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize(("grow", "length"), [(0, 16), (1, 32), (2, 40)])
def test_an_object_that_reaches_its_patchs_border_gets_patches_beyond(dims, grow, length):
    truth, attention = under_segmented()
    image = MetaTensor(truth.float() * 400 - 160, affine=torch.eye(4), meta={})
    inferer = QueryInferer(QueryGrid(dims, 16, [0, 0, 0], [-160, 240]), 4, no_coarse, grow=grow)
    predicted = inferer(image, bright, attention=attention)[0, 0]
    assert int(predicted.any(0).any(1).sum()) == min(length, 32 if grow == 2 else length)
    assert not (predicted.bool() & ~truth[0, 0].bool()).any()


def test_no_patch_is_requested_outside_the_volume():
    truth = torch.ones(1, 1, 20, 20, 2, dtype=torch.int16)
    image = MetaTensor(truth.float() * 400 - 160, affine=torch.eye(4), meta={})
    asked = []

    def note(patches):
        asked.append(len(patches))
        return bright(patches)

    grid = QueryGrid(2, 16, [0, 0, 0], [-160, 240])
    predicted = QueryInferer(grid, 100, no_coarse, grow=3)(image, note, attention=truth)
    assert asked == [len(grid.queries(truth[0, 0].numpy()))]
    assert torch.equal(predicted, truth)


def test_a_calibration_moves_where_an_object_ends():
    attention = boxes()
    grid = QueryGrid(2, 16, [0, 0, 0], [-160, 240])

    def unsure(patches):
        return patches[:, 1:] * 2 - 1  # logits of 1 inside, -1 outside

    plain = QueryInferer(grid, 8, no_coarse)(volume(), unsure, attention=attention)
    shy = QueryInferer(grid, 8, no_coarse, calibration={2: Scale(1.0, -1.5)})(volume(), unsure, attention=attention)
    assert torch.equal(plain, attention)
    assert torch.equal(shy, torch.where(attention == 2, 0, attention))


@pytest.mark.parametrize("batch_size", [1, 5, 64])
def test_few_objects_are_kept_at_a_time(batch_size):
    attention = torch.zeros(1, 1, 32, 32, 30, dtype=torch.int16)
    for number in range(1, 31):
        attention[0, 0, 4:9, 4:9, number - 1] = number
    grid = QueryGrid(2, 16, [0, 0, 0], [-160, 240])
    image = volume((32, 32, 30))
    most = 0
    inferer = QueryInferer(grid, batch_size, no_coarse)
    done = 0
    asked = 0

    def note(patches):
        nonlocal asked
        asked += len(patches)
        return copy_mask(patches)

    for _ in inferer.refine(VolumePatches(grid, image[0], attention[0, 0]), note):
        done += 1
        most = max(most, asked - done)
    assert done == 30
    assert most < batch_size


def test_a_plain_tensor_is_assumed_to_have_1_mm_voxels():
    inferer = QueryInferer(QueryGrid(2, 16, [1, 1, 0], [-160, 240]), 8, no_coarse)
    assert torch.equal(inferer(torch.zeros(1, 1, 40, 36, 12), copy_mask, attention=boxes()), boxes())


@pytest.mark.parametrize("spacing", [[0, 0, 0], [1.5, 1.5, 0]])
def test_the_most_probable_class_is_the_predicted_one(spacing):
    inferer = QueryInferer(QueryGrid(2, 16, spacing, [-160, 240]), 8, no_coarse, calibration={1: Scale(1, 0, 0.3)})

    def unsure(patches):
        return copy_mask(patches) / 8 + patches[:, 1:].cumsum(3) / 16 - 1

    found = inferer.probabilities(volume(), unsure, 4, attention=boxes())
    assert found.shape == (1, 4, *volume().shape[2:])
    assert torch.allclose(found.sum(1), torch.ones(()))
    assert torch.equal(found.argmax(1)[0], inferer(volume(), unsure, attention=boxes())[0, 0].long())
    assert ((found > 0.02) & (found < 0.98)).any()


def test_the_probability_of_a_single_object_is_its_score():
    attention = torch.zeros(1, 1, 16, 16, 1, dtype=torch.int16)
    attention[0, 0, 4:12, 4:12] = 1
    inferer = QueryInferer(QueryGrid(2, 16, [0, 0, 0], [-160, 240]), 8, no_coarse, calibration={1: Scale(2, 1, 0.2)})
    logits = torch.linspace(-2, 2, 256).view(1, 1, 16, 16)
    found = inferer.probabilities(volume((16, 16, 1)), lambda patches: logits, 2, attention=attention)
    score = scored(logits[0], [Scale(2, 1, 0.2)])[0]
    assert torch.allclose(found[0, 1, :, :, 0], score.where(found[0, 1, :, :, 0] > 0, 0), atol=1e-6)
    assert (found[0, 1, :, :, 0] > 0)[score > 0.5].all()


@pytest.mark.parametrize("keep_slices", [False, True])
@pytest.mark.parametrize(
    "call", [lambda made, *given: made(*given), lambda made, *given: made.probabilities(*given, 4)]
)
def test_nan_scores_are_an_error_that_names_case_and_organ(call, keep_slices):
    """Of the second object alone: the others are predicted as they should be."""

    def broken(patches):
        predicted = copy_mask(patches)
        predicted[patches[:, 1:].flatten(1).sum(1) == 49] = torch.nan  # 7 x 7 voxels: object 1
        return predicted

    image = volume()
    image.meta["case"] = "case007"
    grid = QueryGrid(2, 16, [0, 0, 0], [-160, 240])
    inferer = QueryInferer(grid, 8, lambda inputs: boxes(), keep_slices=keep_slices, names=("liver", "spleen", "aorta"))
    with pytest.raises(
        SemclError, match=r"(?s)case007: the scores of the refining network are not .*scores of liver\n"
    ):
        call(inferer, image, broken)


def test_without_names_an_object_with_nan_scores_is_named_by_its_number():
    inferer = QueryInferer(QueryGrid(2, 16, [0, 0, 0], [-160, 240]), 8, lambda inputs: boxes())
    with pytest.raises(SemclError, match=r"(?s)^the scores of the refining network are not finite.*scores of object 1"):
        inferer(volume(), lambda patches: copy_mask(patches) * torch.nan)


@pytest.mark.parametrize(("certain", "bytes_a_voxel"), [(None, 2), (0.8, 6)])
def test_a_small_object_takes_no_scores_of_the_whole_volume(certain, bytes_a_voxel):
    shape = (256, 256, 192)
    attention = torch.zeros(1, 1, *shape, dtype=torch.int16)
    attention[0, 0, 100:108, 100:108, 90:92] = 1
    image = volume(shape)
    inferer = QueryInferer(QueryGrid(2, 16, [0, 0, 0], [-160, 240]), 8, no_coarse, certain=certain)
    inferer(volume(), copy_mask, attention=boxes())  # what the first call loads
    assert added(lambda: inferer(image, copy_mask, attention=attention)) < bytes_a_voxel * attention.numel()
