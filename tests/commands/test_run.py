"""All stages in a row: in order, resumed, not repeated, refused before the first; tests/test_chain.py runs them."""

from dataclasses import replace

import numpy as np
import pytest
import yaml

from scripts.cohort import datalist
from scripts.cohort.lineage import extended
from scripts.cohort.provenance import note_attention
from scripts.commands import stages
from scripts.commands.run import ALL_STAGES, run
from scripts.commands.stages import OVERLAY_FILE
from scripts.errors import SemclError
from scripts.job.closing import CHAINED
from scripts.job.job import SOME_FAILED
from tests.commands.test_chain import chain_of
from tests.conftest import write_nifti

STAGES = tuple(stage for stage in ALL_STAGES if stage != "self_training")  # where every scan has a label map
BY_SLICES = ("segment", *STAGES[1:])  # their configs, by default
TAUGHT = ("segment", "pretrain", "train", "pseudo_labels", "self_training", "inference", "evaluate")  # where not


class Calls(list):
    """What was started: config, overlay, resume."""

    def __init__(self):
        super().__init__()
        self.numbers = []


@pytest.fixture
def started(monkeypatch):
    """The stages that were started, with their overrides; the one called as `broken` says fails."""
    calls = Calls()

    def start(root, stage, overlay, overrides):
        calls.append((stage, overlay and overlay.name, overrides.get("resume")))
        calls.numbers.append({key: overrides[key] for key in overrides if key.startswith("coarse")})
        if stage == calls_fail.get("stage"):
            raise SemclError("broken", found="x", expected="y", remedy="z")

    calls_fail: dict[str, str] = {}
    monkeypatch.setattr("scripts.commands.stages.run_config", start)
    token = CHAINED.set("")
    yield calls, calls_fail
    CHAINED.reset(token)


def test_all_stages_run_once_in_their_order(cohort, started, capsys):
    calls, _ = started
    run(str(cohort))
    assert [stage for stage, *_ in calls] == list(BY_SLICES)
    assert calls.numbers == [{"coarse_dims": 2}, {}, {}, {}, {}]
    assert [line for line in capsys.readouterr().out.splitlines() if line] == [
        "== 1/5 coarse (segment.yaml)",
        *(f"== {number}/5 {stage}" for number, stage in enumerate(STAGES[1:], 2)),
    ]
    run(str(cohort))
    assert len(calls) == len(STAGES)
    assert "all stages have completed" in capsys.readouterr().out
    run(str(cohort), start="Inference")
    assert [stage for stage, *_ in calls[len(STAGES) :]] == ["inference", "evaluate"]


def test_an_interrupted_chain_goes_on_in_its_stage(cohort, started):
    calls, fails = started
    fails["stage"] = "pretrain"
    with pytest.raises(SemclError, match="broken"):
        run(str(cohort))
    fails.clear()
    (cohort / "jobs" / "pretrain.checkpoint.pt").write_bytes(b"x")
    run(str(cohort))
    assert [(stage, resume) for stage, _, resume in calls[1:4]] == [
        ("pretrain", False),
        ("pretrain", True),
        ("train", False),
    ]


def test_a_stage_is_not_resumed_where_one_before_it_is_repeated(cohort, started):
    """It was interrupted when it had begun with other weights."""
    calls, fails = started
    fails["stage"] = "train"
    with pytest.raises(SemclError, match="broken"):
        run(str(cohort))
    fails.clear()
    (cohort / "jobs" / "train.checkpoint.pt").write_bytes(b"x")
    run(str(cohort), start="coarse")
    assert [(stage, bool(resume)) for stage, _, resume in calls[3:]] == [(stage, False) for stage in BY_SLICES]
    assert (cohort / "jobs" / "train.checkpoint.previous.pt").read_bytes() == b"x"


def test_changed_label_maps_are_said_before_anything_has_completed(cohort, started, capsys):
    _, fails = started
    fails["stage"] = "segment"
    with pytest.raises(SemclError, match="broken"):
        run(str(cohort))
    label = next(case.label for case in datalist.load(cohort) if case.label is not None)
    label.write_bytes(label.read_bytes() + b" ")
    with pytest.raises(SemclError, match="broken"):
        run(str(cohort))
    assert "have changed since" in capsys.readouterr().out


