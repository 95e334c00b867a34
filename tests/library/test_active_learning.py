"""Scores for MONAI Label; tests/zoo/test_callers.py runs them under the real one."""

import json

import pytest

from scripts.errors import SemclError
from scripts.library.active_learning import ExpectedDiceScoring


class Store:
    """A datastore that remembers what is noted."""

    def __init__(self):
        self.noted = {}

    def get_unlabeled_images(self):
        return ["bad", "good", "stranger", "silent"]

    def update_image_info(self, image_id, info):
        self.noted.setdefault(image_id, {}).update(info)


def test_unlabelled_images_get_their_expected_dice(tmp_path):
    path, store = tmp_path / "quality.json", Store()
    dice = {"bad": 0.2, "good": 0.9, "labelled": 0.5, "silent": None}
    path.write_text(json.dumps({case: {"dice": value, "organs": {}} for case, value in dice.items()}))
    method = ExpectedDiceScoring(path)
    counts = method({}, store)
    assert store.noted == {
        "bad": {"expected_dice": 0.2, "doubt": 0.8},
        "good": {"expected_dice": 0.9, "doubt": 0.1},
    }
    assert (counts["total"], counts["executed"], counts["skipped"]) == (4, 2, 2)
    assert method.info() == {"description": method.description}


@pytest.mark.parametrize(
    "text", [None, "", "[]", "[1]", '{"a": 1}', '{"a": {}}', '{"a": {"dice": 7}}', '{"a": {"dice": NaN}}']
)
def test_without_a_file_that_holds_scores_nothing_is_noted(text, tmp_path):
    path, store = tmp_path / "quality.json", Store()
    if text is not None:
        path.write_text(text)
    with pytest.raises(SemclError, match=r"(?s)no expected Dice to score images by.*audit --dataset_dir"):
        ExpectedDiceScoring(path)({}, store)
    assert store.noted == {}


def test_a_folder_of_predictions_is_taken_too(tmp_path):
    store, empty = Store(), tmp_path / "empty"
    empty.mkdir()
    for case, dice in (("bad", 0.3), ("labelled", 0.5), ("silent", None)):
        (tmp_path / f"{case}.quality.json").write_text(json.dumps({"dice": dice, "organs": {}}))
    ExpectedDiceScoring(tmp_path)({}, store)
    assert store.noted == {"bad": {"expected_dice": 0.3, "doubt": 0.7}}
    with pytest.raises(SemclError, match=r"no <case>\.quality\.json"):
        ExpectedDiceScoring(empty)({}, store)
