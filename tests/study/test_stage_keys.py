"""Which keys of the configs a stage reads: what decides whether two strategies share it."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.errors import SemclError
from scripts.study.stage_keys import StageKeys, group, short_hash
from scripts.study.strategy import find_strategies
from tests.study.made import BUNDLE, KEYS, copied_bundle

READS = {  # stage -> keys it reads, keys it does not
    "coarse": ({"max_epochs", "coarse_size", "labelled_maps", "window", "seed"}, {"patch_size", "widths", "meaning"}),
    "store": ({"patch_size", "spacing", "extend", "islands", "window"}, {"widths", "coarse_size", "max_epochs"}),
    "pretrain": ({"meaning", "temperature", "widths", "patch_size"}, {"coarse_size", "decoder_weights"}),
    "train": ({"encoder_weights", "decoder_width", "patch_size"}, {"meaning", "temperature", "coarse_size"}),
    "inference": ({"coarse_size", "decoder_width", "patch_size"}, {"meaning", "max_epochs", "encoder_weights"}),
}


@pytest.mark.parametrize(("stage", "keys", "others"), [(stage, *keys) for stage, keys in READS.items()])
def test_a_stage_reads_its_own_keys_and_those_of_common_that_it_needs(
    stage: str, keys: set[str], others: set[str]
) -> None:
    assert keys <= KEYS.read_by(stage)
    assert not others & KEYS.read_by(stage)


def test_overlays_are_no_stages() -> None:
    assert {"coarse", "store", "pretrain", "train", "inference", "common"} <= set(KEYS.contents)
    assert not {"fast", "standard", "faithful", "natural", "tensorboard"} & set(KEYS.contents)


def test_an_overlay_for_one_stage_alone_makes_a_variant_of_it() -> None:
    assert KEYS.base("self_training") == "segment"
    assert KEYS.base("segment") == "segment"
    assert [Path(file).stem for file in KEYS.files("self_training")] == ["segment", "self_training"]
    assert [Path(file).stem for file in KEYS.files("segment")] == ["segment"]
    own, variant = KEYS.contents["segment"], KEYS.contents["self_training"]
    changed = {
        "stages",
        "pseudo_dir",
        "initial_weights",
        "settings_of",
        "kept_weights",
        "deformed_from",
        "max_epochs",
        "learning_rate",
    }
    assert {key for key in own.keys() | variant.keys() if own.get(key, ...) != variant.get(key, ...)} == changed
    assert KEYS.read_by("self_training") == KEYS.read_by("segment") | {"stages"}
    assert KEYS.version("self_training") != KEYS.version("segment")


def test_a_key_of_a_stage_is_for_its_variants_too_and_one_of_a_variant_for_it_alone() -> None:
    numbers = {"self_training.confidence": 0.7, "confidence": 0.9, "segment.confidence": 0.8}
    assert KEYS.part("self_training", numbers) == {"confidence": 0.7}
    assert KEYS.part("segment", numbers) == {"confidence": 0.8}
    assert KEYS.part("self_training", {"segment.momentum": 0.5}) == {"momentum": 0.5}


def test_what_common_refers_to_is_read_as_well(tmp_path: Path) -> None:
    (tmp_path / "configs").mkdir()
    common = "a: '@b'\nb: $@c + 1\nc: 3\nd: 4\n"
    (tmp_path / "configs" / "common.yaml").write_text(common)
    (tmp_path / "configs" / "one.yaml").write_text("run: []\nown: $@shared.a\n")
    (tmp_path / "configs" / "other.yaml").write_text("run: []\nown: $@shared.d\n")
    keys = StageKeys(tmp_path)
    assert keys.read_by("one") == {"run", "own", "a", "b", "c"}
    assert keys.read_by("other") == {"run", "own", "d"}


def test_strategies_of_different_meaning_differ_in_pretraining_alone() -> None:
    semantic, simclr = find_strategies(["semantic", "simclr"], KEYS)
    for stage in ("coarse", "store", "train", "inference"):
        assert KEYS.part(stage, semantic.numbers) == KEYS.part(stage, simclr.numbers) == {}
    assert KEYS.part("pretrain", semantic.numbers) == {"meaning": "cluster"}
    assert KEYS.part("pretrain", simclr.numbers) == {"meaning": "query"}


def test_a_key_of_one_stage_is_for_it_alone() -> None:
    numbers = {"train.learning_rate": 0.1, "learning_rate": 0.2, "temperature": 0.3}
    assert KEYS.part("train", numbers) == {"learning_rate": 0.1}
    assert KEYS.part("pretrain", numbers) == {"learning_rate": 0.2, "temperature": 0.3}
    assert KEYS.part("coarse", numbers) == {"learning_rate": 0.2}
    assert KEYS.part("store", numbers) == {}


def test_a_number_that_another_refers_to_is_read_with_it() -> None:
    numbers = {"spacing": "@segment_spacing", "segment_spacing": [4, 4, 5], "temperatur": 1}
    for stage in ("store", "pretrain", "embed", "segment"):
        assert KEYS.part(stage, numbers) == {"spacing": "@segment_spacing", "segment_spacing": [4, 4, 5]}, stage
    assert (
        KEYS.part("store", {"spacing": "$list(@shared.segment_spacing)", "segment_spacing": 1})["segment_spacing"] == 1
    )
    assert KEYS.part("store", {"segment_spacing": [4, 4, 5]}) == {}


def test_a_key_of_one_stage_goes_before_that_of_all_in_any_order() -> None:
    assert KEYS.part("train", {"learning_rate": 0.2, "train.learning_rate": 0.1}) == {"learning_rate": 0.1}
    assert KEYS.part("train", {"train.learning_rate": 0.1, "learning_rate": 0.2}) == {"learning_rate": 0.1}


@pytest.mark.parametrize(
    ("key", "found"),
    [
        ("train.learning_rate", ("train", "learning_rate")),
        ("learning_rate", (None, "learning_rate")),
        ("common.seed", (None, "common.seed")),
        ("nothing.seed", (None, "nothing.seed")),
        ("pretrain.train#views#rotation", ("pretrain", "train#views#rotation")),
    ],
)
def test_the_stage_of_a_key(key: str, found: tuple[str | None, str]) -> None:
    assert KEYS.split(key) == found


def test_groups_of_keys() -> None:
    assert [group(key) for key in ("seed", "grid#extend", "train::views::area", "+train#handlers")] == [
        "seed", "grid", "train", "train",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("temprature", r"no stage reads temprature\n.*temprature in mine.*did you mean temperature"),
        ("train.temperature", r"train does not read temperature\n.*train\.temperature in mine"),
        ("coarse.patch_size", r"coarse does not read patch_size"),
        ("nothing.seed", r"no stage reads nothing\.seed"),
        ("zzzzzz", r"no stage reads zzzzzz.*see docs/configs\.md"),
    ],
)
def test_keys_nobody_reads_are_refused(key: str, message: str) -> None:
    with pytest.raises(SemclError, match=f"(?s){message}"):
        KEYS.refuse_unknown([key], "mine")


def test_keys_of_stages_and_of_common_are_known() -> None:
    KEYS.refuse_unknown(
        ["temperature", "patch_size", "train.learning_rate", "train#views#rotation", "image_channels"], ""
    )


def test_the_version_of_a_stage_changes_with_its_numbers_and_common_s_but_not_with_comments(tmp_path: Path) -> None:
    bundle = copied_bundle(tmp_path)
    was = {stage: KEYS.version(stage) for stage in ("coarse", "train")}
    config = bundle / "configs" / "train.yaml"
    config.write_text(config.read_text() + "\n# a comment more\n")
    assert {stage: StageKeys(bundle).version(stage) for stage in was} == was
    config.write_text(config.read_text().replace("margin: 8", "margin: 9"))
    now = StageKeys(bundle)
    assert (now.version("coarse") == was["coarse"], now.version("train") == was["train"]) == (True, False)
    common = bundle / "configs" / "common.yaml"
    common.write_text(common.read_text().replace("patch_size: 64", "patch_size: 32"))
    assert StageKeys(bundle).version("coarse") != was["coarse"]


def test_a_hash_is_of_the_content_in_any_order() -> None:
    assert short_hash({"a": 1, "b": Path("x")}) == short_hash({"b": Path("x"), "a": 1})
    assert short_hash({"a": 1}) != short_hash({"a": 2})
    assert BUNDLE.is_dir()


def test_a_study_holds_no_labelled_patient_out() -> None:
    assert KEYS.unvalidated("train") == {"val_interval": 0, "calibration_share": 0}
    assert KEYS.unvalidated("segment") == {}