@pytest.mark.parametrize("stages", ["[pretrian]", "pretrain", "[]"])
def test_an_overlay_for_stages_that_there_are_not_is_refused(stages, cohort, started, tmp_path):
    calls, _ = started
    (tmp_path / "mine.yaml").write_text(f"stages: {stages}\nmax_epochs: 3\n")
    with pytest.raises(SemclError, match=r"(?s)does not say which stages it is for.*a list such as stages: \[train\]"):
        run(str(cohort), overlay=str(tmp_path / "mine.yaml"))
    assert calls == []


def test_a_stage_interrupted_with_another_overlay_starts_over_and_its_checkpoint_is_kept(cohort, started, tmp_path):
    calls, fails = started
    fails["stage"] = "pretrain"
    with pytest.raises(SemclError, match="broken"):
        run(str(cohort))
    fails.clear()
    (cohort / "jobs" / "pretrain.checkpoint.pt").write_bytes(b"x")
    (tmp_path / "mine.yaml").write_text("patch_size: 32\n")
    run(str(cohort), overlay=str(tmp_path / "mine.yaml"))
    assert [(stage, resume) for stage, _, resume in calls[2:4]] == [("segment", False), ("pretrain", False)]
    assert (cohort / "jobs" / "pretrain.checkpoint.previous.pt").read_bytes() == b"x"


def test_an_interrupted_network_of_slices_goes_on_and_its_checkpoint_is_kept(cohort, started, tmp_path):
    calls, fails = started
    fails["stage"] = "segment"
    with pytest.raises(SemclError, match="broken"):
        run(str(cohort))
    fails.clear()
    (cohort / "jobs" / "segment.checkpoint.pt").write_bytes(b"x")
    run(str(cohort))
    assert [stage for stage, *_ in calls] == ["segment", *BY_SLICES]
    assert [resume for *_, resume in calls[:3]] == [False, True, False]
    run(str(cohort), start="coarse")
    assert calls[len(STAGES) + 1 :][0] == ("segment", None, None)
    (cohort / "jobs" / "segment.checkpoint.pt").write_bytes(b"y")
    (tmp_path / "mine.yaml").write_text("patch_size: 32\n")
    run(str(cohort), overlay=str(tmp_path / "mine.yaml"))
    assert (cohort / "jobs" / "segment.checkpoint.previous.pt").read_bytes() == b"y"


@pytest.mark.parametrize(
    ("overlay", "stage", "numbers"),
    [
        ("coarse_dims: 3", "coarse", {}),
        ("coarse_dims: 2", "segment", {"coarse_dims": 2}),
        ("coarse_channels: [8, 16, 32]\ncoarse_strides: [2, 2]", "coarse", {}),
        ("spacing: [3, 3, 1.5]\nspatial_dims: 3", "segment", {"coarse_dims": 2, "coarse_spacing": [3, 3, 0]}),
    ],
)
def test_the_overlay_says_which_network_makes_the_maps(overlay, stage, numbers, cohort, started, tmp_path):
    (tmp_path / "mine.yaml").write_text(overlay)
    run(str(cohort), overlay=str(tmp_path / "mine.yaml"))
    calls, _ = started
    assert ([config for config, *_ in calls], calls.numbers[0]) == ([stage, *STAGES[1:]], numbers)


def test_without_an_encoder_s_weights_nothing_is_pretrained(cohort, started, tmp_path, capsys):
    (tmp_path / "mine.yaml").write_text("encoder_weights: null\n")
    run(str(cohort), overlay=str(tmp_path / "mine.yaml"))
    calls, _ = started
    assert [stage for stage, *_ in calls] == ["segment", "train", "inference", "evaluate"]
    grow(cohort, label=False)
    run(str(cohort))
    assert len(calls) == 4
    assert "scans to learn from" not in capsys.readouterr().out
    with pytest.raises(SemclError, match=r"no pretrain here(.|\n)*encoder_weights: null in the overlay"):
        run(str(cohort), start="pretrain")


