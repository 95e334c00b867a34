"""The bundle's configs and metadata: what `make check` validates without running a stage."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from monai.bundle import ConfigParser, ConfigWorkflow, verify_metadata, verify_net_in_out
from monai.losses import DiceLoss

from scripts import load_cases
from scripts.contrast.loss import SemanticContrastiveLoss
from scripts.job.overlays import is_for
from scripts.job.weights import load_weights, save_weights
from scripts.study.stage_keys import StageKeys, group
from scripts.study.stage_shares import predictor
from scripts.study.strategy import find_strategies
from scripts.version import __version__

CONFIGS = Path("bundle/configs")
STAGES = {
    "coarse": "train",
    "pretrain": "train",
    "train": "train",
    "inference": "infer",
    "evaluate": None,
    "embed": None,
    "audit": None,
    "maps": None,
    "store": None,
    "segment": "train",
    "segment_inference": "infer",
    "pretrain_slices": "train",
}
OVERLAYS = {
    "card_12",
    "card_24",
    "card_80",
    "common",
    "faithful",
    "inference_trt",
    "multi_gpu_train",
    "natural",
    "plain_pseudo_labels",
    "pseudo_labels",
    "self_training",
    "standard",
    "tensorboard",
    "validate",
}
ENCODERS = sorted((CONFIGS / "encoders").glob("*.yaml"))
NOT_OVER_ALL = {  # of other keys than numbers
    *("common", "inference_trt", "multi_gpu_train", "plain_pseudo_labels", "pseudo_labels", "tensorboard", "validate"),
}
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
    order = [name for name in handlers if name in ("scripts.components.SaveWeights", "scripts.components.Calibrate")]
    assert order == ["scripts.components.SaveWeights", "scripts.components.Calibrate"]
    assert handlers["scripts.components.Calibrate"]["path"] == handlers["scripts.components.SaveWeights"]["path"]
    assert handlers["scripts.components.Calibrate"]["seed"] == "$@shared.seed"


def test_there_is_a_config_for_every_stage():
    found = {path.stem for path in CONFIGS.glob("*.yaml")} - OVERLAYS
    assert found == set(STAGES)


CHECKED = {  # what is run -> its workflow type; the steps of None are no engine's, and declared in properties.json
    **{(stage,): kind for stage, kind in STAGES.items()},
    ("train", "validate"): "train",  # as the Model Zoo evaluates
    ("train", "faithful"): "train",
    ("coarse", "standard"): "train",
    ("train", "standard"): "train",
    ("inference", "standard"): "infer",
    ("inference", "natural"): "infer",
    ("inference", "inference_trt"): "infer",
    ("coarse", "tensorboard"): "train",
}


OVER = {stage: [stage] for stage in STAGES} | {"validate": ["train", "validate"]}


@pytest.mark.parametrize("stage", OVER)
@pytest.mark.parametrize("overlay", sorted({*OVERLAYS, *[f"encoders/{path.stem}" for path in ENCODERS]} - NOT_OVER_ALL))
def test_no_overlay_takes_a_number_from_a_stage(overlay, stage):
    written = yaml.safe_load((CONFIGS / f"{overlay}.yaml").read_text())
    if not is_for(written, stage):
        return
    plain = ConfigParser.load_config_files([str(CONFIGS / f"{name}.yaml") for name in OVER[stage]])
    config = ConfigParser(COMMON | plain | written | {"stage": stage})
    config.parse()
    for key in written.keys() & (COMMON | plain).keys():
        if not isinstance(written[key], dict) and "@train#dataset" not in str(written[key]):  # which needs a cohort
            assert config.get_parsed_content(key) is not None, key


@pytest.mark.parametrize(("stages", "kind"), CHECKED.items(), ids=map("+".join, CHECKED))
def test_a_config_has_the_properties_monai_asks_for(stages, kind, cohort):
    label_table = (cohort / "labels.yaml").read_text()
    (cohort / "models").mkdir()
    (cohort / "models" / "labels.yaml").write_text(label_table)
    workflow = ConfigWorkflow(
        config_file=[str(CONFIGS / f"{stage}.yaml") for stage in stages],
        logging_file=False,
        workflow_type=kind,
        properties_path=None if kind else CONFIGS / "properties.json",
        dataset_dir=str(cohort),
        attention_dir=str(cohort / "labels"),
    )
    workflow.initialize()
    assert workflow.check_properties() == []
    assert workflow.version == __version__


def shared_by(text: str) -> set[str]:
    """The names a config takes from common.yaml."""
    return set(re.findall(r"@shared\.(\w+)", text)) - {"made_with", "contradiction"}  # methods


@pytest.mark.parametrize("stage", STAGES)
def test_shared_keys_of_a_stage_are_in_common(stage):
    taken = shared_by((CONFIGS / f"{stage}.yaml").read_text())
    assert taken
    assert taken <= set(COMMON)


def test_everything_in_common_is_used():
    text = "".join((CONFIGS / f"{name}.yaml").read_text() for name in (*STAGES, "pseudo_labels"))
    used = {"settings"} | shared_by(text) | set(re.findall(r"@(\w+)", (CONFIGS / "common.yaml").read_text()))
    assert set(COMMON) - used == set()


@pytest.mark.parametrize("stage", ["pretrain", "train", "embed", "inference"])
def test_one_key_swaps_the_encoder_of_every_stage(stage):
    other = {"_target_": "scripts.QueryEncoder", "spatial_dims": 2, "widths": [4, 6, 8, 10], "layers": [1, 1, 1, 1]}
    config = parser(stage, encoder=other)
    found = config.get_parsed_content("untrained" if stage == "embed" else "network_def")
    assert getattr(found, "encoder", found).channels == [4, 6, 8, 10]


def test_every_number_of_a_config_is_explained():
    for path in CONFIGS.glob("*.yaml"):
        for line in path.read_text().splitlines():
            if re.match(r"^(?!imports|initialize|run|stages)\w+: [-\d\[]", line):
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


def test_the_network_has_the_shapes_in_metadata():
    verify_net_in_out(
        net_id="network_def",
        meta_file=str(CONFIGS / "metadata.json"),
        config_file=str(CONFIGS / "inference.yaml"),
        **{"_meta_#network_data_format": json.loads((CONFIGS / "metadata.json").read_text())["query_data_format"]},
    )


def test_without_tensorrt_its_overlay_leaves_the_network_as_it_is(cohort):
    config = ConfigParser()
    config.read_config([str(CONFIGS / "inference.yaml"), str(CONFIGS / "inference_trt.yaml")])
    config.update({"dataset_dir": str(cohort), "ckpt_dir": str(cohort), "device": "cpu"})
    assert config.get_parsed_content("network") is config.get_parsed_content("network_def")


def test_a_tensorrt_engine_is_that_of_all_models_and_arguments(cohort, monkeypatch):
    asked = []
    monkeypatch.setattr("monai.networks.trt_compile", lambda network, path, args: asked.append((path, args)) or network)
    for given in ({}, {"models": ["model.pt", "model_fold0.pt"]}, {"batch_size": 4}):
        config = ConfigParser()
        config.read_config([str(CONFIGS / "inference.yaml"), str(CONFIGS / "inference_trt.yaml")])
        config.update({"dataset_dir": str(cohort), "ckpt_dir": str(cohort), "device": "cpu", **given})
        config.get_parsed_content("network")
    assert len({path for path, _ in asked}) == 3
    assert all(path.startswith(f"{cohort}/model.pt.") for path, _ in asked)
    assert asked[2][1] == {"precision": "fp32", "dynamic_batchsize": [1, 4, 4]}


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
    config = faithful(stage, epoch_length=10)
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


# strategies of a study: one difference each

KEYS = StageKeys(CONFIGS.parent)
STRATEGIES = {path.stem: find_strategies([path.stem], KEYS)[0] for path in (CONFIGS / "strategies").glob("*.yaml")}
PRETRAINED = sorted(name for name, strategy in STRATEGIES.items() if {"pretrain", "train"} <= set(strategy.stages))
STAGES_OF = [(name, stage) for name in sorted(STRATEGIES) for stage in STRATEGIES[name].stages]
DIFFERENCES = {  # of refiners, which have a stage of pretraining or none
    "coarse": {},
    "scratch": {},
    "scratch-short": {},
    "self-training": {},
    "simclr": {"meaning": "query"},
    "simclr-image": {"meaning": "query", "show_attention": False, "pooling": "patch"},
    "supcon-phase": {"meaning": "phase"},
    "organ": {"meaning": "object"},
    "semantic": {"meaning": "cluster"},
    "semantic-labelled": {"meaning": "cluster", "unlabelled": False},
    "semantic-slices": {"meaning": "cluster", "whole_slices": True},
    "semantic-memory": {"meaning": "cluster", "memory": 1024},
    "semantic-dense": {
        "meaning": "cluster",
        "pooling": "points",
        "decoder_weights": "$os.path.join(os.path.dirname(@encoder_weights), 'decoder.pt')",
    },
    "dcc": {"meaning": "query", "intensity_weights": True},
}


def merged(stage: str, *overlays: Path) -> dict:
    return ConfigParser.load_config_files([str(CONFIGS / f"{stage}.yaml"), *map(str, overlays)])


@pytest.mark.parametrize("name", sorted(DIFFERENCES))
def test_a_refiner_sets_what_it_is_about_alone(name):
    assert STRATEGIES[name].numbers == DIFFERENCES[name]


def test_every_other_strategy_segments_whole_slices_or_volumes():
    for name in STRATEGIES.keys() - DIFFERENCES.keys():
        assert predictor(STRATEGIES[name].stages) == "segment_inference", name


@pytest.mark.parametrize(("name", "stage"), STAGES_OF)
def test_a_stage_of_a_strategy_differs_in_what_its_file_names_alone(name, stage):
    plain, numbers = merged(stage), KEYS.part(stage, STRATEGIES[name].numbers)
    config = ConfigParser(merged(stage))
    config.update(numbers)
    other = config.get()
    changed = {key for key in plain.keys() | other.keys() if plain.get(key, ...) != other.get(key, ...)}
    already = {group(key) for key, value in numbers.items() if plain.get(key, ...) == value}
    assert changed == {group(key) for key in numbers} - already


@pytest.mark.parametrize("name", sorted(STRATEGIES))
def test_every_number_of_a_strategy_is_read_by_one_of_its_stages(name):
    stages = [*STRATEGIES[name].stages, *filter(None, [predictor(STRATEGIES[name].stages)])]
    read = {key for stage in stages for key in KEYS.part(stage, dict.fromkeys(STRATEGIES[name].numbers, 0))}
    assert read == {KEYS.split(key)[1] for key in STRATEGIES[name].numbers}


def test_refiners_of_one_comparison_share_all_but_pretraining():
    for name in ("simclr", "supcon-phase", "organ", "dcc", "semantic-labelled", "semantic-memory", "semantic-slices"):
        assert STRATEGIES[name].stages == STRATEGIES["semantic"].stages
        for stage in ("segment", "store", "train", "inference"):
            assert KEYS.part(stage, STRATEGIES[name].numbers) == {}


@pytest.fixture(scope="module")
def pretrained_by(phantoms, tmp_path_factory):
    """Gives what a strategy's pretraining is made of: a parser of its config, on a store made once."""
    store = tmp_path_factory.mktemp("strategies") / "store"
    given = {"dataset_dir": str(phantoms), "attention_dir": str(phantoms / "labels"), "store_dir": str(store)}
    small = {"patch_size": 32, "spacing": [5, 5, 0], "widths": [4, 8, 8, 16], "epoch_length": 1}

    def parse(*overlays: str) -> ConfigParser:
        config = ConfigParser()
        config.read_config(str(CONFIGS / "pretrain.yaml"))
        for name in overlays:
            config.update(KEYS.part("pretrain", STRATEGIES[name].numbers))
        config.update(given | small)
        config.parse()
        return config

    return parse


