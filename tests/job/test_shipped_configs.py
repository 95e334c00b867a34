"""The configs that ship: a stage's own, the keys of all, and the common ones."""

import pytest
import yaml

from scripts.errors import SemclError
from scripts.job.shipped_configs import shipped
from tests.stages import ROOT


def test_a_stage_is_checked_against_its_own_keys_those_of_all_stages_and_the_common_ones():
    found = shipped(ROOT / "bundle", "train")
    assert found.own == yaml.safe_load((ROOT / "bundle" / "configs" / "train.yaml").read_text())
    assert found.common == yaml.safe_load((ROOT / "bundle" / "configs" / "common.yaml").read_text())
    assert found.others == found.others | found.common
    assert "temperature" in found.others
    assert "temperature" not in found.own


def test_a_stage_that_there_is_not_is_refused():
    with pytest.raises(SemclError, match=r"(?s)there is no such stage.*stage: mine.*one of .*train.*leave `stage` out"):
        shipped(ROOT / "bundle", "mine")
