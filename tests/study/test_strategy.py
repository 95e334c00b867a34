"""Strategies: found by name or path, refused, swept."""

import pytest

from scripts.errors import SemclError
from scripts.study.strategy import Strategy, find_strategies, group, swept
from tests.study.made import BUNDLE, overlay, strategy_of

SHIPPED = ["dcc", "organ", "scratch", "semantic", "semantic-dense", "semantic-labelled", "semantic-memory"]
SHIPPED += ["semantic-self", "semantic-slices", "simclr", "simclr-image", "supcon-phase"]


def test_strategies_are_found_by_name_in_the_order_given():
    found = find_strategies(["semantic", "scratch"], BUNDLE)
    assert [one.name for one in found] == ["semantic", "scratch"]
    assert [one.overlay for one in found] == [
        (BUNDLE / "configs" / "strategies" / f"{name}.yaml").resolve() for name in ("semantic", "scratch")
    ]


def test_every_overlay_that_ships_is_a_strategy_with_a_description():
    assert sorted(path.stem for path in (BUNDLE / "configs" / "strategies").glob("*.yaml")) == SHIPPED
    for strategy in find_strategies(SHIPPED, BUNDLE):
        assert strategy.about.endswith(".") or strategy.about.endswith(").")
        assert "#" not in strategy.about


def test_only_scratch_does_not_pretrain():
    assert [one.name for one in find_strategies(SHIPPED, BUNDLE) if not one.pretrains] == ["scratch"]


def test_none_of_those_that_ship_cuts_queries_of_its_own():
    assert not any(one.own_grid for one in find_strategies(SHIPPED, BUNDLE))


def test_a_strategy_of_ones_own_is_a_path_from_where_one_is(tmp_path, monkeypatch):
    overlay(
        tmp_path / "my own", "warm start", "# Warm,\n# and slow.\ntemperature: 0.2  # high\n# not of the description\n"
    )
    monkeypatch.chdir(tmp_path)
    (found,) = find_strategies(["my own/warm start.yaml"], BUNDLE)
    assert (found.name, found.content, found.about) == ("warm start", {"temperature": 0.2}, "Warm, and slow.")
    assert found.overlay.is_absolute()


@pytest.mark.parametrize("text", ["", "# As it ships.\n", "null"])
def test_an_overlay_that_is_empty_is_refused_as_monai_cannot_read_it(tmp_path, text):
    with pytest.raises(SemclError, match=r"(?s)plain\.yaml is not an overlay\n.*the file is empty.*write \{\} into"):
        find_strategies([str(overlay(tmp_path, "plain", text))], BUNDLE)


def test_an_overlay_without_keys_changes_nothing(tmp_path):
    (found,) = find_strategies([str(overlay(tmp_path, "plain", "# As it ships.\n{}\n"))], BUNDLE)
    assert found.content == {}
    assert found.pretrains


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "semantik",
            r"(?s)no such strategy.*no semantik\.yaml in .*no file semantik.*one of dcc, .*did you mean semantic",
        ),
        (
            "mine/warm.yaml",
            r"(?s)no such strategy.*no file mine/warm\.yaml.*the path of your own overlay.*docs/study\.md",
        ),
    ],
)
def test_an_unknown_strategy_is_refused_and_the_nearest_named(name, message):
    with pytest.raises(SemclError, match=message):
        find_strategies([name], BUNDLE)


def test_no_strategy_at_all_is_refused():
    with pytest.raises(SemclError, match=r"(?s)no strategy is given.*one of dcc.*set --strategies"):
        find_strategies([], BUNDLE)


def test_a_folder_that_is_no_bundle_is_named(tmp_path):
    with pytest.raises(SemclError, match=r"(?s)the bundle is missing.*no overlays in .*strategies.*set --bundle_root"):
        find_strategies(["semantic"], tmp_path)


def test_names_are_given_once(tmp_path):
    mine = str(overlay(tmp_path, "semantic", "temperature: 0.2"))
    for names in (["semantic", "semantic"], ["semantic", mine]):
        with pytest.raises(SemclError, match=r"(?s)two strategies of the same name.*semantic twice"):
            find_strategies(names, BUNDLE)


def test_the_name_of_the_coarse_map_is_taken(tmp_path):
    with pytest.raises(SemclError, match=r"(?s)two strategies of the same name.*coarse is the map that all start from"):
        find_strategies([str(overlay(tmp_path, "coarse", "temperature: 0.2"))], BUNDLE)


@pytest.mark.parametrize(
    ("text", "found"),
    [("- a\n- b\n", r"\['a', 'b'\]"), ("word", "word"), ("1: 2", r"\{1: 2\}"), ("a: [1", "while parsing")],
)
def test_a_file_that_is_not_an_overlay_is_refused(tmp_path, text, found):
    path = overlay(tmp_path, "odd", text)
    with pytest.raises(
        SemclError, match=rf"(?s)odd\.yaml is (not an overlay|not YAML).*{found}.*keys of the configs.*edit "
    ):
        find_strategies([str(path)], BUNDLE)


