"""The bundle's configs and metadata: what `make check` validates without running a stage."""

import json
import re
from pathlib import Path

import pytest
import torch
import yaml
from monai.bundle import ConfigParser, ConfigWorkflow, verify_metadata, verify_net_in_out
from monai.losses import DiceLoss

from scripts.version import __version__

CONFIGS = Path("bundle/configs")
STAGES = {
    "coarse": "train",
    "pretrain": "train",
    "train": "train",
    "inference": "infer",
    "evaluate": None,
    "embed": None,
    "maps": None,
    "store": None,
}
OVERLAYS = {"common", "fast", "faithful", "multi_gpu", "tensorboard"}
COMMON = yaml.safe_load((CONFIGS / "common.yaml").read_text())


def parser(stage: str, **overrides) -> ConfigParser:
    config = ConfigParser()
    config.read_config(str(CONFIGS / f"{stage}.yaml"))
    config.update(overrides)
    config.parse()
    return config


def test_weights_are_written_before_they_are_calibrated():
    config = yaml.safe_load((CONFIGS / "train.yaml").read_text())
    handlers = {handler["_target_"]: handler for handler in config["train"]["handlers"]}
    order = [name for name in handlers if name in ("scripts.SaveWeights", "scripts.Calibrate")]
    assert order == ["scripts.SaveWeights", "scripts.Calibrate"]
    assert handlers["scripts.Calibrate"]["path"] == handlers["scripts.SaveWeights"]["path"]
    assert handlers["scripts.Calibrate"]["seed"] == "@seed"


def test_there_is_a_config_for_every_stage():
    found = {path.stem for path in CONFIGS.glob("*.yaml")} - OVERLAYS
    assert found == set(STAGES)


CHECKED = {  # what is run -> its workflow type; the steps of None are no engine's, so MONAI asks for metadata alone
    **{(stage,): kind for stage, kind in STAGES.items()},
    ("train", "evaluate"): "train",  # as the Model Zoo evaluates
    ("train", "faithful"): "train",
    ("coarse", "tensorboard"): "train",
}


@pytest.mark.parametrize(("stages", "kind"), CHECKED.items(), ids=map("+".join, CHECKED))
def test_a_config_has_the_properties_monai_asks_for(stages, kind, cohort):
    label_table = (cohort / "labels.yaml").read_text()
    (cohort / "models").mkdir()
    (cohort / "models" / "labels.yaml").write_text(label_table)
    workflow = ConfigWorkflow(
        config_file=[str(CONFIGS / f"{stage}.yaml") for stage in stages],
        logging_file=False,
        workflow_type=kind,
        dataset_dir=str(cohort),
        attention_dir=str(cohort / "labels"),
    )
    workflow.initialize()
    assert workflow.check_properties() == []
    assert workflow.version == __version__


@pytest.mark.parametrize("stage", STAGES)
def test_common_numbers_are_taken_by_their_own_name(stage):
    text = (CONFIGS / f"{stage}.yaml").read_text()
    taken = re.findall(r"^(\w+): \"\$@common\['(\w+)'\]\"", text, re.M)
    assert taken == [(name, name) for name, _ in taken]
    assert {name for name, _ in taken} <= set(COMMON)
    assert len(taken) == text.count("@common[")


def test_every_common_number_is_used():
    text = "".join((CONFIGS / f"{stage}.yaml").read_text() for stage in STAGES)
    assert [name for name in COMMON if f"@common['{name}']" not in text] == []


def test_every_number_of_a_config_is_explained():
    for path in CONFIGS.glob("*.yaml"):
        for line in path.read_text().splitlines():
            if re.match(r"^(?!imports|initialize|run)\w+: [-\d\[]", line):
                assert " # " in line, f"{path}: {line}"


@pytest.mark.parametrize(
    ("giver", "taker", "name"), [("pretrain", "train", "encoder"), ("train", "inference", "network_def")]
)
def test_networks_fit_from_stage_to_stage(giver, taker, name):
    weights = parser(giver).get_parsed_content(name).state_dict()
    parser(taker).get_parsed_content(name).load_state_dict(weights)


