"""The config of a run: found where it runs, checked against the shipped one, compared with another."""

import copy
import inspect
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from monai.bundle import ConfigParser, ConfigWorkflow

from scripts.job.config_check import (
    NOT_COMPARED,
    _components,
    _locate,
    check_config,
    config_digest,
    differences,
    flatten,
    running_config,
)
from tests.stages import ROOT, refusal, workflow_of

CONFIGS = ROOT / "bundle" / "configs"
STAGES = ("coarse", "pretrain", "train", "inference", "embed", "evaluate")
PLAIN = ("pretrain_slices", "segment", "segment_inference")  # of plain networks
OTHERS = {
    key: value for stage in STAGES for key, value in yaml.safe_load((CONFIGS / f"{stage}.yaml").read_text()).items()
}
COMMON = yaml.safe_load((CONFIGS / "common.yaml").read_text())
FLAT = {"seed": 0, "optimizer#lr": 0.1, "handlers#0#_target_": "scripts.components.Progress", "window#0": -160}


def shipped(stage: str) -> dict:
    """A stage's own config."""
    return yaml.safe_load((CONFIGS / f"{stage}.yaml").read_text())


def found(stage: str = "pretrain", **changes: object) -> list[str]:
    """The errors of a stage's own config with some keys changed, "a#b" for nested ones."""
    config = copy.deepcopy(shipped(stage))
    for path, value in changes.items():
        *groups, last = path.split("#")
        part = config
        for group in groups:
            part = part[int(group)] if isinstance(part, list) else part[group]
        part[last] = value
    return [str(error) for error in check_config(config, shipped(stage), OTHERS | COMMON)]


def only(messages: list[str]) -> str:
    (message,) = messages
    return message


# keys


@pytest.mark.parametrize("stage", STAGES)
def test_a_shipped_config_has_no_errors(stage):
    assert found(stage) == []


@pytest.mark.parametrize("stage", STAGES)
def test_an_overlay_for_every_stage_is_accepted_by_each(stage):
    overlay = yaml.safe_load((ROOT / "tests" / "real" / "hippocampus.yaml").read_text())
    assert [str(error) for error in check_config(shipped(stage) | overlay, shipped(stage), OTHERS | COMMON)] == []


@pytest.mark.parametrize("stage", STAGES)
def test_a_shared_number_may_be_overridden_in_every_stage(stage):
    assert found(stage, **COMMON) == []


@pytest.mark.parametrize("stage", STAGES)
def test_a_shared_number_must_have_its_type_in_every_stage(stage):
    assert any("--patch_size is of the wrong kind" in message for message in found(stage, patch_size="large"))


UNKNOWN = {
    "temprature": "temperature",
    "Temperature": "temperature",
    "max_epoch": "max_epochs",
    "learning_rates": "learning_rate",
    "train#viewz": "train#views",
    "train#views#rotate": "train#views#rotation",
    "train#loss#temprature": "train#loss#temperature",
    "train#handlers#1#sampel": "train#handlers#1#sampler",
    "optimizer#weight_dekay": "optimizer#weight_decay",
    "network_def#embeding": "network_def#embedding",
    "train#trainer#max_epoch": "train#trainer#max_epochs",
}


@pytest.mark.parametrize(("given", "meant"), UNKNOWN.items())
def test_an_unknown_key_is_refused_and_the_nearest_named(given, meant):
    message = only(found(**{given: 1}))
    assert message.startswith(f"unknown key --{given}\n")
    assert f"did you mean --{meant}?" in message


@pytest.mark.parametrize(
    ("stage", "key", "value"),
    [
        ("embed", "encoders#longer", "$scripts.components.trained(@pretrained, 'longer/encoder.pt', 'pretrain.yaml')"),
        ("evaluate", "methods#nnunet", "maps/nnunet"),
    ],
)
def test_encoders_and_methods_may_be_given_more_entries(stage, key, value):
    assert found(stage, **{key: value}) == []


@pytest.mark.parametrize(("stage", "key"), [("embed", "embedding#longer"), ("pretrain", "train#encoders")])
def test_other_groups_accept_no_new_entries(stage, key):
    assert f"unknown key --{key}\n" in only(found(stage, **{key: 1}))


def test_a_key_unlike_any_other_is_refused_with_all_known_keys():
    message = only(found(xyzzy=1))
    assert message.startswith("unknown key --xyzzy\n")
    assert "temperature" in message
    assert "leave it out" in message


def test_an_overlay_for_other_stages_is_refused():
    assert found("train", stages=["pretrain", "train"]) == []
    (error,) = found("coarse", stages=["pretrain", "train"])
    assert "an overlay is not for coarse" in error
    assert "stages: pretrain, train" in error


