"""Cases shared by ranks or by independent runs: the results are those of one process."""

import csv
import json
import os
import shutil

import nibabel as nib
import numpy as np
import pytest
import torch

from scripts.cohort import datalist
from scripts.errors import SemclError
from scripts.outputs import visible
from tests.stages import NO_SETTINGS, refusal, run_here

from . import logs, run_ranks

SHORT = {
    "coarse": {"max_epochs": 1, "epoch_length": 6},
    "pretrain": {"max_epochs": 1, "epoch_length": 2, "clusters_per_batch": 4},
    "train": {"max_epochs": 1, "epoch_length": 2, "clusters_per_batch": 4, "calibration_batches": 2},
    "store": {"section": "all"},
    "inference": {"section": "all", "grow": 0},
    "evaluate": {"section": "all", "pictures": 1},
    "embed": {"section": "all", "queries_per_organ": 2},
}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Ranks have one each; two that wait for each other on a busy machine take many times longer."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def of(cohort, stage, **given):
    """A stage's folders and numbers; ground truth serves as attention, except where maps are made."""
    folders = {"dataset_dir": cohort, "output_dir": cohort}
    if stage not in ("coarse", "maps"):
        folders["attention_dir"] = cohort / "labels"
    return folders | SHORT.get(stage, {}) | given


@pytest.fixture(scope="module")
def whole(one_thread, phantoms, tmp_path_factory):
    """A cohort after all stages, each run by one process."""
    cohort = tmp_path_factory.mktemp("whole") / "cohort"
    shutil.copytree(phantoms, cohort)
    for stage in SHORT:
        run_here(stage, **of(cohort, stage))
    return cohort


def copied(whole, tmp_path, *left_out):
    """A copy of it, file times and all, without some folders."""
    return shutil.copytree(whole, tmp_path / "copy", ignore=shutil.ignore_patterns(*left_out, "jobs"))


def same_files(one, other, pattern):
    """Whether two folders hold the same files with the same bytes."""
    files = sorted(path.relative_to(one) for path in one.glob(pattern))
    assert files
    assert files == sorted(path.relative_to(other) for path in other.glob(pattern))
    return all((one / path).read_bytes() == (other / path).read_bytes() for path in files)


STAGES = [
    ("maps", "attention/*.nii.gz", "attention"),
    ("store", "store/*/*.npy", "store"),
    ("inference", "predictions/*.nii.gz", "predictions"),
]
each_stage = pytest.mark.parametrize(("stage", "files", "made"), STAGES, ids=[stage for stage, *_ in STAGES])


@each_stage
def test_two_ranks_share_the_cases(stage, files, made, whole, tmp_path):
    cohort = copied(whole, tmp_path, made)
    out = tmp_path / "ranks"
    assert run_ranks(stage, 2, out, **of(cohort, stage)) == [0, 0], logs(out)
    assert same_files(whole, cohort, files)


@each_stage
def test_runs_of_shards_share_the_cases(stage, files, made, whole, tmp_path):
    cohort = copied(whole, tmp_path, made)
    seen = []
    for number in (3, 1, 2):
        run_here(stage, **of(cohort, stage, shard=f"{number}/3"))
        seen.append(len(list(cohort.glob(files))))
    assert seen[0] < seen[1] < seen[2]
    assert same_files(whole, cohort, files)
    assert {path.stem for path in (cohort / "jobs").glob("*.json")} == {f"{stage}.{part}of3" for part in (1, 2, 3)}


def test_a_run_over_all_keeps_the_predictions_of_shards(whole, tmp_path):
    cohort = copied(whole, tmp_path, "predictions")
    for number in (1, 2):
        run_here("inference", **of(cohort, "inference", shard=f"{number}/2"))
    times = {path: path.stat().st_mtime_ns for path in (cohort / "predictions").glob("*.nii.gz")}
    run_here("inference", **of(cohort, "inference"))
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_the_first_shard_removes_all_predictions_of_other_weights(whole, tmp_path):
    cohort = copied(whole, tmp_path)
    run_here("inference", **of(cohort, "inference", shard="1/3", smallest_island=0.5))
    assert len(list((cohort / "predictions").glob("*.nii.gz"))) == 2


def test_a_map_newer_than_its_network_is_kept(whole, tmp_path):
    cohort = copied(whole, tmp_path)
    cases = datalist.load(cohort)
    maps = {case: cohort / "attention" / f"{case.id}.nii.gz" for case in cases}
    trained = next(case for case in cases if case.fold == 1)
    for path in maps.values():  # from elsewhere: they do not say what they were made of
        volume = nib.load(path)
        nib.save(nib.Nifti1Image(np.zeros(volume.shape, np.uint8), volume.affine), path)
    os.utime(maps[trained], (0, 0))
    run_here("maps", **of(cohort, "maps"))
    made = [case for case, path in maps.items() if np.asarray(nib.load(path).dataobj).any()]
    assert made == [trained]


def test_maps_need_the_networks_of_this_cohort(whole, tmp_path):
    cohort = copied(whole, tmp_path, "attention", "coarse_fold1.*")
    assert "no" in refusal("maps", dataset_dir=cohort)
    cohort = copied(whole, tmp_path / "other", "attention")
    (cohort / "models" / "coarse_fold0.json").write_text(json.dumps({"cohort": "other", **NO_SETTINGS}))
    assert "coarse_fold0.pt was made from another cohort" in refusal("maps", dataset_dir=cohort)


