"""The note of the stages that have completed; tests/test_chain.py runs them."""

from dataclasses import replace
from pathlib import Path

from scripts.cohort import datalist
from scripts.cohort.lineage import extended
from scripts.commands.chain import ALL_STAGES, Chain
from scripts.commands.stages import keep_overlay


def chain_of(cohort: Path, overlay: Path | None = None) -> Chain:
    return Chain.of(cohort, datalist.load(cohort), overlay)


def test_stages_are_done_until_the_first_that_is_not(cohort):
    chain = chain_of(cohort)
    assert chain.done(ALL_STAGES) == []
    assert not chain.begun()
    chain.note(["coarse", "train"], taught=False)
    assert chain.begun()
    assert chain.done(ALL_STAGES) == ["coarse"]
    assert chain.done(["coarse", "train", "inference"]) == ["coarse", "train"]  # nothing was pretrained


def test_an_overlay_is_the_same_before_it_is_kept_and_after(cohort, tmp_path):
    given = tmp_path / "mine.yaml"
    given.write_text("patch_size: 32\n")
    before = chain_of(cohort, given)
    assert before == chain_of(cohort, keep_overlay(given, cohort))
    assert before != chain_of(cohort)


def test_self_training_is_under_way_until_it_is_done_and_in_this_state_of_the_cohort(cohort):
    chain = chain_of(cohort)
    chain.note(["coarse"], taught=False)
    assert not chain.teaching()
    chain.note(["coarse", "pretrain", "train"], taught=True)
    assert chain.teaching()
    cases = datalist.load(cohort)
    more = replace(next(case for case in cases if case.fold is not None), id="new", patient="new", label=None)
    datalist.save([*cases, more], cohort, extends=extended(cohort, [*cases, more]))
    assert chain_of(cohort).grown()
    assert not chain_of(cohort).teaching()
    chain.note(["coarse", "pretrain", "train", "self_training"], taught=True)
    assert not chain.teaching()


def test_a_damaged_note_is_as_none(cohort):
    chain = chain_of(cohort)
    chain.note(["coarse"], taught=True)
    chain.path.write_text("{")
    assert (chain.done(ALL_STAGES), chain.begun(), chain.teaching()) == ([], False, False)