def test_a_strategy_s_shares_of_a_study_s_budget_do_not_concern_a_stage():
    assert found("segment", stages={"segment": 1.0}) == []
    assert "not for segment" in only(found("segment", stages="segment"))  # as text it would be for all


def test_all_errors_are_reported_at_once():
    messages = found(temprature=0.2, max_epochs="many", **{"train#views#rotate": 1})
    reported = "\n".join(messages)
    assert len(messages) == 3
    assert all(part in reported for part in ("--temprature", "--max_epochs", "--train#views#rotate"))


def test_a_key_an_overlay_adds_is_accepted_where_something_refers_to_it():
    refers = {"mine": 3, "train#sampler#batches": "@mine"}
    assert found(**refers) == []
    assert "unknown key --mine" in only(found(mine=3))


@pytest.mark.parametrize("reference", ["@mine#a", "$@mine['a'] + 1", "$@mine::a", ["@mine#a"]], ids=str)
def test_a_reference_may_be_to_a_part_or_in_an_expression(reference):
    assert found(mine={"a": 3}, learning_rate="@one", one={"b": reference}) == []


def test_a_component_an_overlay_adds_is_checked():
    network = {
        "_target_": "UNet",
        "spatial_dims": 2,
        "in_channels": 1,
        "out_channels": 1,
        "channel": [8],
        "strides": [],
    }
    message = only(found(mine=network, learning_rate="$len(str(@mine))"))
    assert "unknown key --mine#channel" in message
    assert "UNet has no such argument" in message
    assert "did you mean --mine#channels?" in message


def test_another_component_takes_its_own_arguments():
    optimizer = {"_target_": "torch.optim.SGD", "params": "$@network.parameters()", "lr": 0.1, "momentum": 0.9}
    assert found(optimizer=optimizer) == []
    assert "--optimizer#beta" in only(found(optimizer=optimizer | {"beta": 1}))


@pytest.mark.parametrize("argument", ["_disabled_", "_desc_", "_requires_", "_mode_"])
def test_keys_of_monais_own_components_are_accepted(argument):
    assert found(**{f"train#loss#{argument}": "callable"}) == []


@pytest.mark.parametrize("tracking", [None, "mlflow"])
def test_keys_monai_adds_for_tracking_are_accepted(tracking, tmp_path, phantoms):
    workflow = workflow_of("pretrain", dataset_dir=phantoms, output_dir=tmp_path, tracking=tracking)
    config = {key: value for key, value in workflow.parser.config.items() if not key.startswith("_")}
    assert ("tracking_uri" in config) == (tracking is not None)
    assert [str(error) for error in check_config(config, shipped("pretrain"), OTHERS | COMMON)] == []


# kinds


WRONG = {
    "a text for a number": ("learning_rate", "fast", "a number"),
    "a list for a number": ("temperature", [0.1], "a number"),
    "a mapping for a number": ("temperature", {"a": 0.1}, "a number"),
    "True for a number": ("temperature", True, "a number"),
    "a text for a whole number": ("max_epochs", "12", "a whole number"),
    "True for a whole number": ("max_epochs", True, "a whole number"),
    "a fraction for a whole number": ("patch_size", 64.5, "a whole number"),
    "a number for True or False": ("resume", 1, "True or False"),
    "a text for True or False": ("resume", "true", "True or False"),
    "a text for True or False stages share": ("compile", "yes", "True or False"),
    "a number for a list": ("widths", 16, "a list"),
    "a text for a list": ("widths", "16,32", "a list"),
    "a number for a window": ("window", 240, "a list"),
    "a number for a name": ("section", 3, "a text"),
    "a text for a number, nested": ("train#views#noise", "little", "a number"),
    "a text for a mapping": ("train", "all", "a mapping"),
}


@pytest.mark.parametrize(("path", "value", "expected"), WRONG.values(), ids=WRONG.keys())
def test_a_value_of_the_wrong_kind_is_refused(path, value, expected):
    message = found(**{path: value})[0]
    assert message.startswith(f"--{path} is of the wrong kind\n")
    assert repr(value) in message
    assert f"expected: {expected}, as " in message
    assert f"give --{path} {expected}" in message


@pytest.mark.parametrize("path", ["max_epochs", "temperature", "widths", "train#views#noise", "train"])
def test_a_value_that_is_left_empty_is_refused(path):
    message = only(found(**{path: None}))
    assert message.startswith(f"--{path} has no value\n")


@pytest.mark.parametrize("path", ["methods#nnunet", "methods#coarse"])
def test_a_method_without_a_folder_is_refused(path):
    assert f"--{path} has no value\n" in only(found("evaluate", **{path: None}))


