"""Several ranks write each file once, and a run resumes with another number of ranks."""

import json
import os
import signal

import pytest
import torch

from tests.faults import Strike
from tests.stages import refusal

from . import free_port, in_float64, logs, run_ranks

SHORT = {"max_epochs": 3, "epoch_length": 3, "clusters_per_batch": 4, "queries_per_cluster": 4}


class Stopped:
    """The first rank gets the signal to stop at a step, as from Slurm or torchrun."""

    def __init__(self, step, what=signal.SIGTERM):
        self.step, self.what = step, what

    def __call__(self, rank):
        in_float64(rank)
        if rank == 0:
            Strike("scripts.job.progress:Progress", "step", self.step, self.what)()


@pytest.fixture(scope="module")
def folders(phantoms, tmp_path_factory):
    store = tmp_path_factory.mktemp("store") / "store"
    return {"dataset_dir": phantoms, "attention_dir": phantoms / "labels", "store_dir": store}


@pytest.fixture(scope="module")
def whole(folders, tmp_path_factory):
    """A run of one process that was not interrupted."""
    out = tmp_path_factory.mktemp("whole")
    assert pretrain(1, out, folders) == [0], logs(out)
    return out


def pretrain(ranks, out, folders, harm=in_float64, **given):
    return run_ranks("pretrain", ranks, out, harm, **(folders | SHORT | given))


def listed(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.name.startswith("rank"))


def test_ranks_leave_the_files_of_one_process(folders, whole, tmp_path):
    four, store = tmp_path / "four", tmp_path / "store"
    assert pretrain(4, four, folders, store_dir=store) == [0] * 4, logs(four)
    assert listed(four) == listed(whole)
    assert listed(store) == listed(folders["store_dir"])
    for path in store.rglob("*.npy"):
        assert path.read_bytes() == (folders["store_dir"] / path.relative_to(store)).read_bytes()
    manifest = json.loads((four / "jobs" / "pretrain.json").read_text())
    assert (manifest["ranks"], manifest["status"]) == (4, "completed")
    assert (four / "curves" / "pretrain.csv").read_text() == (whole / "curves" / "pretrain.csv").read_text()
    bars = [path.read_text().count("pretrain:") > 0 for path in sorted(four.glob("rank*.log"))]
    assert bars == [True, False, False, False]


@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2), (2, 4)])
def test_a_stopped_run_resumes_with_another_number_of_ranks(before, after, folders, whole, tmp_path):
    cut = tmp_path / "cut"
    codes = pretrain(before, cut, folders, Stopped(5))
    assert codes[0] == 75, logs(cut)
    assert "pretrain: stopped by SIGTERM; go on with --resume True" in (cut / "rank0.log").read_text()
    assert all(codes[1:]), "a rank went on alone"
    assert pretrain(after, cut, folders, resume=True) == [0] * after, logs(cut)
    ends = [torch.load(out / "models" / "encoder.pt", weights_only=True) for out in (whole, cut)]
    for name, weight in ends[0].items():
        torch.testing.assert_close(ends[1][name], weight, rtol=0, atol=1e-9)
    assert (cut / "curves" / "pretrain.csv").read_text() == (whole / "curves" / "pretrain.csv").read_text()
    assert not (cut / "jobs" / "pretrain.checkpoint.pt").exists()


def test_a_checkpoint_holds_no_trace_of_the_ranks(folders, tmp_path):
    out = tmp_path / "out"
    pretrain(2, out, folders, Stopped(5))
    parts = torch.load(out / "jobs" / "pretrain.checkpoint.pt", weights_only=True)["parts"]
    assert not [name for name in parts["network"] if "module." in name]


def test_a_batch_that_ranks_cannot_share_is_refused(folders, tmp_path):
    assert pretrain(3, tmp_path, folders) == [1] * 3
    assert "a batch of 16 cannot be shared evenly by 3 ranks" in logs(tmp_path)


def test_an_error_of_all_ranks_is_reported_once(folders, tmp_path):
    assert pretrain(2, tmp_path, folders, temperatur=0.2) == [1, 1]
    assert "did you mean --temperature?" in (tmp_path / "rank0.log").read_text()
    assert "error" not in (tmp_path / "rank1.log").read_text()


class Slurm:
    """The variables Slurm sets: of two tasks, or of one that started torchrun for both ranks."""

    def __init__(self, tasks):
        self.tasks, self.job = tasks, str(free_port())  # the last digits make the port

    def __call__(self, rank):
        in_float64(rank)
        task = str(rank if self.tasks == 2 else 0)
        if self.tasks == 2:
            for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
                del os.environ[name]
        job = {"JOB_ID": self.job, "PROCID": task, "LOCALID": task, "NTASKS": str(self.tasks)}
        job |= {"JOB_NODELIST": "localhost", "JOB_NUM_NODES": "1"}
        os.environ.update({f"SLURM_{name}": value for name, value in job.items()})


@pytest.mark.parametrize("tasks", [1, 2])
def test_ranks_join_under_slurm_with_and_without_torchrun(tasks, folders, whole, tmp_path):
    assert pretrain(2, tmp_path, folders, Slurm(tasks)) == [0, 0], logs(tmp_path)
    assert (tmp_path / "curves" / "pretrain.csv").read_text() == (whole / "curves" / "pretrain.csv").read_text()


def test_processes_that_were_not_joined_are_refused(cohort, monkeypatch):
    monkeypatch.setitem(os.environ, "WORLD_SIZE", "2")
    assert "multi_gpu_train.yaml" in refusal("pretrain", dataset_dir=cohort, attention_dir=cohort / "labels")