@pytest.mark.parametrize("name", ["untrained", "pretrained"])
def test_the_pretrained_encoder_fits_both_encoders_of_embed(name):
    weights = parser("pretrain").get_parsed_content("encoder").state_dict()
    parser("embed").get_parsed_content(name).load_state_dict(weights)


def test_the_coarse_network_fits_inference(cohort):
    weights = parser("coarse", dataset_dir=str(cohort)).get_parsed_content("network_def").state_dict()
    parser("inference", ckpt_dir=str(cohort)).get_parsed_content("coarse_def").load_state_dict(weights)


def test_metadata_is_valid_against_the_model_zoo_schema():
    verify_metadata(meta_file=str(CONFIGS / "metadata.json"), filepath="tests/fixtures/meta_schema_20240725.json")


def test_metadata_says_the_version_of_the_package():
    metadata = json.loads((CONFIGS / "metadata.json").read_text())
    assert metadata["version"] == __version__
    released = re.findall(r"^## (\d\S*)", Path("CHANGELOG.md").read_text(), re.M)
    assert list(metadata["changelog"]) == released
    assert __version__ in released


def test_the_network_does_what_metadata_says():
    verify_net_in_out(
        net_id="network_def", meta_file=str(CONFIGS / "metadata.json"), config_file=str(CONFIGS / "inference.yaml")
    )


def test_the_bundle_reaches_the_extension():
    assert (Path("bundle") / "scripts" / "__init__.py").samefile("scripts/__init__.py")
    assert (Path("bundle") / "LICENSE").read_text() == Path("LICENSE").read_text()


def test_stages_take_their_device_from_the_config():
    for stage in ("coarse", "maps", "pretrain", "train", "inference", "embed"):
        assert parser(stage, device="$torch.device('meta')").get_parsed_content("device") == torch.device("meta")


def faithful(stage: str, **overrides) -> ConfigParser:
    config = ConfigParser()
    config.read_config([str(CONFIGS / f"{stage}.yaml"), str(CONFIGS / "faithful.yaml")])
    config.update({"dataset_dir": "cohort", **overrides})
    config.parse()
    return config


@pytest.mark.parametrize(("stage", "epochs", "rate"), [("pretrain", 1000, 0.0005), ("train", 200, 0.0001)])
def test_the_faithful_preset_has_the_authors_numbers(stage, epochs, rate):
    config = faithful(stage, job={"stage": stage}, epoch_length=10)
    assert [config.get_parsed_content(key) for key in ("max_epochs", "learning_rate")] == [epochs, rate]
    network = config.get_parsed_content("network_def")
    assert network.encoder.channels == [256, 512, 1024, 2048]
    optimizer = config.get_parsed_content("optimizer")
    assert isinstance(optimizer, torch.optim.SGD)
    assert {key: optimizer.defaults[key] for key in ("lr", "momentum", "weight_decay")} == {
        "lr": rate, "momentum": 0.9, "weight_decay": 0.0001,
    }  # fmt: skip
    scheduler = config.get_parsed_content("scheduler")
    assert sorted(scheduler.milestones) == [7000, 8000, 9000]
    assert scheduler.gamma == 0.9
    if stage == "train":
        assert not any(weight.requires_grad for weight in network.encoder.parameters())
        assert len(network.decoder.reduce) == 0  # no skips
        assert network.decoder.join.conv.out_channels == 512
        assert type(config.get_parsed_content("segmentation_loss")) is DiceLoss  # without cross entropy


def test_the_faithful_networks_fit_from_stage_to_stage():
    encoder = faithful("pretrain").get_parsed_content("encoder").state_dict()
    refiner = faithful("train").get_parsed_content("network_def")
    refiner.encoder.load_state_dict(encoder)
    faithful("inference").get_parsed_content("network_def").load_state_dict(refiner.state_dict())
