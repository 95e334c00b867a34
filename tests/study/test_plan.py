"""Plans: units, stages, and the settings that reveal a changed study."""

import itertools
import json
from dataclasses import replace
from pathlib import Path

import pytest

from scripts.cohort import datalist
from scripts.errors import SemclError
from scripts.study.cells import parse_cells
from scripts.study.plan import Plan, hash_data, steps
from scripts.study.strategy import find_strategies, swept
from tests.study.made import BUNDLE, copied_bundle, made_plan, overlay, strategy_of

# units


def test_units_are_every_strategy_of_every_seed_and_split(tmp_path):
    plan = made_plan(tmp_path, folds=3)
    units = plan.units()
    assert [(unit.seed, unit.split, unit.strategy.name) for unit in units] == list(
        itertools.product((0, 1), plan.splits, ("scratch", "semantic"))
    )
    folders = [str(unit.folder) for unit in units]
    assert len(set(folders)) == len(folders) == 12
    assert not any(one != other and other.startswith(f"{one}/") for one in folders for other in folders)


def test_units_of_similar_names_have_folders_of_their_own(tmp_path):
    names = ("a b", "a_b", "a%20b", "a")
    found = [strategy_of(tmp_path, name, "temperature: 0.2") for name in names]
    found += swept(found[-1:], "compile_mode=../../x,b/c", BUNDLE)
    units = made_plan(tmp_path / "made", strategies=tuple(found), seeds=1).units()
    assert len({unit.folder for unit in units}) == 6
    assert {unit.folder.parent.parent for unit in units} == {tmp_path / "made" / "study" / "runs" / "own"}


# stages


def test_the_stages_of_a_unit(tmp_path):
    plan = made_plan(tmp_path, cells=parse_cells(["frozen", "tuned"], ["10%"]), overlays=(tmp_path / "fast.yaml",))
    semantic = plan.units()[3]
    found = steps(plan, semantic)
    assert [step["title"] for step in found] == [
        "pretrain", "embed",
        "frozen-10% train", "frozen-10% inference", "tuned-10% train", "tuned-10% inference",
    ]  # fmt: skip
    for step in found:
        assert step["files"] == [
            str(BUNDLE / "configs" / f"{step['stage']}.yaml"), str(tmp_path / "fast.yaml"),
            str(BUNDLE / "configs" / "strategies" / "semantic.yaml"),
        ]  # fmt: skip
        given = step["overrides"]
        assert (given["seed"], given["dataset_dir"]) == (1, str(plan.splits["own"]))
        assert given["attention_dir"] == str(tmp_path / "cohort" / "attention")
    train = {step["title"]: step["overrides"] for step in found if step["stage"] == "train"}
    assert [train[f"{name}-10% train"]["freeze_encoder"] for name in ("frozen", "tuned")] == [True, False]
    assert {given["labelled"] for given in train.values()} == {0.1}
    assert {given["encoder_weights"] for given in train.values()} == {str(semantic.folder / "models" / "encoder.pt")}
    assert len({step["overrides"]["output_dir"] for step in found}) == 3


def test_without_pretraining_the_encoder_s_start_is_the_overlay_s(tmp_path):
    plan = made_plan(tmp_path)
    found = steps(plan, plan.units()[0])
    assert [step["stage"] for step in found] == ["train", "inference"]
    assert not any("encoder_weights" in step["overrides"] for step in found)