def first_batch(config: ConfigParser) -> tuple[dict, torch.Tensor, object]:
    """Of a config's pretraining: sampled queries, inputs, and labels for the loss."""
    views = config.get_parsed_content("train#views")
    views.set_random_state(0)
    batch = next(iter(config.get_parsed_content("train#dataloader")))
    return batch, *config.get_parsed_content("train#trainer").prepare_batch(batch, torch.device("cpu"))


@pytest.mark.parametrize("name", PRETRAINED)
def test_the_labels_of_a_strategy_are_those_of_its_meaning(name, pretrained_by):
    batch, _, targets = first_batch(pretrained_by(name))
    labels = (
        targets[0] if name == "dcc" else targets[::8] if name == "semantic-dense" else targets
    )  # of eight points each
    meaning = DIFFERENCES[name]["meaning"]
    views = 2 * len(batch["query"])
    labels, around = labels[:views], labels[views:]
    assert labels.tolist() == batch[meaning].tolist() * 2
    assert around.tolist() == ([] if name == "simclr-image" else [-1 - label for label in labels.tolist()])
    queries = batch["query"].tolist()
    if meaning == "query":
        assert len(set(labels.tolist())) == len(set(queries))
    together = [
        (one, other) for one in range(len(labels)) for other in range(len(labels)) if labels[one] == labels[other]
    ]
    rows = {key: batch[key].repeat(2) for key in ("query", "object", "phase")}
    same = {"cluster": ("object", "phase"), "object": ("object",), "phase": ("phase",), "query": ("query",)}[meaning]
    expected = [
        (one, other)
        for one in range(len(labels))
        for other in range(len(labels))
        if all(rows[key][one] == rows[key][other] for key in same)
    ]
    assert together == expected
    assert len(together) > len(labels)


