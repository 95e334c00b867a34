"""Errors that end a run: a short message where the user can act on it, else a traceback."""

import errno
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from ignite.engine import Engine
from monai.bundle import ConfigParser
from torch._utils import ExceptionWrapper

from scripts.errors import SemclError
from scripts.job.plain_errors import explain, plain_errors
from tests.stages import run_small, workflow_of


def semcl_error() -> SemclError:
    return SemclError("no maps", case="c1", found="none", expected="one", remedy="run coarse")


def caught(cause: BaseException, wrapped: bool = False) -> BaseException:
    """An exception as it is caught, with its traceback; wrapped as MONAI does."""
    try:
        try:
            raise cause
        except BaseException as error:
            if wrapped:
                raise RuntimeError("Failed to evaluate ConfigExpression: {'config': '$@job.begin()'}") from error
            raise
    except BaseException as error:
        return error


@pytest.fixture
def at_the_end(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[BaseException], str]]:
    """The output of a process that ends with an exception after ``plain_errors()``."""
    hook = sys.excepthook
    plain_errors()

    def printed(error: BaseException) -> str:
        sys.excepthook(type(error), error, error.__traceback__)
        out, err = capsys.readouterr()
        assert out == ""
        return err

    yield printed
    sys.excepthook = hook


def test_an_engine_does_not_report_what_it_raises(at_the_end: object, caplog: pytest.LogCaptureFixture) -> None:
    def fail(engine: Engine, batch: object) -> None:
        raise semcl_error()

    with pytest.raises(SemclError):
        Engine(fail).run([1])
    assert caplog.text == ""


# explained


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_semcl_error_is_its_own_explanation(wrapped: bool) -> None:
    own = semcl_error()
    assert explain(caught(own, wrapped)) is own


MEMORY: dict[str, BaseException] = {
    "of Python": MemoryError(),
    "of numpy": MemoryError("Unable to allocate 8.00 GiB for an array with shape (1024, 1024, 1024)"),
    "of torch on a CPU": RuntimeError(
        "[enforce fail at alloc_cpu.cpp:118] err == 0. DefaultCPUAllocator: can't allocate memory: you tried"
    ),
    "of a GPU": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity"),
    "of a GPU, worded differently": RuntimeError("CUDA error: out of memory"),
}


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("error", MEMORY.values(), ids=MEMORY.keys())
def test_out_of_memory_names_the_numbers_to_lower(error: BaseException, wrapped: bool) -> None:
    explained = explain(caught(error, wrapped))
    assert explained is not None
    assert explained.problem == "out of memory"
    assert type(error).__name__ in str(explained.found)
    assert "\n" not in str(explained.found)
    assert all(
        key in explained.remedy for key in ("patch_size", "queries_per_cluster", "batch_size", "--precision bfloat16")
    )


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_explained(number: int, wrapped: bool) -> None:
    explained = explain(caught(OSError(number, os.strerror(number), "store/a/image.npy"), wrapped))
    assert explained is not None
    assert explained.problem == "the disk is full"
    assert "store/a/image.npy" in str(explained.found)
    assert "make room" in explained.remedy


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_killed_loader_process_suggests_fewer_workers(wrapped: bool) -> None:
    error = RuntimeError("DataLoader worker (pid 4711) is killed by signal: Killed. ")
    explained = explain(caught(error, wrapped))
    assert explained is not None
    assert explained.problem == "a loader process was killed"
    assert "pid 4711" in str(explained.found)
    assert "--num_workers" in explained.remedy


# left to their traceback


UNEXPLAINED: dict[str, BaseException] = {
    "a bug": KeyError("its cause"),
    "a bug of shapes": RuntimeError("The size of tensor a (3) must match the size of tensor b (4)"),
    "another error of the system": OSError(errno.EIO, "Input/output error", "out"),
    "an error without a message": RuntimeError(),
    "the user": KeyboardInterrupt(),
    "a bug in a loader process": RuntimeError(
        "Caught IndexError in DataLoader worker process 0.\nOriginal Traceback (most recent call last):\n  File ..."
    ),
}


@pytest.mark.parametrize("error", UNEXPLAINED.values(), ids=UNEXPLAINED.keys())
def test_errors_no_config_can_cause_are_not_explained(error: BaseException) -> None:
    assert explain(caught(error)) is None


# parts of a config