def test_a_strategy_that_trains_itself_learns_from_a_first_model_s_predictions_on_unlabelled_scans(tmp_path):
    plan = made_plan(
        tmp_path, strategies=tuple(find_strategies(["semantic-self"], BUNDLE)), cells=parse_cells(["tuned"], ["50%"])
    )
    unit = plan.units()[0]
    found = [step for step in steps(plan, unit) if step["stage"] in ("train", "inference")]
    assert [step["stage"] for step in found] == ["train", "inference"] * 2
    first, predicting, second, last = (step["overrides"] for step in found)
    cell = unit.cell_folder(plan.cells[0])
    assert (first["output_dir"], second["output_dir"]) == (str(cell / "first"), str(cell))
    assert predicting["output_dir"] == first["output_dir"]
    assert predicting["section"] == "unlabelled"
    assert "certain" not in predicting
    assert second["pseudo_dir"] == str(cell / "first" / "predictions")
    assert second["store_dir"] != first["store_dir"]
    assert "pseudo_dir" not in first
    assert (last["output_dir"], last["certain"], "section" in last) == (str(cell), None, False)
    same = ("freeze_encoder", "labelled", "encoder_weights", "seed")
    assert [first[key] for key in same] == [second[key] for key in same]


def test_a_strategy_that_trains_itself_needs_unlabelled_scans(tmp_path):
    plan = made_plan(tmp_path, strategies=tuple(find_strategies(["semantic-self"], BUNDLE)))
    cases = datalist.load(plan.splits["own"])
    datalist.save([case for case in cases if case.label], plan.splits["own"])
    with pytest.raises(SemclError, match=r"(?s)semantic-self.*no training scan without a label map.*labelled_phases"):
        plan.check()


def test_a_key_inside_of_another_that_a_stage_does_not_have_is_named(tmp_path):
    views = strategy_of(tmp_path, "views", "train#views#rotation: 3.0")
    with pytest.raises(SemclError, match=r"(?s)views: embed has no place for train#views#rotation.*--sweep pretrain\."):
        made_plan(tmp_path, strategies=(views,)).check()
    turned = swept(find_strategies(["semantic"], BUNDLE), "pretrain.train#views#rotation=3.0,4.0", BUNDLE)
    made_plan(tmp_path / "swept", strategies=tuple(turned)).check()


def test_strategies_that_cut_other_queries_have_stores_of_their_own(tmp_path):
    small = strategy_of(tmp_path, "small", "patch_size: 32")
    at = swept(find_strategies(["semantic"], BUNDLE), "spacing=2,3", BUNDLE)
    warm = swept(find_strategies(["semantic"], BUNDLE), "temperature=2,3", BUNDLE)
    plan = made_plan(tmp_path, strategies=(*find_strategies(["scratch", "dcc"], BUNDLE), small, *at, *warm), seeds=1)
    stores = {
        unit.strategy.name: {step["overrides"].get("store_dir") for step in steps(plan, unit)} - {None}
        for unit in plan.units()
    }
    assert {len(store) for store in stores.values()} == {1}
    names = {name: Path(*store).name for name, store in stores.items()}
    assert [name for name, store in names.items() if store == "store"] == [
        "scratch", "dcc", "semantic temperature=2", "semantic temperature=3",
    ]  # fmt: skip
    assert len(set(names.values())) == 4


# settings


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return made_plan(tmp_path, copied_bundle(tmp_path / "bundle"), overlays=(overlay(tmp_path, "mine", "amp: false"),))


def settings(plan: Plan, unit: int = 1) -> dict[str, object]:
    """The settings of a unit, 0 for scratch and 1 for semantic, as files now are."""
    again = replace(plan, data=hash_data(plan.splits, plan.attention_dir))
    return json.loads(json.dumps(again.settings(again.units()[unit])))


def edit(path: Path, before: str, after: str) -> None:
    assert before in path.read_text()
    path.write_text(path.read_text().replace(before, after))


USED = {
    "a stage's number": ("bundle/configs/train.yaml", "margin: 8", "margin: 9", "train.yaml"),
    "a shared number": ("bundle/configs/common.yaml", "patch_size: 64", "patch_size: 32", "common.yaml"),
    "the overlay": ("mine.yaml", "false", "true", "overlays"),
    "the strategy": ("bundle/configs/strategies/semantic.yaml", "cluster", "object", "strategy"),
    "an attention map": ("cohort/attention/p8_noncontrast.nii.gz", "attention", "Attention", "cohort"),
    "a label map": ("cohort/labels/p0_portal.nii.gz", "labels", "Labels", "cohort"),
    "who is trained on": ("study/splits/own/datalist.json", '"fold": 1', '"fold": 2', "cohort"),
    "the label table": ("study/splits/own/labels.yaml", "index: 5", "index: 6", "cohort"),
}


