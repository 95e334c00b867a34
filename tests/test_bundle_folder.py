"""The bundle's folder and the files all stages share."""

from pathlib import Path

import pytest

from scripts import bundle_folder as module
from scripts.bundle_folder import bundle_root, configs, load_common, models_dir, stage_weights
from scripts.errors import SemclError

BUNDLE = Path(__file__).parents[1] / "bundle"


def test_the_numbers_of_the_bundle_are_read() -> None:
    numbers = load_common(str(BUNDLE))
    assert numbers["spatial_dims"] in (2, 3)
    assert len(numbers["spacing"]) == len(numbers["coarse_size"]) == 3
    assert len(numbers["layers"]) == len(numbers["widths"])
    assert len(numbers["coarse_channels"]) == len(numbers["coarse_strides"]) + 1


@pytest.mark.parametrize("place", ["semcl/bundle", "bundle", "."])
def test_it_is_found_installed_and_in_a_checkout_and_in_a_zoo_release(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    (tmp_path / place / "configs").mkdir(parents=True)
    (tmp_path / place / "configs" / "common.yaml").write_text("seed: 0")
    monkeypatch.setattr(module, "__file__", str(tmp_path / "semcl" / "bundle_folder.py"))
    assert module.bundle_folder().samefile(tmp_path / place)


def test_a_missing_bundle_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "__file__", str(tmp_path / "semcl" / "bundle_folder.py"))
    with pytest.raises(SemclError, match="the bundle's configs are missing"):
        module.bundle_folder()


def test_numbers_are_read_from_the_root_that_is_given(tmp_path: Path) -> None:
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "common.yaml").write_text("patch_size: 96  # voxels\nwindow: [-100, 300]\n")
    assert load_common(str(tmp_path)) == {"patch_size": 96, "window": [-100, 300]}


def test_configs_are_yaml_or_json_and_metadata_is_none(tmp_path: Path) -> None:
    (tmp_path / "configs").mkdir()
    for name in ("common.json", "train.yaml", "metadata.json", "logging.conf"):
        (tmp_path / "configs" / name).write_text('{"weight_decay": 1e-05}')
    assert {name: path.name for name, path in configs(tmp_path).items()} == {
        "common": "common.json",
        "train": "train.yaml",
    }
    assert load_common(tmp_path) == {"weight_decay": 1e-5}  # in YAML that would be a text


def test_weights_of_earlier_stages_lie_beside_the_model_or_in_the_folder_of_a_release(tmp_path: Path) -> None:
    assert stage_weights(str(tmp_path), "coarse.pt") == str(tmp_path / "coarse.pt")
    (tmp_path / "stages").mkdir()
    (tmp_path / "stages" / "coarse.pt").write_bytes(b"")
    assert stage_weights(str(tmp_path), "coarse.pt") == str(tmp_path / "stages" / "coarse.pt")


def test_a_wrong_root_is_an_error_that_names_the_option(tmp_path: Path) -> None:
    with pytest.raises(SemclError, match=r"(?s)common numbers are missing.*no .*configs.common\.yaml.*--bundle_root"):
        load_common(str(tmp_path))


def test_the_bundle_is_found_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert BUNDLE.samefile(bundle_root())


def test_models_are_those_trained_else_those_the_bundle_came_with(tmp_path: Path) -> None:
    cohort, bundle = tmp_path / "cohort", tmp_path / "bundle"
    trained, own = str(cohort / "models"), bundle / "models"
    assert models_dir(str(cohort), str(bundle)) == trained
    own.mkdir(parents=True)
    assert models_dir(str(cohort), str(bundle)) == trained
    (own / "labels.yaml").write_text("")
    assert models_dir(str(cohort), str(bundle)) == str(own)
    Path(trained).mkdir(parents=True)
    assert models_dir(str(cohort), str(bundle)) == trained
