"""A run of a stage: its checks before it starts, its files, and its end."""

import atexit
import errno
import io
import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from scripts.errors import SemclError
from scripts.job import config_check
from scripts.job.job import SOME_FAILED, Job
from scripts.signals import INTERRUPTED
from tests.stages import ROOT, as_if_a_process_ended

ORIGIN = {"stage": "pretrain.yaml", "cohort": "a1b2c3", "labels": "d4e5f6"}


@pytest.fixture(autouse=True)
def one_process() -> Iterator[None]:
    with as_if_a_process_ended():
        yield


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Job]:
    """Makes jobs of the pretrain stage that run with the config as it ships."""
    monkeypatch.setattr(config_check, "running_config", lambda: {"max_epochs": 12, "seed": 0})

    def make(**given: Any) -> Job:
        chosen: dict[str, Any] = {"origin": ORIGIN, "seed": 0, "output_dir": str(tmp_path)} | given
        return Job("pretrain", str(ROOT / "bundle"), **chosen)

    return make


def noted(job: Job) -> dict[str, Any]:
    return dict(json.loads(job.manifest.read_text()))


def ended(job: Job) -> None:
    """As its process would at its end."""
    job._left()
    job._release()


# the manifest


def test_a_run_is_recorded_when_it_begins_and_when_it_ends(make: Callable[..., Job]) -> None:
    job = make(seed=3)
    job.begin()
    note = noted(job)
    assert (note["stage"], note["status"], note["seed"], note["resumed"]) == ("pretrain", "running", 3, False)
    assert (note["cohort"], note["labels"]) == ("a1b2c3", "d4e5f6")
    assert note["config"]["max_epochs"] == 12
    assert note["config"]["common#patch_size"] == 64
    assert note["config_hash"] == config_check.config_digest(note["config"])
    job.finish()
    after = noted(job)
    assert after["status"] == "completed"
    assert after["failed_cases"] == []
    assert {key: after[key] for key in note if key not in ("status", "seconds", "peak_memory")} == {
        key: note[key] for key in note if key not in ("status", "seconds", "peak_memory")
    }


def test_results_of_other_scans_are_not_written_over(make: Callable[..., Job], tmp_path: Path) -> None:
    config = {"max_epochs": 12, "seed": 0}
    first, second = tmp_path / "A" / "images", tmp_path / "B" / "images"
    for folder in (first, second):
        folder.mkdir(parents=True)

    def run(folder: Path) -> None:
        config["dataset_dir"] = str(folder)
        job = make()
        job.begin()
        job.finish()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(config_check, "running_config", lambda: config)
        run(first)
        run(first)
        with pytest.raises(SemclError, match=r"(?s)results of other scans.*A/images.*B/images.*--output_dir"):
            run(second)
        run(first)  # nothing was noted of the other
        first.rename(tmp_path / "moved")
        run(tmp_path / "moved")
        (second / "datalist.json").write_text("{}")  # a cohort knows its scans
        run(second)


def test_a_run_that_ends_on_its_own_has_failed(make: Callable[..., Job]) -> None:
    job = make()
    job.begin()
    ended(job)
    assert noted(job)["status"] == "failed"


def test_the_end_of_the_process_changes_nothing_of_a_run_that_is_finished(make: Callable[..., Job]) -> None:
    job = make()
    job.begin()
    job.finish()
    ended(job)
    assert noted(job)["status"] == "completed"


def test_a_run_that_could_not_begin_leaves_the_manifest_of_another(make: Callable[..., Job]) -> None:
    first, second = make(), make()
    first.begin()
    with pytest.raises(SemclError, match="another run of pretrain"):
        second.begin()
    ended(second)
    assert noted(first)["status"] == "running"