def test_all_strategies_see_the_same_batches(pretrained_by):
    plain, inputs, _ = first_batch(pretrained_by())
    for name in set(PRETRAINED) - {"semantic-slices"}:
        batch, seen, _ = first_batch(pretrained_by(name))
        assert torch.equal(batch["query"], plain["query"])
        assert torch.equal(seen[:, :1], inputs[:, :1])
        if name == "simclr-image":
            assert seen.shape[1] == 2
            assert not seen[:, 1:].any()
        elif name == "semantic-dense":  # shows the attention in every view
            assert torch.equal(seen[:, 1], seen[:, 2])
            assert torch.equal(seen[:, 2:], inputs[:, 2:])
        else:
            assert torch.equal(seen[:, 1:], inputs[:, 1:])
    assert inputs[:, 1:].any()


def test_whole_slices_are_as_many_queries_with_all_organs_of_a_slice(pretrained_by):
    plain, *_ = first_batch(pretrained_by())
    config = pretrained_by("semantic-slices")
    batch, *_ = first_batch(config)
    assert len(batch["query"]) == len(plain["query"])
    index = config.get_parsed_content("store").index
    first = index[batch["query"][0]]
    on_slice = np.flatnonzero((index[:, 0] == first[0]) & (index[:, 6] == first[6]))
    assert set(on_slice) <= set(batch["query"].tolist())
    assert len(set(batch["object"].tolist())) > 1


