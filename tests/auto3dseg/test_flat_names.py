"""Numbers by the names of Auto3DSeg's own algorithms."""

from scripts.auto3dseg.bundle import check_numbers
from scripts.auto3dseg.flat_names import CHAIN_STAGES, staged

LENGTHS = {"coarse": 40, "pretrain": 12, "train": 30}  # as the configs ship


def test_epochs_are_those_of_train_and_the_other_stages_keep_their_proportion():
    found, others = staged({"num_epochs": 60}, {})
    assert {stage: found[stage]["max_epochs"] for stage in LENGTHS} == {"coarse": 80, "pretrain": 24, "train": 60}
    assert others == []
    found, _ = staged({"num_epochs": 60}, {"common": {"coarse_dims": 3}})
    assert found["coarse"]["max_epochs"] == 48  # of coarse.yaml's 24
    found, _ = staged({"num_epochs": 2}, {"common": {"max_epochs": 100}})
    assert {found[stage]["max_epochs"] for stage in LENGTHS} == {2}


def test_the_warm_up_is_a_share_of_the_epochs():
    found, _ = staged({"num_epochs": 10, "num_warmup_epochs": 1}, {})
    assert [found[stage]["scheduler#pct_start"] for stage in LENGTHS] == [0.1] * 3
    found, _ = staged({"num_warmup_epochs": 3}, {})
    assert found["train"]["scheduler#pct_start"] == 0.1
    assert "max_epochs" not in found["train"]


def test_the_others_set_the_keys_they_mean():
    given = {"learning_rate": 0.002, "num_epochs_per_validation": 2, "num_workers": 3, "amp": True}
    found, others = staged(given | {"early_stop_patience": 4}, {"train": {"learning_rate": 1.0}})
    assert found["train"] == {"learning_rate": 0.002, "val_interval": 2, "patience": 4}
    assert found["common"] == {"num_workers": 3, "precision": "float16"}
    assert others == []
    check_numbers(found, CHAIN_STAGES)


def test_a_stages_key_may_be_named_without_a_hash_mark():
    found, others = staged({"train_max_epochs": 7, "common_patch_size": 96, "train#train#views#rotation": 3.0}, {})
    assert found["train"] == {"max_epochs": 7, "train#views#rotation": 3.0}
    assert found["common"] == {"patch_size": 96}
    assert others == []


def test_names_of_other_algorithms_are_named():
    found, others = staged({"num_images_per_batch": 2, "train_crops": 1, "quick": True}, {})
    assert others == ["num_images_per_batch", "train_crops", "quick"]
    assert not any(found.values())