@pytest.mark.parametrize(
    ("written", "meant"), [("1e-3", "1.0e-3"), ("2.5e3", "2.5e+3"), ("1E+4", "1.0e+4"), ("12", None), ("e-3", None)]
)
def test_a_number_that_yaml_takes_for_a_text_is_shown_as_yaml_wants_it(written, meant):
    message = only(found(learning_rate=yaml.safe_load(f"{written!r}")))
    assert message.endswith(f"give --learning_rate a number: in YAML {meant}" if meant else "a number")
    assert meant is None or yaml.safe_load(meant) == float(written)


@pytest.mark.parametrize("value", [202401, 1000.0, ("a", "b"), True, {"a": 1}], ids=str)
@pytest.mark.parametrize("key", ["dataset_dir", "output_dir", "store_dir", "bundle_root"])
def test_a_path_that_fire_converted_is_refused(key, value):
    message = only(found(**{key: value}))
    assert message.startswith(f"--{key} is not a path\n")
    assert (f"{value!r}, made of what was written" if value is not True else "no value") in message
    assert (f"quote it twice, as in --{key} \"'2024_01'\"" if value is not True else f"write --{key} PATH") in message


def test_a_number_given_as_text_is_refused_with_how_to_quote_it():
    assert message_of(section=3).endswith("give --section a text, quoted twice: --section \"'...'\"")


def message_of(**changes: object) -> str:
    return only(found(**changes))


CUT = {  # changes: path of the section that lost keys, what to write
    "a section": (
        {"train": {"views": {"area": 0.5}}},
        "train",
        "train#views#area: ... for each number, or +train#views: {",
    ),
    "a section of numbers": ({"train": {"sampler": 3}}, "train", "train#sampler: ..."),
    "nothing in a section": ({"train": {}}, "train", "train#KEY: ..."),
    "a component": ({"optimizer": {"weight_decay": 0.1}}, "optimizer", "optimizer#weight_decay: ..., or +optimizer"),
}


@pytest.mark.parametrize(("changes", "path", "remedy"), CUT.values(), ids=CUT.keys())
def test_an_overlay_that_replaces_a_section_is_refused_with_the_way_to_change_a_number(changes, path, remedy):
    message = only(found(**changes))
    assert message.startswith(f"{path} has lost keys: an overlay that names a section replaces all of it\n")
    assert "alone, without " in message
    assert remedy.replace(": ..., or", ": ... for each number, or") in message


def test_a_part_of_a_section_that_lost_keys_is_named():
    train = copy.deepcopy(shipped("pretrain")["train"]) | {"views": {"area": 0.5}}
    message = only(found(train=train))
    assert message.startswith("train#views has lost keys")
    assert "write train#views#area: ... for each number, or +train#views: {...}" in message


@pytest.mark.parametrize(
    ("stage", "key", "value"),
    [("evaluate", "methods", {"mine": "maps"}), ("embed", "encoders", {"mine": "@untrained"})],
)
def test_groups_of_entries_may_be_replaced(stage, key, value):
    assert found(stage, **{key: value}) == []


RIGHT = {
    "a whole number for a number": ("learning_rate", 1),
    "a whole number written with a point": ("max_epochs", 3.0),
    "a window by name": ("window", "percentile"),
    "another window": ("window", [0, 80.5]),
    "an expression for a number": ("learning_rate", "$0.1 / 3"),
    "a reference for a list": ("widths", "@layers"),
    "another list": ("widths", [4, 8, 8, 16]),
    "an expression for a folder": ("dataset_dir", "$os.environ['HOME']"),
    "a folder for an expression": ("ckpt_dir", "models"),
    "a component for an expression": ("network", {"_target_": "UNet"}),
    "an expression for a component": ("optimizer", "$torch.optim.SGD(@network.parameters())"),
    "True": ("resume", True),
}


@pytest.mark.parametrize(("path", "value"), RIGHT.values(), ids=RIGHT.keys())
def test_a_value_of_the_right_kind_is_accepted(path, value):
    assert found(**{path: value}) == []


@pytest.mark.parametrize("stage", STAGES)
def test_defaults_that_may_be_fractions_are_not_written_as_whole_numbers(stage):
    own, whole = shipped(stage), []
    for path, part in _components(own):
        for name, parameter in inspect.signature(_locate(part["_target_"])).parameters.items():
            given = part.get(name)
            key = given[1:] if isinstance(given, str) and given[1:] in own and given[0] == "@" else f"{path}#{name}"
            value = own.get(key, given)
            if parameter.annotation in (float, "float") and type(value) is int:
                whole.append(key)
    assert whole == []


