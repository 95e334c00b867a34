"""Islands of a prediction go before it is written."""

import pytest
import torch

from scripts.decode.islands import RemoveIslands
from tests.cohort.test_islands import organs


@pytest.mark.parametrize("smallest", [0.0, 1.0])
def test_a_prediction_is_changed_and_the_rest_stays(smallest):
    data = {"case": "a", "pred": torch.from_numpy(organs()[None])}
    done = RemoveIslands(smallest)(data)
    assert done["case"] == "a"
    assert done["pred"].shape == data["pred"].shape
    assert int((done["pred"] > 0).sum()) == (38 if not smallest else 29)