@pytest.mark.parametrize(
    ("tested", "left_out"),
    [
        ("nobody", {"inference": "no testing scans in the cohort", "evaluate": "no testing scan with a label map"}),
        ("without label maps", {"evaluate": "no testing scan with a label map"}),
    ],
)
def test_a_cohort_that_tests_nobody_is_learnt_from_alone(tested, left_out, cohort, started, capsys):
    cases = datalist.load(cohort)
    if tested == "nobody":
        cases = [case for case in cases if case.fold is not None]
    datalist.save([case if case.fold is not None else replace(case, label=None) for case in cases], cohort)
    for _ in range(2):
        run(str(cohort))
        printed = capsys.readouterr().out
        assert all(f"{stage} is left out: {why}" in printed for stage, why in left_out.items())
    calls, _ = started
    assert [stage for stage, *_ in calls] == [stage for stage in BY_SLICES if stage not in left_out]
    with pytest.raises(SemclError, match=r"there is no evaluate here\n +found: +no testing scan"):
        run(str(cohort), start="evaluate")


def test_a_cohort_without_label_maps_is_refused_before_the_first_stage(cohort, started):
    datalist.save([replace(case, label=None) for case in datalist.load(cohort)], cohort)
    with pytest.raises(SemclError, match=r"(?s)nothing to learn from.*prepare the cohort with --labels.*--ckpt_dir"):
        run(str(cohort))
    calls, _ = started
    assert calls == []
    run(str(cohort), start="inference")
    assert [stage for stage, *_ in calls] == ["inference"]


def test_the_checkpoint_of_a_plain_network_beside_the_chain_stays(cohort, started, tmp_path):
    (cohort / "jobs").mkdir()
    (cohort / "jobs" / "segment.checkpoint.pt").write_bytes(b"x")
    (tmp_path / "mine.yaml").write_text("coarse_dims: 3\n")
    run(str(cohort), overlay=str(tmp_path / "mine.yaml"))
    assert (cohort / "jobs" / "segment.checkpoint.pt").read_bytes() == b"x"


def grow(cohort, label):
    """Add a scan to a cohort, as prepare does."""
    cases = datalist.load(cohort)
    new = replace(next(case for case in cases if case.fold is not None), id="new", patient="new")
    cases.append(new if label else replace(new, label=None))
    datalist.save(cases, cohort, extends=extended(cohort, cases))


def test_scans_to_learn_from_that_are_added_repeat_nothing(cohort, started, capsys):
    calls, _ = started
    run(str(cohort))
    grow(cohort, label=False)
    run(str(cohort))
    assert len(calls) == len(STAGES)
    assert "scans to learn from were added since; " in capsys.readouterr().out
    write_nifti(cohort / "attention/patient000.nii.gz", np.zeros((2, 2, 2), np.uint8))
    note_attention(cohort / "attention", {})
    run(str(cohort), start="pretrain")
    assert [stage for stage, *_ in calls[len(STAGES) :]] == ["maps", *STAGES[1:]]
    run(str(cohort))
    assert "were added" not in capsys.readouterr().out.rpartition("== 5/5")[2]


def unlabel(cohort):
    """Take a training patient's label maps from a cohort."""
    cases = datalist.load(cohort)
    patient = next(case.patient for case in cases if case.fold is not None)
    datalist.save([replace(case, label=None) if case.patient == patient else case for case in cases], cohort)


def test_scans_without_label_maps_teach_the_network_of_the_maps_where_that_is_asked_for(cohort, started, capsys):
    calls, _ = started
    unlabel(cohort)
    run(str(cohort))
    assert [stage for stage, *_ in calls] == list(BY_SLICES)
    run(str(cohort), start="self_training")
    assert [stage for stage, *_ in calls[len(STAGES) :]] == list(TAUGHT[3:])
    assert calls.numbers[len(STAGES) + 1] == calls.numbers[0] == {"coarse_dims": 2}
    assert "== 4/6 self_training\n" in capsys.readouterr().out
    run(str(cohort))
    assert len(calls) == len(STAGES) + len(TAUGHT[3:])


