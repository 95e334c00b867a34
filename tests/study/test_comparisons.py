"""Comparisons of a study: corrections over tables, the least p, verdicts, folds and organs."""

from dataclasses import replace

import numpy as np
import pytest

from scripts.evaluate.step_down import holm, max_t
from scripts.study.comparisons import Measured, compare_contrasts, compare_organs
from scripts.study.contrasts import Contrast
from scripts.study.crossed import fold_means

from .test_crossed import draw

ARMS = ("a", "b", "c", "d", "e", "f")
AB, AC, DB = Contrast("a", ("b",)), Contrast("a", ("c",)), Contrast("d", ("b",))


def table(seed: int, shift: float = 0.0, shape: tuple[int, int] = (5, 22), name: str = "all") -> Measured:
    values = draw(np.random.default_rng(seed), 1, 6, *shape)[0]
    values[0] += shift
    return Measured(name, ARMS, values)


def test_named_contrasts_of_all_tables_are_corrected_together_and_others_by_themselves():
    tables = [table(0, 0.02, name="10 %"), table(1, 0.02, name="100 %")]
    found = compare_contrasts(tables, [AB, AC], [AB, DB, DB])
    assert [(one.table, one.contrast, one.named) for one in found] == [
        ("10 %", AB, True), ("10 %", AC, True), ("100 %", AB, True), ("100 %", AC, True),
        ("10 %", DB, False), ("100 %", DB, False),
    ]  # fmt: skip
    for listed in (found[:4], found[4:]):
        assert [one.p_corrected for one in listed] == holm([one.p for one in listed])


def test_a_contrast_is_left_out_of_a_table_without_its_arms():
    assert compare_contrasts([table(0)], [Contrast("a", ("b", "z"))]) == []


@pytest.mark.parametrize(("seeds", "least"), [(3, 0.01), (4, 0.01), (5, 0.0)])
def test_fewer_than_five_seeds_claim_no_p_below_a_hundredth(seeds, least):
    one = compare_contrasts([table(2, 1.0, (seeds, 22))], [AB])[0]
    assert one.tested.p < 1e-6
    assert (one.p, one.p_corrected) == ((least, least) if least else (one.tested.p, one.tested.p))
    assert one.p_note == ("p not below 0.01: fewer than 5 seeds" if least else "")
    assert one.verdict == "better"


@pytest.mark.parametrize(
    ("shift", "verdict"),
    [(0.1, "better"), (-0.1, "worse"), (0.0, "undecided (between ")],
)
def test_verdicts(shift, verdict):
    assert compare_contrasts([table(3, shift)], [AB])[0].verdict.startswith(verdict)


def test_what_is_certain_to_be_small_is_equivalent():
    values = 0.1 * draw(np.random.default_rng(4), 1, 6, 5, 40)[0]
    values[0] += 0.004
    one = compare_contrasts([Measured("all", ARMS, values)], [AB])[0]
    assert one.tested.low > 0
    assert one.significant
    assert one.verdict == "equivalent (within 0.01)"
    assert one.tested.equivalent > 0.99


@pytest.mark.parametrize(("shape", "words"), [((1, 22), "one seed"), ((3, 1), "one patient or fold")])
def test_one_seed_or_one_patient_leaves_it_undecided(shape, words):
    measured = table(5, 0.5, shape)
    one = compare_contrasts([measured], [Contrast("a", ("b", "c"))])[0]
    assert (one.tested, one.p, one.p_corrected) == (None, None, None)
    assert words in one.verdict
    means = measured.values.mean((1, 2))
    assert one.difference == pytest.approx(means[0] - max(means[1:3]))


def test_folds_take_the_place_of_patients():
    measured, folds = table(6), [number % 4 for number in range(22)]
    with_folds = Measured("all", ARMS, measured.values, folds=folds)
    as_patients = Measured("all", ARMS, fold_means(measured.values, folds))
    found, expected = (compare_contrasts([one], [AB])[0].tested for one in (with_folds, as_patients))
    assert found.against == expected.against
    assert [*vars(found).values()][1:] == pytest.approx([*vars(expected).values()][1:])
    assert compare_contrasts([with_folds], [AB])[0].patients == 22


def test_organs_leave_out_the_patients_who_lack_them():
    measured = table(7)
    liver = measured.values.copy()
    liver[:, :, :4] = np.nan
    of_organs = Measured("all", ARMS, measured.values, organs={"liver": liver, "spleen": measured.values})
    found = {one.organ: one for one in compare_organs(of_organs, AB)}
    alone = compare_contrasts([Measured("all", ARMS, measured.values[..., 4:])], [AB])[0]
    assert (found["liver"].patients, found["spleen"].patients) == (18, 22)
    assert alone.tested is not None
    assert found["liver"].tested == replace(alone.tested, detectable=found["liver"].tested.detectable)
    assert found["liver"].tested.detectable > alone.tested.detectable  # of two organs
    assert [one.p_corrected for one in found.values()] == holm([one.p for one in found.values()])


# how often it errs


def test_six_equal_arms_are_rarely_called_different():
    """Two tables, all arms against the first; Holm over both."""
    rng, contrasts, count = np.random.default_rng(8), [Contrast(arm, ("a",)) for arm in ARMS[1:]], 600
    found = {"significant": 0, "better": 0, "by itself": 0}
    for pair in draw(rng, 2 * count, 6, 3, 22).reshape(count, 2, 6, 3, 22):
        lines = compare_contrasts(
            [Measured(str(number), ARMS, values) for number, values in enumerate(pair)], [], contrasts
        )
        found["significant"] += any(one.significant for one in lines)
        found["better"] += any(one.verdict.startswith("better") for one in lines)
        found["by itself"] += any(one.tested.p < 0.05 for one in lines)
    print({name: f"{number / count:.1%} of studies" for name, number in found.items()})
    assert found["significant"] / count < 0.065
    assert found["better"] / count < 0.05
    assert found["by itself"] / count > 0.25


@pytest.mark.parametrize(("seeds", "patients"), [(3, 9), (3, 104)])
def test_organs_are_not_called_different_by_the_seeds(seeds, patients):
    """13 organs that do not differ: pooled errors with Holm, and max-T over patients, which does not see seeds."""
    rng, organs, wrong, by_patients, count = np.random.default_rng(9), range(13), 0, 0, 200
    for _ in range(count):
        values = draw(rng, 13, 6, seeds, patients) + draw(rng, 1, 6, seeds, patients)  # organs resemble each other
        measured = Measured("all", ARMS, values.mean(0), organs={str(number): values[number] for number in organs})
        wrong += any(one.significant for one in compare_organs(measured, AB))
        by_patients += min(max_t((values[:, 0] - values[:, 1]).mean(1).T)) < 0.05
    print(f"{seeds} seeds, {patients} patients, 13 organs: {wrong / count:.1%}; max-T {by_patients / count:.1%}")
    assert wrong / count < 0.085
    assert by_patients / count > (0.08 if patients == 9 else 0.8)


def test_tables_that_a_study_was_started_with_count_where_they_are_left_out():
    both = compare_contrasts([table(6, 0.01, name="two"), table(9, name="four")], [AB, AC])
    one = compare_contrasts([table(6, 0.01, name="two")], [AB, AC], missing=1)
    alone = compare_contrasts([table(6, 0.01, name="two")], [AB, AC])
    assert [len(found) for found in (both, one, alone)] == [4, 2, 2]
    assert one[0].p_corrected >= both[0].p_corrected > alone[0].p_corrected
    assert one[0].tested.detectable == both[0].tested.detectable > alone[0].tested.detectable
