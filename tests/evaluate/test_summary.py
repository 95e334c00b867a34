"""The summary: means over patients, false negatives and positives, and sentences, against calculations by hand."""

import json
from dataclasses import replace

import numpy as np
import pytest

from scripts.evaluate.metrics import BY_NAME
from scripts.evaluate.rows import Row
from scripts.evaluate.summary import Summary, describe
from tests.evaluate.made import every_metric, rows_of

DICE, HD95 = BY_NAME["dice"], BY_NAME["hd95"]
GAINS = [(0.5, 0.5 + 0.01 * number) for number in range(1, 9)]


def scan(case: str, patient: str, phase: str, **dice: float) -> list[Row]:
    """Dice of one method by organ."""
    return [Row(case, patient, organ, phase, "refined", "dice", value) for organ, value in dice.items()]


def of_one_method(*rows: list[Row]) -> Summary:
    listed = [row for part in rows for row in part]
    organs, phases = (dict.fromkeys(getattr(row, name) for row in listed) for name in ("organ", "phase"))
    return Summary(listed, ("refined",), tuple(organs), tuple(phases))


def of_two(*rows: list[Row], organs: tuple[str, ...] = ("liver", "spleen")) -> Summary:
    return Summary([row for part in rows for row in part], ("coarse", "refined"), organs, ("portal", "noncontrast"))


@pytest.fixture
def scans() -> Summary:
    """Ann has two scans, of whom one has no spleen."""
    return of_one_method(
        scan("a1", "ann", "portal", liver=0.4, spleen=0.8),
        scan("a2", "ann", "noncontrast", liver=0.6),
        scan("b1", "bob", "portal", liver=0.9, spleen=0.1),
    )


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param({"organ": "liver"}, [0.5, 0.9], id="an organ"),
        pytest.param({"organ": "spleen"}, [0.8, 0.1], id="an organ one scan lacks"),
        pytest.param({}, [(0.5 + 0.8) / 2, 0.5], id="all organs"),
        pytest.param({"phase": "portal"}, [0.6, 0.5], id="a phase"),
        pytest.param({"phase": "noncontrast"}, [0.6], id="a phase of one"),
        pytest.param({"organ": "liver", "phase": "portal"}, [0.4, 0.9], id="an organ in a phase"),
        pytest.param({"organ": "aorta"}, [], id="an organ nobody has"),
    ],
)
def test_values_are_means_of_patients(scans: Summary, given: dict[str, str], expected: list[float]) -> None:
    np.testing.assert_allclose(scans.values(DICE, "refined", **given), expected)


def test_values_are_of_one_metric_and_method(scans: Summary) -> None:
    assert len(scans.values(HD95, "refined")) == len(scans.values(DICE, "coarse")) == 0


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.25], (0.25, None, 0.25, 0.25, 0.25)),
        ([1.0, 3.0], (2.0, 2**0.5, 2.0, 1.0, 3.0)),
        ([1.0, 2.0, 6.0], (3.0, 7**0.5, 2.0, 1.0, 6.0)),
    ],
)
def test_a_description_worked_by_hand(values: list[float], expected: tuple[float, ...]) -> None:
    described = describe(np.array(values))
    assert list(described) == ["mean", "sd", "median", "lowest", "highest"]
    assert tuple(described.values()) == pytest.approx(expected)


def test_means_have_one_line_per_metric_organ_and_method() -> None:
    summary = of_two(every_metric("liver", [(0.2, 0.4), (0.6, 1.0)]), organs=("liver", "aorta"))
    lines = summary.means()
    assert len(lines) == 5 * 2 * 2  # the aorta has none
    found = {(line["metric"], line["organ"], line["method"]): line for line in lines}
    refined = found["dice", "liver", "refined"]
    assert (refined["patients"], refined["mean"], refined["lowest"]) == pytest.approx((2, 0.7, 0.4))
    assert found["hd95", "all organs", "coarse"]["mean"] == pytest.approx(24)


def test_phases_have_means_of_their_own_scans(scans: Summary) -> None:
    lines = scans.by_phase()
    names = ("metric", "phase", "method", "cases", "patients")
    assert [tuple(line[name] for name in names) for line in lines] == [
        ("dice", "portal", "refined", 2, 2),
        ("dice", "noncontrast", "refined", 1, 1),
    ]
    assert [line["mean"] for line in lines] == pytest.approx([0.55, 0.6])
    assert [line["sd"] for line in lines] == [pytest.approx(0.1 / 2**0.5), None]


def test_scans_of_a_patient_are_one_patient_of_a_phase() -> None:
    rows = [*scan("a1", "ann", "portal", liver=0.4), *scan("a2", "ann", "portal", liver=0.6)]
    (line,) = of_one_method(rows, scan("b1", "bob", "portal", liver=0.9)).by_phase()
    assert (line["cases"], line["patients"], line["mean"]) == pytest.approx((3, 2, 0.7))


