"""The bundle's configs as part of an installed package."""

import re

import pytest
from monai.bundle import ConfigParser

from scripts.auto3dseg import bundle
from scripts.auto3dseg.flat_names import CHAIN_STAGES
from scripts.errors import SemclError


def test_configs_are_written_with_the_name_the_package_has(tmp_path, monkeypatch):
    monkeypatch.setattr(bundle, "PACKAGE", "semcl")
    bundle.write_bundle(tmp_path)
    for path in (tmp_path / "configs").glob("*.yaml"):
        content = re.sub(r"\s#.*|^#.*", "", path.read_text(), flags=re.M)
        assert "scripts" not in content, path
    config = ConfigParser()
    config.read_config(str(tmp_path / "configs" / "train.yaml"))
    config["bundle_root"] = str(tmp_path)
    network = config.get_parsed_content("network_def")
    assert type(network).__module__ == "semcl.refine.refiner"


def test_numbers_of_any_config_are_accepted():
    bundle.check_numbers(
        {"common": {"patch_size": 32}, "train": {"max_epochs": 3, "train#views#rotation": 5.0, "skips": [0]}},
        CHAIN_STAGES,
    )


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"trane": {}}, r"stage has no such value\n  found:    stage trane"),
        ({"train": {"max_epoch": 3}}, r"unknown key --max_epoch\n(.*\n)*.*did you mean --max_epochs"),
        ({"train": {"train#views#rotatoin": 3.0}}, "did you mean --train#views#rotation"),
        ({"common": {"patch_size": "big"}}, "--patch_size is of the wrong kind"),
    ],
)
def test_mistyped_numbers_are_refused(numbers, message):
    with pytest.raises(SemclError, match=message):
        bundle.check_numbers(numbers, CHAIN_STAGES)