@pytest.mark.parametrize("key", ["seed", "labelled", "freeze_encoder", "output_dir", "store_dir", "resume"])
def test_a_strategy_does_not_set_what_the_study_sets(tmp_path, key):
    path = overlay(tmp_path, "mine", f"temperature: 0.2\n{key}: 1\n")
    with pytest.raises(
        SemclError, match=rf"(?s)the study sets {key} itself.*{key} in .*mine\.yaml.*use --seeds, --labels"
    ):
        find_strategies([str(path)], BUNDLE)


@pytest.mark.parametrize(
    ("text", "pretrains", "own_grid"),
    [
        ("encoder_weights: null", False, False),
        ("encoder_weights: other/encoder.pt", False, False),
        ("temperature: 0.2", True, False),
        ("patch_size: 32", True, True),
        ("grid#extend: 0", True, True),
        ("train::views::rotation: 3.0", True, False),
    ],
)
def test_what_a_strategy_needs_of_its_own(tmp_path, text, pretrains, own_grid):
    strategy = strategy_of(tmp_path, "mine", text)
    assert (strategy.pretrains, strategy.own_grid) == (pretrains, own_grid)


def test_groups_of_keys():
    assert [group(key) for key in ("seed", "grid#extend", "train::views::area", "+train#handlers")] == [
        "seed", "grid", "train", "train",
    ]  # fmt: skip


# sweeps


def test_a_sweep_runs_every_strategy_once_per_value():
    found = swept(find_strategies(["semantic", "simclr"], BUNDLE), "temperature=0.05, 0.1", BUNDLE)
    assert [(one.name, one.overrides) for one in found] == [
        ("semantic temperature=0.05", {"temperature": 0.05}),
        ("semantic temperature=0.1", {"temperature": 0.1}),
        ("simclr temperature=0.05", {"temperature": 0.05}),
        ("simclr temperature=0.1", {"temperature": 0.1}),
    ]


def test_a_sweep_of_pretraining_leaves_scratch_as_it_is():
    found = swept(find_strategies(["scratch", "semantic"], BUNDLE), "temperature=0.05,0.1", BUNDLE)
    assert [one.name for one in found] == ["scratch", "semantic temperature=0.05", "semantic temperature=0.1"]


def test_a_sweep_of_what_all_stages_take_is_of_scratch_too():
    found = swept(find_strategies(["scratch"], BUNDLE), "patch_size=32,64", BUNDLE)
    assert [(one.name, one.own_grid) for one in found] == [
        ("scratch patch_size=32", True),
        ("scratch patch_size=64", True),
    ]


@pytest.mark.parametrize(
    ("sweep", "values"),
    [
        ("show_attention=true,false", [True, False]),
        ("block=basic,bottleneck", ["basic", "bottleneck"]),
        ("layers=[1,1,1,1],[2, 2, 2, 2]", [[1, 1, 1, 1], [2, 2, 2, 2]]),
    ],
)
def test_values_of_a_sweep_are_read_as_in_a_config(sweep, values):
    found = swept([Strategy("semantic", BUNDLE / "configs" / "strategies" / "semantic.yaml")], sweep, BUNDLE)
    assert [next(iter(one.overrides.values())) for one in found] == values


@pytest.mark.parametrize(
    "sweep", ["temperature", "temperature=", "=0.1", "temperature=,", "temperature=0.1,0.1", "widths=[8,16"]
)
def test_an_invalid_sweep_is_refused(sweep):
    with pytest.raises(
        SemclError, match=r"(?s)a sweep cannot be understood.*key=value,value.*for example --sweep temp"
    ):
        swept(find_strategies(["semantic"], BUNDLE), sweep, BUNDLE)


def test_a_sweep_may_be_of_one_stage_alone():
    scratch, *semantic = swept(
        find_strategies(["scratch", "semantic"], BUNDLE), "pretrain.clusters_per_batch=4,8", BUNDLE
    )
    assert scratch.overrides == {}
    assert [one.name for one in semantic] == [f"semantic pretrain.clusters_per_batch={count}" for count in (4, 8)]
    assert [one.overrides_of("pretrain") for one in semantic] == [{"clusters_per_batch": 4}, {"clusters_per_batch": 8}]
    assert not any(one.overrides_of("train") for one in semantic)
    (tuned,) = swept(find_strategies(["scratch"], BUNDLE), "train.learning_rate=0.1", BUNDLE)
    assert (tuned.overrides_of("train"), tuned.overrides_of("pretrain")) == ({"learning_rate": 0.1}, {})


def test_queries_are_cut_alike_in_all_stages():
    with pytest.raises(SemclError, match=r"(?s)one stage what all stages must share.*set --sweep patch_size=32,64"):
        swept(find_strategies(["scratch"], BUNDLE), "train.patch_size=32,64", BUNDLE)


def test_a_sweep_does_not_set_what_the_study_sets():
    with pytest.raises(
        SemclError, match=r"(?s)the study sets labelled itself.*in --sweep labelled=0\.1,1.*use .*--labels"
    ):
        swept(find_strategies(["semantic"], BUNDLE), "labelled=0.1,1", BUNDLE)