@pytest.mark.parametrize("again", [None, "mine.yaml"])
def test_self_training_that_was_interrupted_goes_on(again, cohort, started, tmp_path):
    calls, fails = started
    unlabel(cohort)
    (tmp_path / "mine.yaml").write_text("patch_size: 32\n")
    run(str(cohort), overlay=str(tmp_path / "mine.yaml"))
    fails["stage"] = "self_training"
    with pytest.raises(SemclError, match="broken"):
        run(str(cohort), start="self_training")
    fails.clear()
    (cohort / "jobs" / "segment.checkpoint.pt").write_bytes(b"x")
    calls.clear()
    run(str(cohort), overlay=again and str(tmp_path / again))
    assert [(stage, resume) for stage, _, resume in calls] == [
        ("self_training", True),
        ("inference", None),
        ("evaluate", None),
    ]
    run(str(cohort))
    assert len(calls) == 3


def test_self_training_that_was_stopped_before_it_learnt_makes_its_labels_again(cohort, started):
    calls, fails = started
    unlabel(cohort)
    run(str(cohort))
    fails["stage"] = "pseudo_labels"
    with pytest.raises(SemclError, match="broken"):
        run(str(cohort), start="self_training")
    fails.clear()
    calls.clear()
    run(str(cohort))
    assert [stage for stage, *_ in calls] == ["pseudo_labels", "self_training", "inference", "evaluate"]


def test_a_coarse_stage_that_lacks_the_map_of_a_scan_does_not_train_again(cohort, started, monkeypatch):
    calls, _ = started
    start = stages.run_config
    code = [SOME_FAILED]

    def lacking(root, stage, overlay, overrides):
        start(root, stage, overlay, overrides)
        if stage == "segment":
            note_attention(cohort / "attention", {})
            raise SystemExit(code[0])

    monkeypatch.setattr("scripts.commands.stages.run_config", lacking)
    with pytest.raises(SystemExit, match="3"):
        run(str(cohort))
    run(str(cohort))
    assert [stage for stage, *_ in calls] == ["segment", "maps", *STAGES[1:]]
    code[0] = 75  # stopped by a signal: not done
    for _ in range(2):
        with pytest.raises(SystemExit, match="75"):
            run(str(cohort), start="coarse")
    assert [stage for stage, *_ in calls[-2:]] == ["segment", "segment"]


@pytest.mark.parametrize(("overlay", "found"), [("", "a label map of every scan"), ("coarse_dims: 3", "whole volumes")])
def test_self_training_that_cannot_be_is_refused(overlay, found, cohort, started, tmp_path):
    (tmp_path / "mine.yaml").write_text(overlay or "patch_size: 32")
    if overlay:
        unlabel(cohort)
    with pytest.raises(SemclError, match=rf"(?s)no self-training here.*{found}.*prepare --unlabelled"):
        run(str(cohort), overlay=str(tmp_path / "mine.yaml"), start="self_training")
    calls, _ = started
    assert calls == []


def test_labelled_scans_that_are_added_keep_coarse_networks_and_encoder(cohort, started):
    calls, _ = started
    run(str(cohort))
    grow(cohort, label=True)
    run(str(cohort))
    assert [stage for stage, *_ in calls[len(STAGES) :]] == ["train", "inference", "evaluate"]


def test_label_maps_of_scans_that_were_there_repeat_the_training_from_its_start(cohort, started):
    calls, _ = started
    labelled = datalist.load(cohort)
    bare = next(case for case in labelled if case.fold is not None)
    fewer = [replace(case, label=None) if case.id == bare.id else case for case in labelled]
    datalist.save(fewer, cohort)
    run(str(cohort))
    (cohort / "jobs" / "train.checkpoint.pt").write_bytes(b"x")
    datalist.save(labelled, cohort, extends=extended(cohort, labelled))
    run(str(cohort))
    stages = ["train", "inference", "evaluate"]
    assert [(stage, bool(resume)) for stage, _, resume in calls[len(STAGES) :]] == [(stage, False) for stage in stages]
    run(str(cohort))
    assert len(calls) == len(STAGES) + len(stages)


