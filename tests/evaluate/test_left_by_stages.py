"""The calibration as the report reads it: checked, and left out where it is damaged or says nothing."""

import json
from pathlib import Path
from typing import Any

import pytest

from scripts.evaluate.figures import reliability_figure
from scripts.evaluate.left_by_stages import read_calibration

JUDGED = {"ece": 0.1, "brier": 0.05, "reliability": [[0.1, 0.2, 30], [0.9, 0.7, 10]]}
WHOLE = {"raw": JUDGED, "calibrated": JUDGED | {"ece": 0.01}}


def written(folder: Path, **content: Any) -> Path:
    note = {"made_of": "queries of held-out patients", "weights": "a", "scales": {}, **content}
    (folder / "model.calibration.json").write_text(json.dumps(note))
    return folder


def test_the_quality_of_organs_that_have_one_is_read(tmp_path: Path) -> None:
    nothing = {"raw": {}, "calibrated": {}}
    found = read_calibration(written(tmp_path, quality={"all organs": WHOLE, "liver": WHOLE, "aorta": nothing}))
    assert found == {"made_of": "queries of held-out patients", "quality": {"all organs": WHOLE, "liver": WHOLE}}


@pytest.mark.parametrize("content", [{}, {"quality": {}}, {"quality": {"liver": WHOLE}}])
def test_a_calibration_without_quality_says_nothing(tmp_path: Path, content: dict[str, Any]) -> None:
    assert read_calibration(written(tmp_path, **content)) is None
    assert read_calibration(tmp_path / "nowhere") is None


@pytest.mark.parametrize(
    "content",
    [
        {"quality": {"all organs": WHOLE}, "made_of": 3},
        {"quality": {"all organs": WHOLE | {"raw": JUDGED | {"ece": "nan"}}}},
        {"quality": {"all organs": WHOLE | {"raw": JUDGED | {"ece": "<b>"}}}},
        {"quality": {"all organs": WHOLE | {"raw": JUDGED | {"reliability": [[1, 2]]}}}},
        {"quality": [1]},
    ],
)
def test_a_damaged_calibration_is_left_out_with_a_warning(
    tmp_path: Path, content: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert read_calibration(written(tmp_path, **content)) is None
    assert "cannot be used and is left out" in capsys.readouterr().err


def test_the_reliability_diagram_names_the_errors() -> None:
    figure = reliability_figure(WHOLE)
    assert "network: ECE 0.100" in figure
    assert "calibrated: ECE 0.010" in figure