def test_false_negatives_and_false_positives_are_counted() -> None:
    found = {"liver": [(0.0, "missed"), (1.0, "missed"), (1.0, "missed"), (12.5, "false_positive_ml")],
             "spleen": [(0.0, "missed"), (0.0, "false_positive_ml"), (3.0, "false_positive_ml"),
                        (4.0, "false_positive_ml")]}  # fmt: skip
    rows = [
        Row(f"scan{number}", f"patient{number}", organ, "portal", "refined", metric, value)
        for organ, values in found.items()
        for number, (value, metric) in enumerate(values)
    ]
    names = ("present", "missed", "absent", "drawn_though_absent", "false_positive_ml")
    summary = Summary(rows, ("coarse", "refined"), ("liver", "spleen", "aorta"), ("portal",))
    lines = summary.detection()
    f1 = {line["organ"]: line["f1"] for line in lines if line["method"] == "refined"}
    assert f1 == {"liver": 2 / (2 + 3), "spleen": 2 / (2 + 2), "aorta": None}
    assert summary.beside("dice", "liver") == [None, 2 / (2 + 3)]
    assert summary.beside("dice", "all organs") == [None, 4 / (4 + 5)]
    counted = {(line["organ"], line["method"]): tuple(line[name] for name in names) for line in lines}
    assert counted == {
        ("liver", "coarse"): (0, 0, 0, 0, 0),
        ("liver", "refined"): (3, 2, 1, 1, 12.5),
        ("spleen", "coarse"): (0, 0, 0, 0, 0),
        ("spleen", "refined"): (1, 0, 3, 2, 7.0),
        ("aorta", "coarse"): (0, 0, 0, 0, 0),
        ("aorta", "refined"): (0, 0, 0, 0, 0),
    }


def test_the_headline_of_one_method_is_its_mean(scans: Summary) -> None:
    assert scans.headline() == "Mean Dice 0.575 over 3 cases of 2 patients (refined)."


@pytest.mark.parametrize(
    ("methods", "main"),
    [(("one",), "one"), (("one", "two"), "two"), (("one", "two", "three", "four"), "two")],
    ids=["one", "two", "four"],
)
def test_the_report_is_about_the_second_method_or_the_only_one(methods: tuple[str, ...], main: str) -> None:
    assert Summary([], methods, ("liver",), ("portal",)).main == main


def test_cases_without_any_organ_are_not_counted_in_the_headline() -> None:
    seen = scan("a1", "ann", "portal", liver=0.4)
    nothing = [replace(row, case="a2", metric="volume_ml", value=0.0) for row in seen]
    assert of_one_method(seen, nothing).headline() == "Mean Dice 0.400 over 1 case of 1 patient (refined)."


def test_the_headline_of_three_methods_is_of_the_second_against_the_first() -> None:
    rows = rows_of("liver", [(0.5, 0.6, 0.1)] * 6, ("one", "two", "three"))
    sentences = Summary(rows, ("one", "two", "three"), ("liver",), ("portal",)).headline()
    assert sentences.startswith("Mean Dice 0.500 one, 0.600 two (+0.100) over 6 cases of 6 patients: better than one")


def test_words_of_three_methods_are_about_the_second() -> None:
    two = every_metric("liver", [(0.5, 0.75), (0.5, 0.25)])
    third = [Row(**(vars(row) | {"method": "third", "value": 0.0})) for row in two if row.method == "refined"]
    more = [Row("scan9", "patient9", "liver", "portal", "third", "false_positive_ml", 9.0)]
    with_third = Summary([*two, *third, *more], ("coarse", "refined", "third"), ("liver",), ("portal",)).in_words()
    assert with_third == Summary(two, ("coarse", "refined"), ("liver",), ("portal",)).in_words()
    assert with_third[0].startswith("refined: 31.2 % of")


def test_the_content_compares_each_other_method_with_the_first() -> None:
    methods = ("one", "two", "three")
    rows = rows_of("liver", [(0.5, 0.1, 0.6), (0.4, 0.3, 0.9)], methods)
    rows += rows_of("liver", [(9.0, 1.0, 2.0), (5.0, 3.0, 4.0)], methods, metric="hd95")
    rows += rows_of("liver", [(1.0, 1.0, 1.0)] * 2, methods, metric="nsd")
    content = Summary(rows, methods, ("liver",), ("portal",)).content()
    named = [
        (line["second_method"], line["metric"], line["organ"], line["difference"]) for line in content["comparisons"]
    ]
    differences = {
        ("two", "dice"): -0.25, ("two", "nsd"): 0.0, ("two", "hd95"): -5.0,
        ("three", "dice"): 0.3, ("three", "nsd"): 0.0, ("three", "hd95"): -4.0,
    }  # fmt: skip
    assert named == [
        (method, metric, organ, pytest.approx(difference))
        for (method, metric), difference in differences.items()
        for organ in ("all organs", "liver")
    ]
    assert {line["first_method"] for line in content["comparisons"]} == {"one"}
    assert (content["cases"], content["patients"], content["methods"]) == (2, 2, list(methods))
    assert json.loads(json.dumps(content, allow_nan=False)) == content


