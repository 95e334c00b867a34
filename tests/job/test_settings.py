"""Settings of weights: noted by the stage that made them, used by those that read them, contradictions refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from monai.bundle import ConfigParser

from scripts.cohort.datalist import load, save
from scripts.cohort.label_table import LabelTable
from scripts.errors import SemclError, root_cause
from scripts.job.settings import noted_settings

CONFIGS = Path("bundle/configs")
MADE_BY = {"inference": "train", "embed": "pretrain", "train": "pretrain", "maps": "coarse", "segment": "segment"}
MADE_BY |= {"audit": "pretrain", "segment_inference": "segment"}
WRITTEN = {"pretrain": "encoder", "train": "model", "coarse": "coarse", "segment": "segment"}
PARTS = {
    "pretrain": ("grid", "encoder", "pooling", "show_attention"),
    "train": ("grid", "network_def"),
    "coarse": ("coarse_network", "coarse_inferer", "-coarse_grid"),
    "segment": ("segment_grid", "network_def"),
}
OWN = {
    "window": [-100, 300],
    "patch_size": 32,
    "widths": [4, 8, 8, 16],
    "pooling": "patch",
    "show_attention": False,
    "coarse_size": [40, 32, 24],
}
UNKNOWN_ENCODER = {"encoder": {"_target_": "mine.Encoder", "width": "@patch_size"}}


def parser(stage: str, folder: Path, **overrides: Any) -> ConfigParser:
    config = ConfigParser()
    config.read_config(str(CONFIGS / f"{stage}.yaml"))
    config.update({"ckpt_dir": str(folder), "output_dir": str(folder.parent), "dataset_dir": str(folder), **overrides})
    config.parse()
    return config


def shared(stage: str, folder: Path, **overrides: Any) -> Any:
    return parser(stage, folder, **overrides).get_parsed_content("shared")


def trained(stage: str, models: Path, table: LabelTable, **overrides: Any) -> Path:
    """A file of weights without content, with the note that a stage writes beside it."""
    table.save(models)
    given = {} if stage == "pretrain" else {"settings_of": []}
    note = shared(stage, models, **(overrides | given)).made_with(*PARTS[stage])
    weights = models / f"{WRITTEN[stage]}.pt"
    weights.touch()
    weights.with_suffix(".json").write_text(json.dumps({"stage": f"{stage}.yaml", "cohort": "c", **note}))
    return weights


def test_a_cohort_of_mr_is_not_windowed_as_ct(cohort: Path) -> None:
    save(load(cohort), cohort, modality="MR")
    for stage in ("coarse", "evaluate"):
        with pytest.raises(SemclError, match="the scans are MR, and would be cut off as CT is"):
            shared(stage, cohort).window  # noqa: B018
        assert shared(stage, cohort, window="percentile").window == "percentile"
        assert shared(stage, cohort, window=[-160, 240]).window == [-160, 240]


def refusal(stage: str, folder: Path, **overrides: Any) -> str:
    with pytest.raises(Exception, match=r".") as caught:
        shared(stage, folder, **overrides).seed  # noqa: B018
    cause = root_cause(caught.value)
    assert cause is not None, caught.value
    return str(cause)


def test_a_note_holds_what_its_weights_depend_on_and_nothing_else(tmp_path: Path, table: LabelTable) -> None:
    noted = noted_settings(trained("pretrain", tmp_path / "models", table, **OWN))
    assert noted is not None
    grid = {"spatial_dims": 2, "patch_size": 32, "spacing": [2.5, 2.5, 0], "window": [-100, 300], "extend": 1}
    encoder = {"image_channels": 1, "block": "basic", "layers": [1, 1, 1, 1], "widths": [4, 8, 8, 16]}
    assert noted == grid | {"islands": 0.1} | encoder | {"pooling": "patch", "show_attention": False}


def test_a_coarse_network_of_volumes_does_not_depend_on_the_grid_of_slices(tmp_path: Path, table: LabelTable) -> None:
    weights = trained("coarse", tmp_path / "models", table, **OWN)
    noted = noted_settings(weights)
    assert noted is not None
    assert noted["coarse_dims"] == 3
    assert noted["coarse_size"] == [40, 32, 24]
    assert not {"segment_size", "coarse_spacing"} & set(noted)
    assert shared("maps", tmp_path / "models", segment_size=[64, 64], coarse_spacing=[4, 4, 0]).seed == 0
    message = refusal("maps", tmp_path / "models", coarse_dims=2)
    assert "coarse_dims 3" in message


def test_a_note_says_the_precision_and_the_versions(tmp_path: Path, table: LabelTable) -> None:
    weights = trained("train", tmp_path / "models", table, precision="bfloat16")
    half = json.loads(weights.with_suffix(".json").read_text())
    assert half["precision"] == "bfloat16"
    usual = trained("train", tmp_path / "others", table)
    assert json.loads(usual.with_suffix(".json").read_text())["precision"] == "float32"
    assert {"semcl", "torch", "monai"} <= set(half["versions"])


@pytest.mark.parametrize(
    ("stage", "key"),
    [
        ("inference", "window"),
        ("inference", "widths"),
        ("train", "window"),
        ("train", "patch_size"),
        ("embed", "patch_size"),
        ("embed", "pooling"),
        ("audit", "show_attention"),
        ("maps", "coarse_size"),
        ("segment_inference", "window"),
        ("segment_inference", "widths"),
    ],
)
def test_a_stage_uses_what_its_weights_were_made_with(
    tmp_path: Path, table: LabelTable, stage: str, key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    trained(MADE_BY[stage], tmp_path / "models", table, **OWN)
    config = parser(stage, tmp_path / "models")
    assert getattr(config.get_parsed_content("shared"), key) == OWN[key]
    assert config.config[key] == OWN[key]  # so that the manifest says it
    assert f"{key} {json.dumps(OWN[key])}" in capsys.readouterr().out


def test_components_are_made_with_the_noted_numbers(tmp_path: Path, table: LabelTable) -> None:
    trained("train", tmp_path / "models", table, **OWN)
    config = parser("inference", tmp_path / "models")
    assert config.get_parsed_content("network_def").encoder.channels == [4, 8, 8, 16]
    assert config.get_parsed_content("inferer").grid.window == [-100, 300]


@pytest.mark.parametrize("stage", ["inference", "train", "embed"])
def test_a_contradiction_is_refused_naming_both_values(tmp_path: Path, table: LabelTable, stage: str) -> None:
    trained(MADE_BY[stage], tmp_path / "models", table, **OWN)
    message = refusal(stage, tmp_path / "models", window=[-160, 240])
    assert "window [-160, 240]" in message
    assert "window [-100, 300]" in message
    assert f"{WRITTEN[MADE_BY[stage]]}.json" in message
    assert "leave out --window" in message


def test_what_is_given_holds_where_the_user_says_so(
    tmp_path: Path, table: LabelTable, capsys: pytest.CaptureFixture[str]
) -> None:
    trained("train", tmp_path / "models", table, **OWN)
    found = shared("inference", tmp_path / "models", window=[-160, 240], settings="given")
    assert (found.window, found.patch_size) == ([-160, 240], 32)
    assert "warning: model.pt was made with other settings: window [-160, 240]" in capsys.readouterr().err


def test_the_same_value_given_again_is_no_contradiction(tmp_path: Path, table: LabelTable) -> None:
    trained("train", tmp_path / "models", table, **OWN)
    assert shared("inference", tmp_path / "models", window=[-100.0, 300.0], patch_size="$2 * 16").patch_size == 32


@pytest.mark.parametrize("note", [{"stage": "train.yaml"}, None])
def test_weights_that_note_no_settings_are_refused_with_a_way_in(
    tmp_path: Path, table: LabelTable, note: dict[str, str] | None, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = trained("train", tmp_path / "models", table)
    weights.with_suffix(".json").unlink()
    if note is not None:
        weights.with_suffix(".json").write_text(json.dumps(note))
    assert "add --settings given" in refusal("inference", tmp_path / "models")
    assert shared("inference", tmp_path / "models", settings="given", patch_size=32).patch_size == 32
    assert "does not say which settings" in capsys.readouterr().err


def test_members_of_an_ensemble_must_agree(tmp_path: Path, table: LabelTable) -> None:
    models = tmp_path / "models"
    for name, window in (("one", [-100, 300]), ("two", [-150, 250])):
        for path in (weights := trained("train", models, table, window=window), weights.with_suffix(".json")):
            path.rename(models / f"{name}{path.suffix}")
    message = refusal("inference", models, models=["one.pt", "two.pt"])
    assert "two.pt was made with other settings" in message
    assert "[-150, 250]" in message


def test_a_coarse_network_of_other_settings_is_refused_only_when_it_is_needed(
    tmp_path: Path, table: LabelTable
) -> None:
    trained("coarse", tmp_path / "models", table, **(OWN | {"window": [-150, 250]}))
    trained("train", tmp_path / "models", table, **OWN)
    config = parser("inference", tmp_path / "models")
    coarse = config.get_parsed_content("coarse")
    assert (coarse.inferer.size, coarse.inferer.window) == ((40, 32, 24), [-100, 300])
    with pytest.raises(SemclError, match=r"(?s)coarse\.pt was made with other settings.*\[-100, 300\].*\[-150, 250\]"):
        coarse(None)


def test_another_encoder_is_compared_and_never_taken_from_a_note(tmp_path: Path, table: LabelTable) -> None:
    trained("train", tmp_path / "models", table, **UNKNOWN_ENCODER)
    message = refusal("inference", tmp_path / "models")
    assert "encoder as common.yaml has it" in message
    assert "mine.Encoder" in message
    assert "give the overlay of the training" in message
    assert shared("inference", tmp_path / "models", **UNKNOWN_ENCODER).seed == 0


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"settings": {"window": "$__import__('os').system('true')"}}, id="an expression"),
        pytest.param({"settings": {"widths": [4, "@patch_size"]}}, id="a reference in a list"),
        pytest.param({"settings": [1]}, id="no mapping"),
        pytest.param({"parts": "grid"}, id="no parts"),
    ],
)
def test_a_note_that_no_stage_wrote_is_refused(tmp_path: Path, table: LabelTable, change: dict[str, Any]) -> None:
    note = trained("train", tmp_path / "models", table).with_suffix(".json")
    note.write_text(json.dumps(json.loads(note.read_text()) | change))
    assert "model.json cannot be used" in refusal("inference", tmp_path / "models")


def test_an_unknown_mode_is_refused(tmp_path: Path, table: LabelTable) -> None:
    trained("train", tmp_path / "models", table)
    assert "did you mean noted?" in refusal("inference", tmp_path / "models", settings="note")


@pytest.mark.parametrize("overlay", [None, "validate"])
def test_validation_uses_the_settings_of_the_model_that_it_validates(
    tmp_path: Path, table: LabelTable, overlay: str | None
) -> None:
    trained("train", tmp_path / "models", table, **OWN)
    config = ConfigParser()
    config.read_config([str(CONFIGS / f"{name}.yaml") for name in ("train", overlay) if name])
    config.update({"ckpt_dir": str(tmp_path / "models"), "output_dir": str(tmp_path), "dataset_dir": str(tmp_path)})
    config.parse()
    expected = (
        OWN["window"] if overlay else [-160, 240]
    )  # train.yaml itself reads the encoder's, of which there is none
    assert config.get_parsed_content("shared").window == expected


def test_a_model_that_is_trained_on_gives_its_settings(tmp_path: Path, table: LabelTable) -> None:
    weights = trained("train", tmp_path / "models", table, **OWN)
    given = {"finetune": True, "finetune_model_path": str(weights)}
    assert shared("train", tmp_path / "models", **given).window == OWN["window"]
    assert "window [-100, 300]" in refusal("train", tmp_path / "models", window=[-160, 240], **given)


def test_a_config_that_is_parsed_again_uses_them_as_well(tmp_path: Path, table: LabelTable) -> None:
    trained("train", tmp_path / "models", table, **OWN)
    config = parser("inference", tmp_path / "models")
    assert config.get_parsed_content("shared").seed == 0
    (tmp_path / "models" / "model.pt").unlink()
    trained("train", tmp_path / "models", table, **(OWN | {"extend": 3}))
    config.parse(reset=True)
    assert config.get_parsed_content("shared").extend == 3


def test_a_contradiction_is_an_error_of_the_run_and_not_of_its_initialisation(
    tmp_path: Path, table: LabelTable
) -> None:
    trained("train", tmp_path / "models", table, **OWN)
    config = parser("inference", tmp_path / "models", window=[-160, 240], run=["$scripts.components.ready()"])
    assert config.get_parsed_content("run") == [None]
    with pytest.raises(RuntimeError):
        config.get_parsed_content("job")