@pytest.mark.parametrize(
    ("number", "why", "code"),
    [
        (signal.SIGTERM, "SIGTERM", 75),
        (signal.SIGALRM, "the time limit", 75),
        (signal.SIGHUP, "SIGHUP", 75),
        (signal.SIGINT, "SIGINT", 130),
    ],
    ids=["told to", "time limit", "a closed terminal", "Ctrl-C"],
)
def test_a_run_that_is_stopped_can_be_resumed(
    make: Callable[..., Job], number: int, why: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    job = make(time_limit=600)
    job.begin()
    job.save({"epoch": 1})
    with pytest.raises(SystemExit) as info:
        signal.raise_signal(number)
    assert info.value.code == code
    assert noted(job)["status"] == "interrupted"
    assert f"pretrain: stopped by {why}; go on with --resume True" in capsys.readouterr().err
    ended(job)
    assert noted(job)["status"] == "interrupted"
    resumed = make(resume=True)
    resumed.begin()
    assert (noted(resumed)["status"], noted(resumed)["resumed"]) == ("running", True)


def test_a_run_stopped_before_its_first_checkpoint_does_not_suggest_resume(
    make: Callable[..., Job], capsys: pytest.CaptureFixture[str]
) -> None:
    job = make()
    job.begin()
    with pytest.raises(SystemExit):
        signal.raise_signal(signal.SIGTERM)
    assert "stopped by SIGTERM" in capsys.readouterr().err
    ended(job)
    with pytest.raises(SemclError, match="nothing to resume"):
        make(resume=True).begin()


def test_the_message_of_a_run_without_checkpoint_does_not_suggest_resume(
    make: Callable[..., Job], capsys: pytest.CaptureFixture[str]
) -> None:
    make().begin()
    with pytest.raises(SystemExit):
        signal.raise_signal(signal.SIGTERM)
    assert "--resume True" not in capsys.readouterr().err


def test_the_time_limit_is_in_minutes(make: Callable[..., Job]) -> None:
    make(time_limit=2).begin()
    left, every = signal.getitimer(signal.ITIMER_REAL)
    assert 100 < left <= 120
    assert every == 0


def test_without_a_time_limit_no_timer_is_set(make: Callable[..., Job]) -> None:
    make().begin()
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_the_timer_is_cleared_when_the_run_is_finished(make: Callable[..., Job]) -> None:
    job = make(time_limit=600)
    job.begin()
    job.finish()
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_a_time_limit_stops_a_blocked_run(make: Callable[..., Job]) -> None:
    job = make(time_limit=0.001)
    job.begin()
    with pytest.raises(SystemExit):
        signal.pause()
    assert noted(job)["status"] == "interrupted"


def test_signal_handlers_are_restored_when_the_run_is_finished(make: Callable[..., Job]) -> None:
    before = signal.getsignal(signal.SIGTERM)
    job = make()
    job.begin()
    job.finish()
    handler = signal.getsignal(signal.SIGTERM)
    assert handler in (signal.SIG_DFL, signal.SIG_IGN) or handler is before
    assert noted(job)["status"] == "completed"


def test_an_ignored_signal_stays_ignored(make: Callable[..., Job]) -> None:
    """As SIGHUP is under nohup."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    job = make()
    job.begin()
    signal.raise_signal(signal.SIGHUP)
    assert noted(job)["status"] == "running"


def test_a_closed_terminal_does_not_prevent_recording_the_interruption(
    make: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(errno.EIO, "Input/output error")

    job = make()
    job.begin()
    monkeypatch.setattr("sys.stderr", Closed())
    with pytest.raises(SystemExit) as info:
        signal.raise_signal(signal.SIGHUP)
    assert info.value.code == INTERRUPTED
    assert noted(job)["status"] == "interrupted"


def test_a_forked_process_writes_nothing_when_it_is_terminated(make: Callable[..., Job]) -> None:
    job = make()
    job.begin()
    child = os.fork()
    if not child:
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):  # Ctrl-C hits loader processes too
            signal.raise_signal(number)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM
    assert noted(job)["status"] == "running"


# cases that fail


def test_failed_cases_are_named_at_the_end(make: Callable[..., Job], capsys: pytest.CaptureFixture[str]) -> None:
    job = make()
    job.begin()
    job.fail("ann1", "case ann1: a volume cannot be read")
    job.fail("bob2", "case bob2: a volume is not 3-D")
    with pytest.raises(SystemExit) as info:
        job.finish()
    assert info.value.code == SOME_FAILED == 3
    assert noted(job)["failed_cases"] == ["ann1", "bob2"]
    assert noted(job)["status"] == "completed"
    printed = capsys.readouterr().err
    assert "error: case ann1: a volume cannot be read" in printed
    assert "2 cases failed, the others are done: ann1, bob2" in printed


# the folder


def test_two_runs_of_a_stage_in_one_folder_are_refused(make: Callable[..., Job], tmp_path: Path) -> None:
    first = make()
    first.begin()
    with pytest.raises(SemclError, match=r"(?s)another run of pretrain is writing here.*is locked.*--output_dir"):
        make().begin()
    make(output_dir=str(tmp_path / "other")).begin()
    first.finish()
    make().begin()


def test_two_stages_may_run_in_one_folder(make: Callable[..., Job], tmp_path: Path) -> None:
    make().begin()
    Job("train", str(ROOT / "bundle"), str(tmp_path), ORIGIN, 0).begin()
    assert {path.name for path in (tmp_path / "jobs").glob("*.json")} == {"pretrain.json", "train.json"}


def test_a_new_run_keeps_the_checkpoint_of_the_interrupted_one(
    make: Callable[..., Job], capsys: pytest.CaptureFixture[str]
) -> None:
    first = make()
    first.begin()
    first.save({"epoch": 4})
    ended(first)
    second = make()
    second.begin()
    kept = second.checkpoint.with_name("pretrain.checkpoint.previous.pt")
    assert not kept.exists()  # before its first checkpoint it may still fail
    second.save({"epoch": 1})
    assert torch.load(kept, weights_only=True)["epoch"] == 4
    assert f"started from scratch; the interrupted run's checkpoint is kept as {kept}" in capsys.readouterr().err
    second.finish()
    assert kept.exists()
    assert not second.checkpoint.exists()


def test_a_new_run_that_fails_before_its_first_checkpoint_leaves_the_interrupted_one_to_resume(
    make: Callable[..., Job],
) -> None:
    first = make()
    first.begin()
    first.save({"epoch": 4})
    ended(first)
    second = make()
    second.begin()
    ended(second)
    third = make(resume=True)
    third.begin()
    assert third.load()["epoch"] == 4


def test_a_finished_run_leaves_no_checkpoint(make: Callable[..., Job]) -> None:
    job = make()
    job.begin()
    job.save({"epoch": 4})
    job.finish()
    assert not job.checkpoint.exists()


@pytest.mark.parametrize(("number", "kept"), [(0, True), (1, False)])
def test_the_last_state_of_a_finished_run_is_kept_where_it_can_go_on(
    make: Callable[..., Job], number: int, kept: bool
) -> None:
    job = make()
    job.begin()
    job.save({"epoch": 4, "round": number})
    job.finish()
    assert job.last_state.is_file() is kept
    assert not kept or job.load()["epoch"] == 4


# checkpoints


def test_a_checkpoint_restores_the_state(make: Callable[..., Job]) -> None:
    job = make()
    job.begin()
    job.save({"epoch": 2, "parts": {"network": {"weight": torch.arange(3.0)}}})
    ended(job)
    resumed = make(resume=True)
    resumed.begin()
    state = resumed.load()
    assert state["epoch"] == 2
    assert state["parts"]["network"]["weight"].tolist() == [0, 1, 2]


def interrupted(make: Callable[..., Job]) -> Job:
    job = make()
    job.begin()
    job.save({"epoch": 2, "round": 0, "iteration": 6, "parts": {}})
    ended(job)
    return job


def test_without_a_checkpoint_there_is_nothing_to_resume(make: Callable[..., Job]) -> None:
    with pytest.raises(
        SemclError, match=r"(?s)nothing to resume.*no \S+pretrain\.checkpoint\.pt\n.*leave out --resume"
    ):
        make(resume=True).begin()


def test_after_a_finished_run_there_is_nothing_to_resume(make: Callable[..., Job]) -> None:
    job = make()
    job.begin()
    job.finish()
    with pytest.raises(SemclError, match=r"(?s)nothing to resume.*the last run completed"):
        make(resume=True).begin()


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def garbled(path: Path) -> None:
    path.write_bytes(os.urandom(4000))


def of_something_else(path: Path) -> None:
    torch.save({"weight": torch.zeros(3)}, path)


def of_a_list(path: Path) -> None:
    torch.save([1, 2, 3], path)


def of_an_object(path: Path) -> None:
    torch.save({"epoch": Path("a")}, path)


HARM = [truncated, emptied, garbled, of_something_else, of_a_list, of_an_object]


@pytest.mark.parametrize("harm", HARM, ids=lambda harm: harm.__name__)
def test_a_damaged_checkpoint_is_refused_and_left_alone(make: Callable[..., Job], harm: Callable[[Path], None]) -> None:
    path = interrupted(make).checkpoint
    harm(path)
    before = path.read_bytes()
    with pytest.raises(SemclError, match=r"(?s)the checkpoint cannot be read.*checkpoint\.pt.*start the run again"):
        make(resume=True).begin()
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("change", "printed"),
    [
        ({"max_epochs": 6}, "max_epochs: 12 before, 6 now"),
        ({"seed": 1}, "seed: 0 before, 1 now"),
        ({"train#views": {"noise": 0.1}}, "train#views#noise: not there before, 0.1 now"),
    ],
    ids=["config", "seed", "a new key"],
)
def test_a_checkpoint_of_another_config_is_refused(
    make: Callable[..., Job], monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], printed: str
) -> None:
    interrupted(make)
    monkeypatch.setattr(config_check, "check_config", lambda *_: [])
    monkeypatch.setattr(config_check, "running_config", lambda: {"max_epochs": 12, "seed": 0} | change)
    with pytest.raises(SemclError, match=rf"(?s)the checkpoint is of another run.*{printed}.*leave out --resume"):
        make(resume=True).begin()


@pytest.mark.parametrize("key", ["cohort", "labels"])
def test_a_checkpoint_of_another_cohort_or_label_table_is_refused(make: Callable[..., Job], key: str) -> None:
    interrupted(make)
    with pytest.raises(SemclError, match=rf"(?s)of another run.*{key}: {ORIGIN[key]} before, 999999 now"):
        make(resume=True, origin=ORIGIN | {key: "999999"}).begin()


def test_a_checkpoint_of_other_label_maps_is_refused(make: Callable[..., Job]) -> None:
    job = make(label_maps="few")
    job.begin()
    job.save({"epoch": 2, "round": 0, "iteration": 6, "parts": {}})
    ended(job)
    other = make(resume=True, label_maps="more")
    with pytest.raises(SemclError, match=r"(?s)of another run.*label maps: others.*label maps and label table"):
        other.begin()
    ended(other)
    make(resume=True, label_maps="few").begin()


def test_all_differences_are_reported_at_once(make: Callable[..., Job], monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted(make)
    monkeypatch.setattr(config_check, "running_config", lambda: {"max_epochs": 6, "seed": 1})
    with pytest.raises(SemclError, match=r"(?s)cohort: .*max_epochs: .*seed: "):
        make(resume=True, origin=ORIGIN | {"cohort": "999999"}).begin()


@pytest.mark.parametrize("key", ["num_workers", "output_dir", "device", "time_limit"])
def test_keys_that_do_not_affect_results_may_differ(
    make: Callable[..., Job], monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    interrupted(make)
    monkeypatch.setattr(config_check, "check_config", lambda *_: [])
    monkeypatch.setattr(config_check, "running_config", lambda: {"max_epochs": 12, "seed": 0, key: 1})
    make(resume=True).begin()


def test_a_refused_resume_leaves_the_checkpoint_and_the_manifest(make: Callable[..., Job]) -> None:
    job = interrupted(make)
    before = job.checkpoint.read_bytes(), job.manifest.read_bytes()
    with pytest.raises(SemclError, match="of another run"):
        make(resume=True, origin=ORIGIN | {"cohort": "999999"}).begin()
    assert (job.checkpoint.read_bytes(), job.manifest.read_bytes()) == before


def no_space(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def no_room_for_torch(*_: object, **__: object) -> None:
    raise RuntimeError("[enforce fail at inline_container.cc:668] . unexpected pos 4160 vs 4054\nmore lines")


@pytest.mark.parametrize(
    ("where", "failing"),
    [("torch.save", no_space), ("torch.save", no_room_for_torch), ("os.fsync", no_space)],
    ids=["as it is written", "as torch says it", "as it is flushed"],
)
def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(
    make: Callable[..., Job], monkeypatch: pytest.MonkeyPatch, where: str, failing: Callable[..., None]
) -> None:
    job = make()
    job.begin()
    job.save({"epoch": 1})
    with monkeypatch.context() as patch:
        patch.setattr(where, failing)
        with pytest.raises(SemclError, match=r"(?s)checkpoint cannot be written.*checkpoint\.pt.*make room.*--resume"):
            job.save({"epoch": 2})
    assert job.load()["epoch"] == 1
    assert [path.name for path in job.checkpoint.parent.iterdir() if "checkpoint" in path.name] == [job.checkpoint.name]


def test_a_run_that_is_stopped_on_a_full_disk_still_ends_as_interrupted(
    make: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    make().begin()
    monkeypatch.setattr("os.fsync", no_space)
    with pytest.raises(SystemExit) as info:
        signal.raise_signal(signal.SIGTERM)
    assert info.value.code == INTERRUPTED


def test_a_run_that_fails_on_a_full_disk_raises_no_second_error(
    make: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make()
    job.begin()
    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", no_space)
        job._left()
    assert noted(job)["status"] == "running"


def test_a_run_without_an_end_is_recorded_as_failed_at_exit(
    make: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Callable[[], None]] = []
    monkeypatch.setattr(atexit, "register", asked.append)
    job = make()
    job.begin()
    assert asked == [job._left]