@pytest.mark.parametrize(
    ("stage", "overrides", "path", "what"),
    [
        ("pretrain", {"learning_rate": -1.0}, "optimizer", "Invalid learning rate: -1.0"),
        ("coarse", {"train#dataloader#prefetch_factor": 2}, "train#dataloader", "prefetch_factor"),
        ("train", {"segmentation_loss#reduction": "most"}, "segmentation_loss", "most"),
        ("coarse", {"coarse_strides": [2]}, "network_def", "strides"),
        ("pretrain", {"weight_decay": "$1 / 0"}, "weight_decay", "ZeroDivisionError"),
    ],
    ids=["an optimizer", "a nested loader", "a loss", "a network", "an expression"],
)
def test_a_component_monai_cannot_build_is_named_by_its_path(
    phantoms: Path, tmp_path: Path, stage: str, overrides: dict[str, object], path: str, what: str
) -> None:
    workflow = workflow_of(stage, dataset_dir=phantoms, output_dir=tmp_path, **overrides)
    with pytest.raises(Exception, match=r".") as info:
        workflow.parser.get_parsed_content(path)
    explained = explain(info.value)
    assert explained is not None
    path = {"network_def": "common#coarse_network"}.get(path, path)  # where it is defined
    assert explained.problem == f"{path} of the config cannot be made"
    assert what in str(explained.found)
    assert f"check {path}" in explained.remedy
    assert "SEMCL_TRACEBACK=1" in explained.remedy


def test_a_semcl_error_in_a_loader_process_is_reported_as_itself() -> None:
    try:
        raise semcl_error()
    except SemclError:
        wrapper = ExceptionWrapper(where="in DataLoader worker process 0")
    with pytest.raises(Exception, match="no maps") as info:
        wrapper.reraise()
    explained = explain(info.value)
    assert "no maps" in str(explained)


def bug() -> None:
    raise KeyError("its cause")


def test_a_bug_while_a_stage_runs_keeps_its_traceback() -> None:
    parser = ConfigParser({"run": ["$None", "$bug()"]}, globals={"bug": bug})
    with pytest.raises(RuntimeError, match="Failed to evaluate") as info:
        parser.get_parsed_content("run")
    assert isinstance(info.value.__cause__, KeyError)
    assert explain(info.value) is None


# at the end of a process


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_semcl_error_ends_the_process_with_one_message(
    wrapped: bool, at_the_end: Callable[[BaseException], str]
) -> None:
    message = "error: case c1: no maps\n  found:    none\n  expected: one\n  do this:  run coarse\n"
    assert at_the_end(caught(semcl_error(), wrapped)) == f"\n{message}"


def test_other_exceptions_keep_their_traceback(at_the_end: Callable[[BaseException], str]) -> None:
    printed = at_the_end(caught(KeyError("its cause"), wrapped=True))
    assert printed.count("Traceback (most recent call last)") == 2
    assert printed.splitlines()[-1].startswith("RuntimeError: Failed to evaluate")
    assert "KeyError: 'its cause'" in printed


@pytest.mark.parametrize(("value", "shown"), [("1", 1), ("0", 0), ("", 0)])
def test_the_traceback_of_an_explained_error_is_shown_on_request(
    value: str, shown: int, at_the_end: Callable[[BaseException], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEMCL_TRACEBACK", value)
    printed = at_the_end(caught(OSError(errno.ENOSPC, "No space left on device")))
    assert printed.count("Traceback (most recent call last)") == shown
    assert printed.rindex("error: the disk is full") > printed.find("Traceback")


def test_a_stage_whose_config_cannot_be_built_ends_with_one_message(phantoms: Path, tmp_path: Path) -> None:
    done = run_small(
        "pretrain", dataset_dir=phantoms, attention_dir=phantoms / "labels", output_dir=tmp_path, learning_rate="$-1.0"
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    message = done.stderr[done.stderr.rindex("error: ") :]
    assert message.startswith("error: optimizer of the config cannot be made\n  found:    ValueError: Invalid learning")


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("[third_party/gloo/gloo/transport/tcp/pair.cc:537] Connection closed by peer [127.0.0.1]:41868"),
        torch.distributed.DistBackendError("NCCL communicator was aborted on rank 1."),
        torch.distributed.DistNetworkError("The client socket has timed out after 60000ms"),
    ],
    ids=["gloo", "nccl", "store"],
)
def test_a_lost_rank_is_explained(error):
    explained = str(explain(error))
    assert "another rank was lost" in explained
    assert "go on with --resume True" in explained