def test_an_overlay_is_given_once_and_another_one_starts_over(cohort, started, tmp_path, capsys):
    calls, _ = started
    (tmp_path / "mine.yaml").write_text("patch_size: 32\n")
    run(str(cohort), overlay=str(tmp_path / "mine.yaml"))
    assert {overlay for _, overlay, _ in calls} == {OVERLAY_FILE}
    run(str(cohort), start="evaluate")
    assert calls[-1] == ("evaluate", OVERLAY_FILE, None)
    assert "taken as they are" not in capsys.readouterr().out
    (tmp_path / "mine.yaml").write_text("patch_size: 48\n")
    run(str(cohort), overlay=str(tmp_path / "mine.yaml"))
    assert len(calls) == 2 * len(STAGES) + 1
    assert yaml.safe_load((cohort / OVERLAY_FILE).read_text()) == {"patch_size": 48}
    (tmp_path / "mine.yaml").write_text("patch_size: 64\n")
    run(str(cohort), overlay=str(tmp_path / "mine.yaml"), start="inference")
    assert "coarse, pretrain, train: taken as they are, though run with another overlay" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("overlay", "problem"), [("patch_size: 1.5\n", "patch_size"), ("patchsize: 32\n", "did you mean --patch_size")]
)
def test_a_wrong_value_is_refused_before_the_first_stage(overlay, problem, cohort, started, tmp_path):
    (tmp_path / "mine.yaml").write_text(overlay)
    with pytest.raises(SemclError, match=problem):
        run(str(cohort), overlay=str(tmp_path / "mine.yaml"))
    assert started[0] == []
    assert not (cohort / "jobs").exists()
    assert not (cohort / OVERLAY_FILE).exists()


def test_a_folder_that_is_no_cohort_is_refused(tmp_path, started):
    with pytest.raises(SemclError):
        run(str(tmp_path))
    write_nifti(tmp_path / "scans" / "a.nii.gz", np.zeros((2, 2, 2), np.int16))
    with pytest.raises(SemclError, match=r"(?s)scans is not a cohort.*no datalist\.json.*semcl prepare"):
        run(str(tmp_path / "scans"))
    assert started[0] == []


def test_a_second_run_changes_nothing_of_the_first(cohort, started, tmp_path):
    (tmp_path / "mine.yaml").write_text("patch_size: 32\n")
    run(str(cohort), overlay=str(tmp_path / "mine.yaml"))
    before = {path.name: path.read_bytes() for path in cohort.rglob("*") if path.is_file()}
    (tmp_path / "mine.yaml").write_text("patch_size: 48\n")
    with chain_of(cohort).alone(), pytest.raises(SemclError, match="another run of all stages is writing here"):
        run(str(cohort), overlay=str(tmp_path / "mine.yaml"))
    assert {path.name: path.read_bytes() for path in cohort.rglob("*") if path.is_file()} == before


def test_another_label_table_starts_over(cohort, started):
    calls, _ = started
    run(str(cohort))
    table = yaml.safe_load((cohort / "labels.yaml").read_text())
    table["organs"] = dict(list(table["organs"].items())[::-1])
    (cohort / "labels.yaml").write_text(yaml.safe_dump(table, sort_keys=False))
    run(str(cohort))
    assert [stage for stage, *_ in calls] == [*BY_SLICES, *BY_SLICES]


def test_changed_label_maps_are_said(cohort, started, capsys):
    run(str(cohort))
    run(str(cohort))
    assert "have changed" not in capsys.readouterr().out
    label = next(case.label for case in datalist.load(cohort) if case.label is not None)
    label.write_bytes(label.read_bytes() + b" ")
    run(str(cohort), start="evaluate")
    run(str(cohort))
    assert capsys.readouterr().out.count("scans or label maps have changed since, or were copied: ") == 2
    run(str(cohort), start="coarse")
    run(str(cohort))
    assert "have changed" not in capsys.readouterr().out