@pytest.mark.parametrize(("file", "before", "after", "changed"), USED.values(), ids=USED.keys())
def test_settings_change_with_what_is_used(plan, tmp_path, file, before, after, changed):
    was = settings(plan)
    edit(tmp_path / file, before, after)
    now = settings(plan)
    assert [name for name in was if was[name] != now[name]] == [changed]


UNUSED = {
    "a comment": ("bundle/configs/train.yaml", "# voxels read around", "# voxels around"),
    "the coarse stage": ("bundle/configs/coarse.yaml", "batch_size: 1", "batch_size: 2"),
    "evaluation": ("bundle/configs/evaluate.yaml", "pictures: 5", "pictures: 6"),
    "another strategy": ("bundle/configs/strategies/dcc.yaml", "query", "object"),
    "another preset": ("bundle/configs/fast.yaml", "8", "9"),
}


@pytest.mark.parametrize(("file", "before", "after"), UNUSED.values(), ids=UNUSED.keys())
def test_settings_do_not_change_with_what_is_not_used(plan, tmp_path, file, before, after):
    was = settings(plan)
    edit(tmp_path / file, before, after)
    assert settings(plan) == was


def test_what_only_pretraining_uses_does_not_change_scratch(plan, tmp_path):
    was = settings(plan, 0)
    edit(tmp_path / "bundle" / "configs" / "pretrain.yaml", "temperature: 0.1", "temperature: 0.2")
    assert settings(plan, 0) == was
    assert settings(plan, 1)["pretrain.yaml"] != was.get("pretrain.yaml")


def test_settings_are_of_the_sweep_and_the_tolerance(plan):
    at = swept(plan.strategies[1:], "temperature=0.1,0.2", plan.bundle_root)
    found = replace(plan, strategies=tuple(at))
    one, other = (found.settings(unit) for unit in found.units()[:2])
    assert {name for name in one if one[name] != other[name]} == {"sweep"}
    nearer = replace(plan, tolerance=1.0)
    one, other = plan.settings(plan.units()[0]), nearer.settings(nearer.units()[0])
    assert {name for name in one if one[name] != other[name]} == {"tolerance"}


def test_settings_do_not_change_with_seeds_cells_or_the_place_of_the_study(plan, tmp_path):
    was = plan.settings(plan.units()[1])
    more = replace(plan, seeds=5, cells=parse_cells(["frozen", "tuned"], ["10%", "100%"]), out=tmp_path / "moved")
    assert more.settings(more.units()[1]) == was


# checked before it runs


def test_the_configs_of_every_strategy_that_ships_pass(tmp_path):
    names = sorted(path.stem for path in (BUNDLE / "configs" / "strategies").glob("*.yaml"))
    for preset in ("fast", "standard", "faithful"):
        made_plan(
            tmp_path / preset,
            strategies=tuple(find_strategies(names, BUNDLE)),
            overlays=(BUNDLE / "configs" / f"{preset}.yaml",),
        ).check()


def test_a_typo_in_a_strategy_is_named_with_its_stage(tmp_path):
    wrong = strategy_of(tmp_path, "warm", "temprature: 0.2")
    message = r"(?s)4 problems in the configs.*warm, pretrain: unknown key --temprature.*did you mean --temperature"
    with pytest.raises(SemclError, match=message):
        made_plan(tmp_path, strategies=(wrong,)).check()


def test_a_value_of_the_wrong_kind_in_a_sweep_is_named(tmp_path):
    at = swept(find_strategies(["semantic"], BUNDLE), "temperature=0.1,high", BUNDLE)
    with pytest.raises(
        SemclError, match=r"(?s)semantic temperature=high, pretrain: --temperature is of the wrong kind"
    ):
        made_plan(tmp_path, strategies=tuple(at)).check()