def test_coarse_may_leave_the_maps_to_the_maps_stage(whole, tmp_path):
    cohort = copied(whole, tmp_path, "attention", "models")
    run_here("coarse", **of(cohort, "coarse", maps=False))
    assert not (cohort / "attention").exists()
    run_here("maps", **of(cohort, "maps"))
    assert same_files(whole, cohort, "attention/*.nii.gz")


def test_two_ranks_train_the_coarse_network_and_share_its_maps(whole, tmp_path):
    cohort, out = copied(whole, tmp_path, "attention", "models"), tmp_path / "ranks"
    given = of(cohort, "coarse", batch_size=2)
    assert run_ranks("coarse", 2, out, **given) == [0, 0], logs(out)
    for folder in ("attention", "models"):
        assert {path.name for path in (whole / folder).glob("*coarse*" if folder == "models" else "[!.]*")} == {
            path.name for path in visible(cohort / folder) if path.name != "labels.yaml"
        }
    assert not (cohort / "attention.partial").exists()


def test_a_case_that_a_rank_cannot_read_is_named_at_the_end(whole, tmp_path):
    cohort, out = copied(whole, tmp_path, "predictions"), tmp_path / "ranks"
    bad = datalist.load(cohort)[1]
    bad.image.write_bytes(b"no volume")
    assert run_ranks("inference", 2, out, **of(cohort, "inference")) == [3, 3], logs(out)
    assert f"1 case failed, the others are done: {bad.id}" in (out / "rank0.log").read_text()
    assert json.loads((cohort / "jobs" / "inference.json").read_text())["failed_cases"] == [bad.id]


# evaluate


def rows(cohort):
    with open(cohort / "rows.csv", newline="") as file:
        return list(csv.reader(file))


def test_two_ranks_measure_the_rows_of_one(whole, tmp_path):
    cohort, out = copied(whole, tmp_path, "rows.csv", "report.html"), tmp_path / "ranks"
    assert run_ranks("evaluate", 2, out, **of(cohort, "evaluate")) == [0, 0], logs(out)
    assert rows(cohort) == rows(whole)
    assert (cohort / "report.html").is_file()


def test_a_run_over_all_reuses_the_rows_of_shards(whole, tmp_path, monkeypatch, capsys):
    cohort = copied(whole, tmp_path, "rows.csv", "report.html")
    for number in (1, 2):
        run_here("evaluate", **of(cohort, "evaluate", shard=f"{number}/2"))
    assert not (cohort / "report.html").exists()
    assert "measured 3 of 6 cases" in capsys.readouterr().out
    measured = []
    monkeypatch.setattr("scripts.evaluate.evaluation.measure_cases", lambda cases, *_: measured.extend(cases) or [])
    run_here("evaluate", **of(cohort, "evaluate"))
    assert measured == []
    assert rows(cohort) == rows(whole)


@pytest.mark.parametrize("change", ["map", "label", "tolerance", "damage"])
def test_rows_of_changed_files_are_measured_again(change, whole, tmp_path, monkeypatch):
    cohort = copied(whole, tmp_path)
    run_here("evaluate", **of(cohort, "evaluate", shard="1/2"))
    case = datalist.load(cohort)[0]
    given = {}
    if change == "map":
        os.utime(cohort / "predictions" / f"{case.id}.nii.gz")
    elif change == "label":
        os.utime(case.label)
    elif change == "tolerance":
        given = {"tolerance": 3.0}
    else:
        (cohort / "rows" / "1of2.json").write_text("{")
    from scripts.evaluate import evaluation

    measured, measure_cases = [], evaluation.measure_cases
    monkeypatch.setattr(
        evaluation, "measure_cases", lambda cases, *rest: measured.extend(cases) or measure_cases(cases, *rest)
    )
    run_here("evaluate", **of(cohort, "evaluate", **given))
    kept = 2 if change in ("map", "label") else 0
    assert len(measured) == 6 - kept
    assert case in measured


def test_two_ranks_write_the_embeddings_of_one(whole, tmp_path):
    cohort, out = copied(whole, tmp_path, "embeddings"), tmp_path / "ranks"
    assert run_ranks("embed", 2, out, **of(cohort, "embed")) == [0, 0], logs(out)
    for name in ("untrained", "pretrained"):
        one, two = (np.load(folder / "embeddings" / f"{name}.npy") for folder in (whole, cohort))
        np.testing.assert_allclose(two, one, atol=1e-5)
    assert same_files(whole, cohort, "embeddings/queries.csv")


# locks


def test_a_shard_and_a_run_over_all_exclude_each_other(tmp_path):
    from scripts.job.job import Job

    def claimed(shard=None):
        job = Job("inference", "bundle", str(tmp_path), {}, 0, shard=shard)
        job._claim()
        return job

    jobs = [claimed("1/2"), claimed("2/2")]
    with pytest.raises(SemclError, match=r"another run of inference.1of2 is writing here"):
        claimed("1/2")
    with pytest.raises(SemclError, match=r"another run of inference is writing here"):
        claimed()
    for job in jobs:
        job._release()
    claimed()._release()