@pytest.mark.parametrize(("path", "value"), [("train#views#rotation", 22.5), ("time_limit", 0.5)])
def test_degrees_and_minutes_may_be_fractions(path, value):
    assert found(**{path: value}) == []


# in a run


def test_a_stage_refuses_before_it_writes(phantoms, tmp_path):
    message = refusal("pretrain", dataset_dir=phantoms, output_dir=tmp_path / "out", temprature=0.2)
    assert message.startswith("unknown key --temprature\n")
    assert not (tmp_path / "out").exists()


def test_several_wrong_keys_are_reported_as_problems_of_the_config(phantoms, tmp_path):
    message = refusal("pretrain", dataset_dir=phantoms, output_dir=tmp_path / "out", temprature=0.2, seed="one")
    assert message.startswith("2 problems")
    assert "unknown key --temprature" in message
    assert "--seed is of the wrong kind" in message
    assert "cohort" not in message.splitlines()[0]


def test_the_running_config_is_found_from_inside_an_expression(tmp_path):
    content = {
        "imports": ["$from scripts.job.config_check import running_config"],
        "width": 3,
        "twice": "$@width * 2",
        "net": {"_target_": "UNet", "channels": ["@width", "@twice"]},
        "now": "$running_config()",
    }
    parser = ConfigParser(copy.deepcopy(content))
    assert parser.get_parsed_content("twice") == 6  # what was resolved is not in it
    assert parser.get_parsed_content("now") == content


def test_the_running_config_is_merged(tmp_path: Path):
    for name, content in {"own": {"a": 1, "b": {"c": 2}, "d": 3}, "mine": {"a": 10}}.items():
        content["imports"] = ["$from scripts.job.config_check import running_config"]
        content["run"] = ["$running_config()"]
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(content))
    files = [str(tmp_path / "own.yaml"), str(tmp_path / "mine.yaml")]
    workflow = ConfigWorkflow(files, logging_file=False, **{"b#c": 20})
    workflow.initialize()
    (merged,) = workflow.run()
    assert (merged["a"], merged["b"], merged["d"]) == (10, {"c": 20}, 3)
    assert [key for key in merged if key.startswith("_")] == []


def test_outside_of_a_config_no_config_is_found():
    assert running_config() == {}


# they differ


def test_a_config_is_flattened_by_its_paths():
    nested = {"a": 1, "b": {"c": [2.5, {"d": "text"}]}, "e": [], "f": None, "g": True}
    assert flatten(nested) == {"a": 1, "b#c#0": 2.5, "b#c#1#d": "text", "f": None, "g": True}


def test_other_values_are_flattened_as_text():
    assert flatten({"path": Path("a/b")}) == {"path": "a/b"}


@pytest.mark.parametrize("key", sorted(NOT_COMPARED))
def test_keys_that_do_not_affect_results_are_left_out(key):
    assert flatten({"seed": 0, key: "anything"}) == {"seed": 0}


def test_tracking_does_not_distinguish_runs(tmp_path, phantoms, monkeypatch):
    flat = []
    for number in (1, 2):
        monkeypatch.setattr("monai.bundle.workflows.time", SimpleNamespace(strftime=lambda form, at=number: f"at{at}"))
        workflow = workflow_of("pretrain", dataset_dir=phantoms, output_dir=tmp_path, tracking="mlflow")
        flat.append(flatten({key: value for key, value in workflow.parser.config.items() if key[0] != "_"}))
    assert differences(*flat) == []


@pytest.mark.parametrize(
    ("now", "reported"),
    [
        ({}, []),
        ({"seed": 1}, ["seed: 0 before, 1 now"]),
        ({"mine": True}, ["mine: not there before, True now"]),
        ({"optimizer#lr": None}, ["optimizer#lr: 0.1 before, None now"]),
        ({"window#0": 0, "a": 1}, ["a: not there before, 1 now", "window#0: -160 before, 0 now"]),
    ],
    ids=["none", "another value", "a new key", "nothing", "two"],
)
def test_differences_are_reported_key_by_key(now, reported):
    assert differences(FLAT, FLAT | now) == reported
    assert (config_digest(FLAT) == config_digest(FLAT | now)) == (not reported)


def test_a_key_that_is_gone_is_a_difference():
    assert differences(FLAT, {key: value for key, value in FLAT.items() if key != "seed"}) == [
        "seed: 0 before, not there now"
    ]


def test_a_digest_does_not_depend_on_the_order_of_keys():
    assert config_digest(dict(reversed(FLAT.items()))) == config_digest(FLAT)
    assert len(config_digest(FLAT)) == 12