def test_false_negatives_and_false_positives_are_put_in_words() -> None:
    false_positive = rows_of("right_kidney", [(0.0, 1.5), (2.0, 0.0), (0.0, 2.0)], metric="false_positive_ml")
    summary = of_two(
        every_metric("liver", [(0.5, 0.75), (0.5, 0.5), (0.5, 0.0)]),
        every_metric("left_kidney", [(0.9, 0.0), (0.9, 0.9), (0.9, 0.0)]),
        false_positive,
        organs=("liver", "left_kidney", "right_kidney"),
    )
    surfaces, missed, false_positives = summary.in_words()[:3]
    nsd = np.mean([0.75**2, 0.5**2, 0, 0, 0.9**2, 0])
    assert surfaces == (
        f"refined: {100 * nsd:.1f} % of the organs' surfaces lie within tolerance of the ground truth. "
        "Where an organ was found, 95 % of its surface is within 10.0 mm (median)."  # of 10, 20 and 4 mm
    )
    assert missed == "False negatives: 3 of 6 organs were missed (liver 1x, left kidney 2x)."
    assert false_positives == "False positives: 2 of 3 absent organs were segmented, 3.5 mL in total."


def test_the_median_of_distances_stands_beside_their_mean() -> None:
    summary = of_two(every_metric("liver", [(0.9, 0.9), (0.8, 0.9), (0.5, 0.0)]), organs=("liver",))
    medians = [float(np.median(summary.values(HD95, method))) for method in ("coarse", "refined")]
    assert summary.beside("hd95", "liver") == medians
    assert medians[1] < summary.values(HD95, "refined").mean()
    assert summary.beside("nsd", "liver") is None
    compared = {line["metric"]: line["beside"] for line in summary.content()["comparisons"] if line["organ"] == "liver"}
    assert compared["hd95"] == medians
    assert summary.content()["beside_headline"] == (
        f"Detection F1 1.000 coarse, 0.800 refined; "
        f"median HD95 {medians[0]:.1f} mm coarse, {medians[1]:.1f} mm refined."
    )


def test_distances_are_not_reported_when_every_organ_was_missed() -> None:
    sentences = of_two(every_metric("liver", [(0.5, 0.0), (0.5, 0.0)])).in_words()
    assert sentences[0] == "refined: 0.0 % of the organs' surfaces lie within tolerance of the ground truth."
    assert sentences[1] == "False negatives: 2 of 2 organs were missed (liver 2x)."


def test_one_method_is_not_compared_in_words() -> None:
    rows = [row for row in every_metric("liver", [(0.5, 0.75)] * 2) if row.method == "refined"]
    assert len(Summary(rows, ("refined",), ("liver",), ("portal",)).in_words()) == 2


@pytest.mark.parametrize(
    ("liver", "spleen", "expected"),
    [
        pytest.param(
            GAINS, [(b, a) for a, b in GAINS],
            ["By Dice, refined is better than coarse in 1 of 2 organs, worse in spleen.",
             "Over patients like these 8, corrected for 2 organs: better: liver; worse: spleen."],
            id="one each way",
        ),
        pytest.param(
            GAINS, [(0.5, 0.6), (0.6, 0.5)] * 4,
            ["By Dice, refined is better than coarse in 1 of 2 organs and worse in none.",
             "better: liver; undecided: spleen (-0.089 to +0.089)."],
            id="one alone",
        ),
        pytest.param(
            GAINS[:5], GAINS[:5],
            ["better than coarse in 2 of 2 organs and worse in none.", "undecided: liver (+0.010 to +0.050), spleen (",
             "no corrected p can be below 0.062, so no organ can be called better or worse."],
            id="too few",
        ),
        pytest.param(
            [(0.5, 0.504)] * 4, [(0.5, 0.5)] * 4,
            ["in 1 of 2 organs", "2 organs: equivalent: liver; no difference: spleen."], id="neither",
        ),
    ],
)  # fmt: skip
def test_comparisons_are_put_in_words(
    liver: list[tuple[float, float]], spleen: list[tuple[float, float]], expected: list[str]
) -> None:
    sentences = " ".join(of_two(every_metric("liver", liver), every_metric("spleen", spleen)).in_words()[2:])
    assert [part for part in expected if part not in sentences] == []
