"""Sentences: the headline of each verdict, p-values as text, and the tests used."""

import pytest

from scripts.evaluate.statistics import ALL, Comparison
from scripts.evaluate.wording import headline, p_text
from scripts.evaluate.wording import tests_in_words as how_p_was_computed


def comparison(low: float | None, high: float | None) -> Comparison:
    second = 0.5 if low is None or high is None else 0.5 + (low + high) / 2
    return Comparison("dice", ALL, 9, 8, 0.5, second, second - 0.5, low, high, 1, 0.5, 0.5, None, 0.01)


@pytest.mark.parametrize(
    ("low", "high", "ending"),
    [
        (0.2, 0.3, "0.750 yours (+0.250) over 9 cases of 8 patients: "
                   "better than mine, 95 % interval +0.200 to +0.300."),
        (-0.3, -0.2, "0.250 yours (-0.250) over 9 cases of 8 patients: "
                     "worse than mine, 95 % interval -0.300 to -0.200."),
        (0.002, 0.022, "0.512 yours (+0.012) over 9 cases of 8 patients: "
                       "better than mine, perhaps by less than 0.01, 95 % interval +0.002 to +0.022."),
        (-0.001, 0.003, "0.501 yours (+0.001) over 9 cases of 8 patients: "
                        "equivalent (within 0.01), 95 % interval -0.001 to +0.003."),
        (-0.1, 0.2, "0.550 yours (+0.050) over 9 cases of 8 patients: undecided (between -0.100 and +0.200)."),
        (0.0, 0.0, "0.500 yours (+0.000) over 9 cases of 8 patients: no difference."),
        (None, None, "0.500 yours (+0.000) over 9 cases of 8 patients: "
                     "undecided (one patient: variation between patients unknown)."),
    ],
)  # fmt: skip
def test_the_headline_of_each_verdict(low: float | None, high: float | None, ending: str) -> None:
    assert headline(comparison(low, high), "mine", "yours") == f"Mean Dice 0.500 mine, {ending}"


def test_the_tests_are_named_in_words() -> None:
    sentence = how_p_was_computed()
    assert [
        part for part in ("Wilcoxon", "12 patients", "sign-flipping permutation", "max-T") if part not in sentence
    ] == []


@pytest.mark.parametrize(
    ("p", "options", "text"),
    [
        (0.0314, {}, "0.031"),
        (0.001, {}, "0.001"),
        (0.00099, {}, "< 0.001"),
        (None, {}, ""),
        (None, {"missing": "-"}, "-"),
    ],
)
def test_p_values_as_text(p: float | None, options: dict[str, str], text: str) -> None:
    assert p_text(p, **options) == text
