"""Sentences: the headline of each verdict, p-values as text, and the tests used."""

import pytest

from scripts.evaluate.statistics import Comparison
from scripts.evaluate.wording import headline, p_text
from scripts.evaluate.wording import tests_in_words as how_p_was_computed


def comparison(second: float, p: float | None, smallest_p: float) -> Comparison:
    effect = 1 if second > 0.5 else -1
    return Comparison("dice", "all organs", 9, 8, 0.5, second, second - 0.5, -1, 1, effect, p, p, None, smallest_p)


@pytest.mark.parametrize(
    ("second", "p", "smallest_p", "ending"),
    [
        (0.75, 0.0078, 0.0078, "(+0.250) over 9 cases of 8 patients: better than mine beyond chance, p = 0.0078."),
        (0.25, 0.0078, 0.0078, "(-0.250) over 9 cases of 8 patients: worse than mine beyond chance, p = 0.0078."),
        (0.75, 0.25, 0.0078, "(+0.250) over 9 cases of 8 patients: cannot be told from chance, p = 0.25."),
        (0.75, 0.25, 0.25, "(+0.250) over 9 cases of 8 patients: too few patients to tell (8), p = 0.25."),
        (0.5, None, 0.0078, "(+0.000) over 9 cases of 8 patients: no difference."),
    ],
)
def test_the_headline_of_each_verdict(second: float, p: float | None, smallest_p: float, ending: str) -> None:
    sentence = headline(comparison(second, p, smallest_p), "mine", "yours")
    assert sentence == f"Mean Dice 0.500 mine, {second:.3f} yours {ending}"


def test_the_tests_are_named_in_words() -> None:
    sentence = how_p_was_computed()
    assert [part for part in ("Wilcoxon", "12 patients", "sign-flipping permutation") if part not in sentence] == []


@pytest.mark.parametrize(
    ("p", "options", "text"),
    [
        (0.0314, {}, "0.031"),
        (0.001, {}, "0.001"),
        (0.00099, {}, "< 0.001"),
        (None, {}, ""),
        (None, {"missing": "-"}, "-"),
        (0.0001, {"bound": "$<$ 0.001"}, "$<$ 0.001"),
        (0.00012, {"bound": "", "form": ".2g"}, "0.00012"),
        (0.0625, {"bound": "below 0.001", "form": ".2g"}, "0.062"),
    ],
)
def test_p_values_as_text(p: float | None, options: dict[str, str], text: str) -> None:
    assert p_text(p, **options) == text
