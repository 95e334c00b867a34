"""Values out of bounds: refused by their key before any work is done; those at their bounds are accepted."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.cohort import datalist
from scripts.cohort.label_table import LabelTable
from scripts.errors import SemclError
from scripts.job.bounds import BOUNDS
from tests.job.test_config_check import COMMON, CONFIGS, OTHERS, PLAIN, found, only
from tests.stages import refusal

NAN, INF = math.nan, math.inf
REFUSED: dict[str, tuple[str, list[Any]]] = {  # key: a stage that has it, and values nobody means
    "patch_size": ("pretrain", [63, 7, 8, 0, -64, 2048, 10**30]),
    "spacing": ("train", [[-1, 1, 0], [1, 1], [NAN, 1, 0], [INF, 1, 0], [1e-9, 1, 0], ["one", 1, 0], [True, 1, 0]]),
    "margin": ("train", [-5, 10**30]),
    "embedding": ("pretrain", [0, -1]),
    "points": ("pretrain", [0]),
    "encoder_rate": ("train", [-1.0, INF, NAN]),
    "islands": ("inference", [-1.0, 2.0, NAN]),
    "smallest_island": ("inference", [-1.0, 2.0]),
    "extend": ("train", [-3, 100000]),
    "temperature": ("pretrain", [1e-9, 0.0, -0.1, INF, NAN]),
    "window": ("coarse", [[NAN, 240], [-INF, 240], [240, -160], [0, 0], [1], ["nan", 240], "percentiles"]),
    "tolerance": ("evaluate", [INF, 0.0, -1.0, NAN]),
    "pictures": ("evaluate", [-1]),
    "num_workers": ("coarse", [-3]),
    "scan_workers": ("inference", [-1, 0.5]),
    "workers": ("store", [-3, 0, 1.5, "many", True]),
    "perplexity": ("embed", [0.0, -1.0, INF]),
    "neighbours": ("embed", [0, -3]),
    "map_points": ("embed", [0, 1]),
    "queries_per_organ": ("embed", [0]),
    "batch_size": ("inference", [0, -1]),
    "grow": ("inference", [-1, 10**6]),
    "test_views": ("inference", [0, 11]),
    "certain": ("inference", [0.3, 1.5, "sure"]),
    "max_epochs": ("train", [0, -1, 10**30]),
    "epoch_length": ("coarse", [0]),
    "labelled": ("coarse", [0.0, 2.0, -0.5, NAN]),
    "learning_rate": ("train", [0.0, -0.1, 1e20, INF, NAN]),
    "weight_decay": ("train", [-0.1, INF]),
    "seed": ("train", [-1, 2**32]),
    "without_fold": ("train", [-1, 0.7, "first"]),
    "calibration_batches": ("train", [0]),
    "clusters_per_batch": ("pretrain", [0]),
    "queries_per_cluster": ("pretrain", [0]),
    "memory": ("pretrain", [-1]),
    "meaning": ("pretrain", ["organ"]),
    "pooling": ("pretrain", ["mean"]),
    "block": ("pretrain", ["large"]),
    "spatial_dims": ("pretrain", [4]),
    "widths": ("pretrain", [[16, 32, 64], [16, 32, 64, 0], [16, 32, 64, 0.5]]),
    "skips": ("train", [[9], [-1]]),
    "dilations": ("train", [[0, 2]]),
    "coarse_size": ("coarse", [[0, 56, 32], [64, 56], [64.5, 56, 32]]),
    "coarse_kernel": ("coarse", [[2, 3, 3]]),
    "coarse_strides": ("coarse", [[0, 2, 2], [[2, 2, 0], 2, 2]]),
    "rotation": ("coarse", [[-0.1, 0, 0], [4, 0, 0]]),
    "time_limit": ("coarse", [-1.0, INF, NAN]),
}
TAKEN: dict[str, tuple[str, list[Any]]] = {
    "patch_size": ("pretrain", [16, 64.0, 1024]),
    "spacing": ("train", [[0, 0, 0], [0.5, 0.5, 3], ["$1 / 2", 1, 0]]),
    "margin": ("train", [0]),
    "islands": ("inference", [0, 1]),
    "window": ("coarse", ["percentile", [-160, 240.5], ["$-100", 100]]),
    "workers": ("store", [1, None]),
    "without_fold": ("train", [0, None]),
    "certain": ("inference", [0.5, 0.8, 1, None]),
    "coarse_strides": ("coarse", [[[2, 2, 1], [2, 2, 1], [2, 2, 1]]]),
    "skips": ("train", [[]]),
    "encoder_rate": ("train", [0, 1]),
    "meaning": ("pretrain", ["query"]),
}


def each(table: dict[str, tuple[str, list[Any]]]) -> list[Any]:
    return [
        pytest.param(stage, key, value, id=f"{key} {value}")
        for key, (stage, values) in table.items()
        for value in values
    ]


@pytest.mark.parametrize(("stage", "key", "value"), each(REFUSED))
def test_a_value_out_of_bounds_is_refused_by_its_key(stage, key, value):
    message = only(found(stage, **{key: value}))
    assert message.startswith((f"--{key} is out of bounds\n", f"--{key} is of the wrong kind\n"))
    assert repr(value) in message
    assert f" --{key}" in message.splitlines()[-1]


@pytest.mark.parametrize(("stage", "key", "value"), each(TAKEN))
def test_a_value_at_its_bound_is_accepted(stage, key, value):
    assert found(stage, **{key: value}) == []


@pytest.mark.parametrize("path", sorted(BOUNDS))
def test_every_key_that_has_bounds_is_one_of_a_config(path):
    more = [
        yaml.safe_load((CONFIGS / f"{name}.yaml").read_text()) for name in ("multi_gpu_train", "store", "audit", *PLAIN)
    ]
    assert path in {key for config in (OTHERS, COMMON, *more) for key in config} | {"rank_patience"}


def test_every_number_of_a_config_has_bounds():
    """But switches, paths, and what components check themselves."""
    numbers = {
        key
        for config in (OTHERS, COMMON, *(yaml.safe_load((CONFIGS / f"{name}.yaml").read_text()) for name in PLAIN))
        for key, value in config.items()
        if isinstance(value, int | float | list) and not isinstance(value, bool)
    }
    assert numbers - set(BOUNDS) == {"imports", "run", "handlers", "models", "cross_fitted", "others", "starts_from"}


@pytest.mark.parametrize(
    ("path", "value", "stage"),
    [
        ("train#loss#temperature", 1e-9, "pretrain"),
        ("train#views#patch_size", 63, "train"),
        ("optimizer#lr", 1e20, "train"),
        ("train#sampler#batches", 0, "pretrain"),
        ("inferer#batch_size", 0, "inference"),
    ],
)
def test_an_argument_that_takes_a_number_of_the_config_has_its_bounds(path, value, stage):
    assert only(found(stage, **{path: value})).startswith(f"--{path} is out of bounds\n")


@pytest.mark.parametrize(
    ("size", "strides", "nearest"),
    [([41, 37, 23], [2, 2, 2], [40, 40, 24]), ([128, 128, 2], [[2, 2, 1], [2, 2, 4]], [128, 128, 4])],
    ids=str,
)
def test_a_wrong_coarse_size_is_refused_with_the_nearest_multiple(size, strides, nearest):
    message = only(found("coarse", coarse_size=size, coarse_strides=strides))
    assert message.startswith("--coarse_size is not divisible by the strides of the coarse network\n")
    assert f"set --coarse_size to {nearest}, say" in message
    for stage in ("segment", "train", "inference"):  # which train no such network
        assert not found(stage, coarse_size=size, coarse_strides=strides)


def test_a_stage_reports_all_wrong_values_at_once_and_does_nothing(phantoms, tmp_path):
    given = {"patch_size": 63, "spacing": [-1, 1, 0], "margin": -5}
    printed = refusal(
        "train", dataset_dir=phantoms, output_dir=tmp_path, attention_dir=str(phantoms / "labels"), **given
    )
    assert "3 problems in the config" in printed
    assert all(f"--{key} is out of bounds" in printed for key in given)
    assert not (tmp_path / "store").exists()


# the datalist and the label table


def entry(**changes: Any) -> dict[str, Any]:
    return {"case": "a", "patient": "p", "phase": "ct", "image": "a.nii.gz", "fold": 0} | changes


LISTS: dict[str, tuple[dict[str, Any], str]] = {
    "a fold below 0": ({"training": [entry(fold=-1)]}, r"fold -1 is not a whole number from 0 to 999"),
    "a fold that is a fraction": ({"training": [entry(fold=0.7)]}, r"fold 0\.7 is not a whole number"),
    "a fold that is huge": ({"training": [entry(fold=10**30)]}, r"fold 1000000000\d* is not a whole number"),
    "a fold that is a switch": ({"training": [entry(fold=True)]}, r"fold True is not a whole number"),
    "a fold that is a text": ({"training": [entry(fold="first")]}, r"fold 'first' is not a whole number"),
    "organs that are a text": ({"training": [entry(annotated="liver")]}, r"annotated 'liver' is not a list of names"),
    "organs that are numbers": ({"training": [entry(annotated=[1])]}, r"annotated \[1\] is not a list of names"),
    "no phase": ({"training": [entry(phase=None)]}, r"phase None is not a name"),
    "a phase that is a switch": ({"training": [entry(phase=False)]}, r"phase False is not a name"),
    "an unknown section": ({"training": [entry()], "validation": [entry()]}, r"section 'validation', which no stage"),
}


@pytest.mark.parametrize(("content", "printed"), LISTS.values(), ids=LISTS.keys())
def test_a_datalist_with_implausible_values_is_refused(content, printed, tmp_path):
    (tmp_path / "a.nii.gz").write_bytes(b"")
    (tmp_path / "datalist.json").write_text(json.dumps(content))
    with pytest.raises(SemclError, match=rf"(?s)the datalist cannot be understood.*{printed}"):
        datalist.load(tmp_path)


def test_an_annotated_organ_the_label_table_does_not_name_is_refused(tmp_path: Path, table: LabelTable) -> None:
    (tmp_path / "a.nii.gz").write_bytes(b"")
    table.save(tmp_path)
    (tmp_path / "datalist.json").write_text(json.dumps({"training": [entry(annotated=["liver", "livr"])]}))
    with pytest.raises(SemclError, match=r"(?s)case a: .*annotated organ.*found: +livr\n.*of liver, right_kidney"):
        datalist.load(tmp_path)


@pytest.mark.parametrize("phases", [[None], ["portal", True], [False, "ct"], [["ct"]], [{}], [1.5]], ids=str)
def test_phases_that_are_not_names_are_refused(phases):
    with pytest.raises(SemclError, match=r"(?s)is not a label table.*found: +phases .*must be quoted"):
        LabelTable.parse({"organs": {"liver": 1}, "phases": phases})
