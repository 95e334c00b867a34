"""Numbers and components of common.yaml as part of a running config."""

from pathlib import Path

import pytest
from monai.bundle import ConfigParser

from scripts.errors import SemclError, root_cause
from scripts.job.shared import shared

CONFIGS = Path("bundle/configs")


def parser(stage: str, **overrides) -> ConfigParser:
    config = ConfigParser()
    config.read_config(str(CONFIGS / f"{stage}.yaml"))
    config.update(overrides)
    config.parse()
    return config


def test_a_number_given_to_a_stage_reaches_what_it_shares(cohort):
    config = parser("inference", patch_size=32, widths=[4, 6, 8, 10], ckpt_dir=str(cohort))
    assert config.get_parsed_content("network_def").encoder.channels == [4, 6, 8, 10]
    assert config.get_parsed_content("inferer").grid.patch_size == 32
    assert config.get_parsed_content("inferer").grid is config.get_parsed_content("shared").grid


def test_unknown_shared_names_are_attribute_errors():
    with pytest.raises(AttributeError, match=r"common.yaml has no max_epochs"):
        parser("train").get_parsed_content("shared").max_epochs  # noqa: B018


def test_shared_numbers_need_a_config():
    with pytest.raises(SemclError, match=r"(?s)outside of a config.*shared: .*common.yaml instead"):
        shared("bundle")


def test_a_section_called_common_is_refused(cohort):
    """Its numbers would take effect, and nothing would check or note them."""
    config = parser("train", common={"window": [0, 80]}, dataset_dir=str(cohort))
    with pytest.raises(RuntimeError) as raised:  # of MONAI, which evaluates it
        config.get_parsed_content("shared")
    assert "a section common" in str(root_cause(raised.value))
