"""Predictions of an earlier run: kept if up to date, else made again."""

import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ignite.engine import Engine, Events

from scripts.cohort.case import Case
from scripts.cohort.label_table import LabelTable
from scripts.errors import SemclError
from scripts.intake.given_maps import ToolMaps
from scripts.job.job import Job
from scripts.refine.predictions import Predictions
from tests.conftest import write_nifti

NAMES = ("a", "b", "c")
MINUTE = 60


class Inference:
    """Three cases, their attention, weights and calibration, a minute old; an evaluator that writes what is missing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        voxels = np.zeros((2, 2, 2), np.uint8)
        for name in NAMES:
            write_nifti(folder / "scans" / f"{name}.nii.gz", voxels)
            write_nifti(folder / "attention" / f"{name}.nii.gz", voxels)
        (folder / "model.pt").write_bytes(b"weights")
        (folder / "model.calibration.json").write_bytes(b"calibration")
        (folder / "coarse.pt").write_bytes(b"coarse weights")
        self.config: dict[str, Any] = {"threshold": 0.5}
        self.origin = {"stage": "inference.yaml", "cohort": "a1b2c3", "labels": "d4e5f6"}
        self.scans, self.names = "scans", NAMES
        self.unreadable: tuple[str, ...] = ()
        self.given: dict[str, Any] = {}
        for path in folder.rglob("*.*"):
            age(path, MINUTE)

    def predictions(self) -> Predictions:
        cases = [Case(name, name, "portal", self.folder / self.scans / f"{name}.nii.gz") for name in self.names]
        job = Job("inference", "bundle", str(self.folder / "out"), self.origin, 0)
        job.config = self.config
        folders = str(self.folder / "predictions"), str(self.folder / "attention")
        coarse = str(self.folder / "coarse.pt")
        weights = [str(self.folder / "model.pt")]
        return Predictions(folders[0], cases, weights, folders[1], job, coarse=coarse, **self.given)

    def run(self, stop_after: int = 3) -> list[str]:
        """Run it; the cases that were predicted."""
        predictions = self.predictions()
        missing, done = predictions.missing(), []

        def predict(engine: Engine, case: Case) -> list[dict[str, Any]]:
            if len(done) == stop_after:
                raise KeyboardInterrupt
            engine.state.batch = [{"case": case}]
            return [{"failed": "unreadable"} if case.id in self.unreadable else {}]

        def write(engine: Engine) -> None:
            case = engine.state.batch[0]["case"]
            if case.id not in self.unreadable:
                predictions.path(case).write_bytes(b"a prediction")
                done.append(case.id)

        evaluator = Engine(predict)
        predictions.attach(evaluator)
        evaluator.add_event_handler(Events.ITERATION_COMPLETED, write)
        whole_run = evaluator.run
        evaluator.run = lambda: whole_run(missing)  # type: ignore[method-assign]
        with suppress(KeyboardInterrupt):
            predictions.run(evaluator)
        return done

    def section(self, section: str, *names: str) -> None:
        """Go on with the cases of another section."""
        self.names, self.config = names, self.config | {"section": section}

    def there(self) -> list[str]:
        return sorted(path.name[0] for path in (self.folder / "predictions").glob("*.nii.gz"))


def age(path: Path, seconds: float) -> None:
    """Make a file look older (or, negative, newer) than it is."""
    stamp = path.stat().st_mtime_ns - int(seconds * 10**9)
    os.utime(path, ns=(stamp, stamp))


@pytest.fixture
def inference(tmp_path: Path) -> Inference:
    return Inference(tmp_path)


def test_all_predictions_are_missing_at_first(inference: Inference) -> None:
    assert [case.id for case in inference.predictions().missing()] == list(NAMES)
    assert inference.run() == list(NAMES)
    assert inference.there() == list(NAMES)


def test_up_to_date_predictions_are_kept(inference: Inference, capsys: pytest.CaptureFixture[str]) -> None:
    inference.run()
    assert inference.run() == []
    assert "3 of 3 predictions are up to date and kept" in capsys.readouterr().out


def test_an_interrupted_run_continues_with_the_missing_cases(
    inference: Inference, capsys: pytest.CaptureFixture[str]
) -> None:
    assert inference.run(stop_after=2) == ["a", "b"]
    assert inference.run() == ["c"]
    assert "2 of 3 predictions are up to date and kept" in capsys.readouterr().out


def test_a_removed_prediction_is_made_again(inference: Inference) -> None:
    inference.run()
    (inference.folder / "predictions" / "b.nii.gz").unlink()
    assert inference.run() == ["b"]


def other_weights(inference: Inference) -> None:
    (inference.folder / "model.pt").write_bytes(b"WEIGHTS")


def other_calibration(inference: Inference) -> None:
    (inference.folder / "model.calibration.json").write_bytes(b"CALIBRATION")


def no_calibration(inference: Inference) -> None:
    (inference.folder / "model.calibration.json").unlink()


def other_config(inference: Inference) -> None:
    inference.config = {"threshold": 0.4}


def other_labels(inference: Inference) -> None:
    inference.origin = inference.origin | {"labels": "999999"}


def no_note(inference: Inference) -> None:
    (inference.folder / "predictions" / "predictions.json").unlink()


def other_resampling(inference: Inference) -> None:
    note = inference.folder / "predictions" / "predictions.json"
    note.write_text(note.read_text().replace('"resampling": ', '"resampling": 1'))


def damaged_note(inference: Inference) -> None:
    (inference.folder / "predictions" / "predictions.json").write_text("{")


def other_scans(inference: Inference) -> None:
    for name in NAMES:
        path = write_nifti(inference.folder / "others" / f"{name}.nii.gz", np.ones((2, 2, 2), np.uint8))
        age(path, MINUTE)
    inference.scans = "others"


def other_maps(inference: Inference) -> None:
    for name in NAMES:
        age(write_nifti(inference.folder / "attention" / f"{name}.nii.gz", np.ones((2, 2, 2), np.uint8)), MINUTE)


ALL: list[Callable[[Inference], None]] = [
    other_weights,
    other_calibration,
    no_calibration,
    other_config,
    other_labels,
    no_note,
    other_resampling,
    damaged_note,
    other_scans,
    other_maps,
]


@pytest.mark.parametrize("change", ALL, ids=lambda change: change.__name__)
def test_outdated_predictions_are_made_again(inference: Inference, change: Callable[[Inference], None]) -> None:
    inference.run()
    change(inference)
    assert inference.run() == list(NAMES)
    assert inference.run() == []


@pytest.mark.parametrize("kind", ["scans", "attention"])
def test_a_prediction_older_than_its_sources_is_made_again(inference: Inference, kind: str) -> None:
    inference.run()
    age(inference.folder / kind / "b.nii.gz", -2 * MINUTE)
    age(inference.folder / "predictions" / "a.nii.gz", -1)
    missing = [case.id for case in inference.predictions().missing()]
    assert missing == ["b"]


def test_a_case_without_attention_map_is_as_new_as_its_scan(inference: Inference) -> None:
    (inference.folder / "attention" / "b.nii.gz").unlink()
    inference.run()
    assert inference.run() == []


def test_other_coarse_weights_outdate_what_was_made_without_an_attention_map(inference: Inference) -> None:
    (inference.folder / "attention" / "b.nii.gz").unlink()
    inference.run()
    (inference.folder / "coarse.pt").write_bytes(b"COARSE WEIGHTS")
    age(inference.folder / "coarse.pt", MINUTE)
    assert inference.run() == ["b"]
    assert inference.run() == []


def test_other_organs_for_the_numbers_of_a_tool_make_them_again(inference: Inference) -> None:
    def give(names: str) -> None:
        path = inference.folder / "names.yaml"
        path.write_text(names)
        table = LabelTable.parse({"organs": {"liver": 1, "spleen": 2}, "phases": ["portal"]})
        inference.given = {"tool": ToolMaps(str(inference.folder / "attention"), str(path), table, None, "made")}

    give("1: liver\n2: spleen\n")
    assert inference.run() == list(NAMES)
    assert inference.run() == []
    give("1: spleen\n2: liver\n")
    assert inference.run() == list(NAMES)


def test_maps_that_a_command_makes_meanwhile_outdate_nothing(inference: Inference) -> None:
    table = LabelTable.parse({"organs": {"liver": 1}, "phases": ["portal"]})
    made = inference.folder / "tool_maps"
    tool = ToolMaps(None, "totalsegmentator", table, "cp {image} {out}", str(made))
    inference.given = {"tool": tool}
    assert inference.run(stop_after=1) == ["a"]
    for name in NAMES:  # as the command does when a scan is read
        age(write_nifti(made / f"{name}.nii.gz", np.ones((2, 2, 2), np.uint8)), MINUTE)
    assert [case.id for case in inference.predictions().missing()] == ["b", "c"]
    assert inference.run() == ["b", "c"]
    assert inference.run() == []


def test_a_series_without_the_segmentation_that_is_wanted_is_segmented_again(inference: Inference) -> None:
    series = inference.folder / "scans" / "b.nii.gz"
    series.unlink()
    series.mkdir()
    (series / "1.dcm").write_bytes(b"a slice")
    for path in (series / "1.dcm", series):
        age(path, MINUTE)
    inference.run()
    for name in NAMES:
        write_nifti(inference.folder / "predictions" / f"{name}.nii.gz", np.full((2, 2, 2), name == "b", np.uint8))
    assert inference.run() == []
    inference.given = {"dicom_seg": True}
    assert inference.run() == ["b"]
    write_nifti(inference.folder / "predictions" / "b.nii.gz", np.ones((2, 2, 2), np.uint8))
    (inference.folder / "predictions" / "b.dcm").write_bytes(b"a segmentation")
    assert inference.run() == []
    (inference.folder / "predictions" / "b.dcm").unlink()
    write_nifti(inference.folder / "predictions" / "b.nii.gz", np.zeros((2, 2, 2), np.uint8))
    assert inference.run() == []  # there is nothing to write


def test_a_prediction_is_made_again_without_the_attention_map_it_was_made_from(inference: Inference) -> None:
    inference.run()
    (inference.folder / "attention" / "b.nii.gz").unlink()
    assert inference.run() == ["b"]
    assert inference.run() == []


def test_a_calibration_where_there_was_none_makes_them_again(inference: Inference) -> None:
    no_calibration(inference)
    inference.run()
    assert inference.run() == []
    other_calibration(inference)
    assert inference.run() == list(NAMES)


def test_predictions_of_two_weights_never_lie_side_by_side(inference: Inference) -> None:
    inference.run()
    other_weights(inference)
    assert inference.run(stop_after=1) == ["a"]
    assert inference.there() == ["a"]
    assert inference.run() == ["b", "c"]


def kept(inference: Inference) -> list[str]:
    return sorted(path.name[0] for path in (inference.folder / "predictions" / ".previous").glob("*/*.nii.gz"))


def test_predictions_of_other_weights_are_kept_until_all_are_made_again(
    inference: Inference, capsys: pytest.CaptureFixture[str]
) -> None:
    inference.run()
    other_weights(inference)
    assert inference.run(stop_after=1) == ["a"]
    assert kept(inference) == ["a", "b", "c"]
    assert "3 outdated predictions are in" in capsys.readouterr().out
    other_calibration(inference)
    assert inference.run(stop_after=1) == ["a"]  # fails a second time: nothing that was kept is lost
    assert kept(inference) == ["a", "a", "b", "c"]
    assert inference.run() == ["b", "c"]
    assert kept(inference) == []


def test_predictions_of_other_weights_do_not_stay_for_cases_of_another_section(inference: Inference) -> None:
    inference.section("testing", "a", "b")
    inference.run()
    other_weights(inference)
    inference.section("unlabelled", "c")
    assert inference.run() == ["c"]
    assert (inference.there(), kept(inference)) == (["c"], ["a", "b"])  # kept: they have no new one
    assert inference.run() == []
    assert kept(inference) == ["a", "b"]
    inference.section("testing", "a", "b")
    assert inference.run() == ["a", "b"]
    assert (inference.there(), kept(inference)) == (["a", "b", "c"], [])


def test_another_section_alone_outdates_nothing(inference: Inference) -> None:
    inference.section("testing", "a", "b")
    inference.run()
    inference.section("unlabelled", "c")
    assert inference.run() == ["c"]
    inference.section("all", *NAMES)
    assert inference.run() == []
    assert inference.there() == list(NAMES)


def test_files_beside_a_prediction_are_set_aside_with_it(inference: Inference) -> None:
    inference.run()
    folder = inference.folder / "predictions"
    for name in ("a.dcm", "a.quality.json", "b.quality.json"):
        (folder / name).write_bytes(b"of the old weights")
    other_weights(inference)
    inference.unreadable = ("a",)
    inference.run()
    assert sorted(path.name for path in folder.iterdir() if path.name[0] != ".") == [
        "b.nii.gz",
        "c.nii.gz",
        "predictions.json",
    ]
    assert sorted(path.name for path in folder.glob(".previous/*/a.*")) == ["a.dcm", "a.nii.gz", "a.quality.json"]


def test_a_run_that_fails_before_its_first_prediction_removes_none(inference: Inference) -> None:
    inference.run()
    before = {path: path.read_bytes() for path in (inference.folder / "predictions").iterdir()}
    other_weights(inference)
    assert inference.run(stop_after=0) == []
    inference.unreadable = NAMES
    assert inference.run() == []
    assert {path: path.read_bytes() for path in (inference.folder / "predictions").iterdir()} == before


def test_a_case_that_cannot_be_read_keeps_no_prediction_of_other_weights(inference: Inference) -> None:
    inference.run()
    other_weights(inference)
    inference.unreadable = ("a",)
    assert inference.run() == ["b", "c"]
    assert inference.there() == ["b", "c"]
    assert kept(inference) == ["a", "b", "c"]


def test_a_folder_without_a_marker_is_refused(inference: Inference) -> None:
    inference.run()
    (inference.folder / "predictions" / ".semcl.json").unlink()
    with pytest.raises(SemclError, match=r"(?s)not this stage's own.*--prediction_dir at a new folder"):
        inference.run()


def test_predictions_do_not_lie_among_attention_maps(inference: Inference) -> None:
    predictions = inference.predictions()
    predictions.attention_dir = str(inference.folder / "scans" / ".." / "predictions")
    with pytest.raises(SemclError, match="predictions would lie among the attention maps"):
        predictions.run(None)  # type: ignore[arg-type]  # refused before it runs


def test_the_note_records_weights_and_config(inference: Inference) -> None:
    inference.run()
    note = json.loads((inference.folder / "predictions" / "predictions.json").read_text())
    assert set(note) >= {"weights", "config"}
    other_weights(inference)
    inference.run()
    assert json.loads((inference.folder / "predictions" / "predictions.json").read_text()) != note


def test_without_anything_to_do_the_evaluator_is_not_run(inference: Inference) -> None:
    inference.run()
    predictions = inference.predictions()
    predictions.run(None)  # type: ignore[arg-type]  # nothing that could run
    assert inference.there() == list(NAMES)