def test_a_memory_is_compared_with_and_kept_with_the_checkpoint(pretrained_by):
    config = pretrained_by("semantic-memory")
    loss = config.get_parsed_content("train#loss")
    assert loss.memory.vectors.shape == (1024, 256)
    assert any(name.startswith("memory") for name in loss.state_dict())
    assert pretrained_by().get_parsed_content("train#loss").memory is None


@pytest.mark.parametrize("stage", ["pretrain", "pretrain_slices"])
def test_what_a_loss_keeps_and_learns_is_where_training_runs_and_in_the_checkpoint(stage):
    memory = {"memory": 8} if stage == "pretrain" else {}
    config = parser(stage, device="$torch.device('meta')", **memory, **{"train#loss#learnable": True})
    loss = config.get_parsed_content("loss")
    assert {part.device.type for part in [*loss.parameters(), *loss.buffers()]} == {"meta"}
    assert len([*loss.buffers()]) == (3 if memory else 0)
    (checkpoint,) = (one for one in config["train"]["handlers"] if one["_target_"].endswith(".Checkpoint"))
    assert checkpoint["parts"]["loss"] == "@loss"
    assert "@loss" in config["train"]["trainer"]["loss_function"]


@pytest.mark.parametrize("overlays", [["pretrain"], ["pretrain_slices"], ["pretrain", "faithful"]], ids="+".join)
def test_a_learnable_temperature_is_learnt(overlays):
    config = ConfigParser()
    config.read_config([str(CONFIGS / f"{name}.yaml") for name in overlays])
    config.update({"widths": [4, 8, 8, 16], "layers": [1, 1, 1, 1], "epoch_length": 10, "dataset_dir": "cohort"})
    config.update({"device": "$torch.device('cpu')", "train#loss#learnable": True})
    config.parse()
    loss, optimizer = config.get_parsed_content("loss"), config.get_parsed_content("optimizer")
    before = loss.log_scale.item()
    embeddings = torch.randn(8, 4, generator=torch.Generator().manual_seed(0))
    loss(embeddings, torch.arange(8) // 2).backward()
    optimizer.step()
    assert loss.log_scale.item() != before
    frozen = config["train"]["loss"] | {"learnable": False}
    config.update({"train#loss": frozen})
    config.parse()
    network = config.get_parsed_content("network_def")
    counted = sum(len(group["params"]) for group in config.get_parsed_content("optimizer").param_groups)
    assert counted == len([*network.parameters()])


def test_points_pretrain_the_decoder_that_training_goes_on_with(pretrained_by, tmp_path):
    config = pretrained_by("semantic-dense")
    network = config.get_parsed_content("network_def")
    handlers = merged("pretrain", STRATEGIES["semantic-dense"].overlay)["train"]["handlers"]
    saved = [handler["module"] for handler in handlers if handler["_target_"] == "scripts.components.SaveWeights"]
    assert saved == ["@encoder", "$@pool.decoder"]
    assert config.get_parsed_content("shared").decoder is network.pooling.decoder
    weights = tmp_path / "decoder.pt"
    save_weights(weights, network.pooling.decoder, {})
    given = {"widths": [4, 8, 8, 16], "dataset_dir": "cohort"}
    refiner = parser("train", **given).get_parsed_content("network_def")
    load_weights(weights, refiner.decoder, "pretrain.yaml")
    assert pretrained_by().get_parsed_content("pool").decoder is None


def test_dcc_weights_pairs_by_the_mean_intensities_under_their_masks(pretrained_by):
    config = pretrained_by("dcc")
    _, inputs, targets = first_batch(config)
    labels, tones = targets
    image, mask = inputs[:, 0].double().repeat(2, 1, 1), torch.cat([inputs[:, 2], inputs[:, 3]]).double()
    by_hand = ((image + 1) / 2 * mask).sum((1, 2)) / mask.sum((1, 2)).clamp_min(1)
    by_hand = torch.where(mask.sum((1, 2)) > 0, by_hand.clamp(0, 1), 0.5)
    assert torch.allclose(tones.double(), by_hand, atol=1e-6)
    embeddings = torch.randn(len(labels), 256, generator=torch.Generator().manual_seed(0))
    loss = config.get_parsed_content("train#trainer").loss_function(embeddings, targets)
    expected = SemanticContrastiveLoss(0.1)(embeddings, labels, by_hand.float())
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert loss.item() != pytest.approx(SemanticContrastiveLoss(0.1)(embeddings, labels).item(), rel=1e-3)


@pytest.mark.parametrize("name", ["simclr", "semantic"])
def test_other_strategies_weight_all_pairs_alike(name, pretrained_by):
    config = pretrained_by(name)
    *_, labels = first_batch(config)
    embeddings = torch.randn(len(labels), 256, generator=torch.Generator().manual_seed(0))
    loss = config.get_parsed_content("train#trainer").loss_function(embeddings, labels)
    assert loss.item() == SemanticContrastiveLoss(0.1)(embeddings, labels).item()


@pytest.mark.parametrize("name", PRETRAINED)
def test_fine_tuning_goes_on_with_what_was_pretrained(name):
    config = parser("train", dataset_dir="cohort", **KEYS.part("train", STRATEGIES[name].numbers))
    assert config.get_parsed_content("encoder_weights") == "cohort/models/encoder.pt"
    handlers = merged("train")["train"]["handlers"]
    assert [handler["path"] for handler in handlers if handler["_target_"] == "scripts.components.LoadWeights"] == [
        "$@finetune_model_path if @finetune else None",
        "$None if @finetune else @encoder_weights",
        "@decoder_weights",
    ]
    decoder = config.get_parsed_content("decoder_weights")
    assert decoder == ("cohort/models/decoder.pt" if name == "semantic-dense" else None)


@pytest.mark.parametrize("name", sorted(STRATEGIES.keys() - DIFFERENCES.keys()))
def test_the_network_of_a_strategy_fits_from_training_to_inference(name, phantoms):
    given = {"dataset_dir": str(phantoms), "labels": "$scripts.LabelTable.load(@dataset_dir)"}
    given |= KEYS.part("segment", STRATEGIES[name].numbers)
    networks = [parser(stage, **given).get_parsed_content("network_def") for stage in ("segment", "segment_inference")]
    networks[1].load_state_dict(networks[0].state_dict())
    size = [32, 24, 16] if given.get("segment_dims") == 3 else [32, 24]
    assert networks[0].eval()(torch.zeros(1, 1, *size)).shape == (1, 14, *size)


@pytest.mark.parametrize(("slices", "deformation"), [(999, 0.0), (1000, 0.36)])
def test_slices_are_deformed_where_a_labelled_scan_gives_many(slices, deformation, phantoms):
    cases = len(load_cases(phantoms, "training"))
    config = parser("segment", dataset_dir=str(phantoms), max_epochs=slices, epoch_length=cases, batch_size=1)
    assert config.get_parsed_content("train#augmentation#elastic") == deformation
    assert config.get_parsed_content("train#weak").elastic == 0


@pytest.mark.parametrize("stage", ["coarse", "pretrain", "pretrain_slices", "segment", "train"])
def test_all_weights_of_a_stage_note_its_settings(stage):
    """Those of the best validation too: inference refuses weights without."""
    config = ConfigParser.load_config_file(str(CONFIGS / f"{stage}.yaml"))
    origins = [config["cross_fit"]["origin"]] if stage == "coarse" else []
    for part in ("train", "validate"):
        of_part = config.get(part, {})
        for handler in [*of_part.get("handlers", ()), of_part.get("best")]:
            if isinstance(handler, dict) and handler["_target_"].endswith((".SaveWeights", ".SaveBest")):
                origins.append(handler["origin"])
    whole = {"@cross_fit#origin": config.get("cross_fit", {}).get("origin"), "@noted": config.get("noted")}
    noted = [whole.get(origin, origin) for origin in origins]
    assert len(noted) >= (2 if "validate" in config else 1)
    assert all("@shared.made_with(" in origin for origin in noted)


@pytest.mark.parametrize(
    ("stage", "begins"),
    [
        ("pretrain", "initial_weights"),
        ("pretrain_slices", "initial_weights"),
        ("segment", "initial_weights"),
        ("segment", "encoder_weights"),
        ("train", "initial_weights"),
        ("train", "encoder_weights"),
        ("train", "decoder_weights"),
        ("train", "finetune_model_path"),
    ],
)
def test_a_stage_notes_whom_the_weights_that_it_begins_with_saw_elsewhere(stage, begins, cohort, tmp_path):
    seen = {"cohort": "elsewhere", "patients": "a b", "cases": "c d"}
    (tmp_path / "old.json").write_text(json.dumps(seen))
    given = dict.fromkeys(("encoder_weights", "decoder_weights", "initial_weights") if stage == "train" else ())
    given |= {"finetune": True} if begins == "finetune_model_path" else {}
    given[begins] = str(tmp_path / "old.pt")
    config = parser(stage, dataset_dir=str(cohort), **given)
    assert config.get_parsed_content("shared").provenance["before"] == [seen]


def test_training_notes_all_weights_that_it_begins_with(cohort, tmp_path):
    seen = [{"cohort": name, "patients": "a", "cases": "b"} for name in ("decoder", "initial")]
    for one in seen:
        (tmp_path / f"{one['cohort']}.json").write_text(json.dumps(one))
    given = {f"{name}_weights": str(tmp_path / f"{name}.pt") for name in ("decoder", "initial")}
    config = parser("train", dataset_dir=str(cohort), encoder_weights=None, **given)
    assert config.get_parsed_content("shared").provenance["before"] == seen


@pytest.mark.parametrize("stage", ["coarse", "pretrain", "train"])
def test_a_checkpoint_holds_what_validation_has_found_so_far(stage):
    config = merged(stage)
    handlers = config["train"]["handlers"]
    (parts,) = (handler["parts"] for handler in handlers if handler["_target_"].endswith(".Checkpoint"))
    assert parts["best"] == "@validate#best"
    assert "@validate#best" in config["validate"]["handlers"]
    if stage == "train":
        number = int(parts["patience"].removeprefix("@train#handlers#"))
        assert handlers[number]["_target_"].endswith(".StopEarly")


@pytest.mark.parametrize("stage", ["pretrain", "train"])
def test_every_validation_is_of_the_same_batches(stage):
    config = merged(stage)
    assert config["validate"]["sampler"]["fixed"] is True
    assert "fixed" not in config["train"]["sampler"]


TRAINED = ("coarse", "pretrain", "pretrain_slices", "segment", "train")


@pytest.mark.parametrize("kind", ["cpu", "cuda"])
@pytest.mark.parametrize("stage", TRAINED)
def test_training_pins_and_fuses_on_a_gpu_alone(stage, kind):
    config = parser(stage, device=f"$torch.device('{kind}')")
    for key in ("train#dataloader#pin_memory", "optimizer#fused"):
        assert config.get_parsed_content(key) is (kind == "cuda")
    assert config["train"]["trainer"]["optim_set_to_none"] is True


@pytest.mark.parametrize("stage", ["inference", "segment_inference"])
@pytest.mark.parametrize(("workers", "scans"), [(0, (0, None)), (2, (2, 1)), (16, (4, 1))])
def test_few_whole_scans_are_held_ahead_however_many_loader_processes_there_are(stage, workers, scans, cohort):
    config = parser(stage, dataset_dir=str(cohort), num_workers=workers)
    keys = ("num_workers", "prefetch_factor")
    assert tuple(config.get_parsed_content(f"dataloader#{key}") for key in keys) == scans


def test_embeddings_are_read_by_loader_processes():
    assert parser("embed")["embedding"]["num_workers"] == "$@shared.num_workers"


@pytest.mark.parametrize("stage", TRAINED)
def test_cudnn_tries_algorithms_only_where_asked(stage, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
    for wanted in (True, False):
        config = parser(stage)
        config["shared"] = f"$type('Shared', (), {{'cudnn_benchmark': {wanted}}})"
        config.parse(reset=True)
        step = next(number for number, text in enumerate(config["run"]) if "cudnn" in text)
        assert "set_determinism" in config["run"][step - 1]  # which switches it off
        config.get_parsed_content(f"run#{step}")
        assert torch.backends.cudnn.benchmark is wanted


def test_training_and_calibration_leave_out_organs_that_a_case_does_not_annotate(cohort):
    """And count the queries that are left as their samplers do."""
    path = cohort / "datalist.json"
    datalist = json.loads(path.read_text())
    partial = datalist["training"][0]
    partial["annotated"] = ["liver"]
    path.write_text(json.dumps(datalist))
    small = {"patch_size": 32, "spacing": [5, 5, 0], "calibration_share": 0, "epoch_length": 1}
    config = parser("train", dataset_dir=str(cohort), attention_dir=str(cohort / "labels"), **small)
    every = config.get_parsed_content("store")
    number = every.cases.index(partial["case"])
    for part in ("train", "validate", "calibration"):
        left = config.get_parsed_content(f"{part}#dataset").store
        own = left.index[:, 0] == number
        assert set(left.index[own, 2].tolist()) == {every.table.names.index("liver") + 1}
        assert np.array_equal(left.index[~own], every.index[every.index[:, 0] != number])
        sampler = config.get_parsed_content(f"{part}#sampler")
        assert np.array_equal(sampler.clusters, left.clusters)
        assert np.array_equal(sampler.patients, left.patients)
    calibrate = merged("train")["train"]["handlers"]
    (patients,) = (one["patients"] for one in calibrate if one["_target_"].endswith(".Calibrate"))
    assert patients == "$@calibration#dataset.store.patients"


@pytest.mark.parametrize("stage", ["coarse", "segment", "pretrain", "pretrain_slices", "train"])
def test_nothing_that_makes_a_network_is_asked_for_before_the_seed_is_set(stage):
    """Its weights would be drawn before, and differ from run to run."""
    lines = yaml.safe_load((CONFIGS / f"{stage}.yaml").read_text())["run"]
    seeded = next(number for number, line in enumerate(lines) if "set_determinism" in line)
    before = " ".join(lines[:seeded])
    assert not re.search(r"@(initial_weights|network|network_def|encoder|teacher|train#)|slices_weights", before)
