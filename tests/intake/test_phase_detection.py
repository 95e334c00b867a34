"""Phases: their sources, and the order of precedence."""

from pathlib import Path

import pytest

from scripts.errors import SemclError
from scripts.intake.phase_detection import compile_pattern, phase_of, tagged

PHASES = ("noncontrast", "arterial", "portal")


@pytest.mark.parametrize(
    ("description", "agent", "expected"),
    [
        ("Abdomen PORTAL 3.0", "Iomeron", "portal"),
        ("Thx/Abd venous 5mm", "", "portal"),
        ("art. 1.0 B30f", "", "arterial"),
        ("Non-Contrast", "", "noncontrast"),
        ("Abd w/o", "", "noncontrast"),
        ("Abd nativ", "Iomeron 350", None),
        ("arterial + portal", "", None),
        ("CT Body 3.0", "Iomeron", None),
        ("particular", "", None),
        ("", "", None),
    ],
)
def test_a_series_description_names_one_phase_or_none(description, agent, expected):
    assert tagged({"description": description, "agent": agent}, PHASES) == expected


def test_the_table_of_cases_comes_before_the_name_and_the_name_before_the_tags():
    path, pattern, tags = Path("x_arterial.nii"), compile_pattern("_([a-z]+)"), {"description": "portal"}
    assert phase_of(path, "noncontrast", PHASES, pattern, tags) == "noncontrast"
    assert phase_of(path, None, PHASES, pattern, tags) == "arterial"
    assert phase_of(path, None, PHASES, None, tags) == "portal"
    assert phase_of(path, None, PHASES, None, {}) == "unknown"
    assert phase_of(path, None, ("mr",), None, {}) == "mr"


@pytest.mark.parametrize("pattern", ["portal", "(a)(b)", "(a"])
def test_a_pattern_without_one_group_is_refused(pattern):
    with pytest.raises(SemclError, match=r"(?s)phase pattern cannot be used.*one group"):
        compile_pattern(pattern)
