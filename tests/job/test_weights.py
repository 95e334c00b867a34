"""Weights: saved and loaded; files that are missing or of another origin or network are refused."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from ignite.engine import Engine, Events
from torch import nn

from scripts.cohort.label_table import LabelTable
from scripts.errors import SemclError
from scripts.job.weights import LoadWeights, SaveBest, SaveWeights, load_weights, save_weights, trained
from scripts.outputs import visible

ORIGIN = {"stage": "pretrain", "cohort": "a1b2c3", "labels": "d4e5f6"}


def network(seed: int = 0, width: int = 4) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, width), nn.BatchNorm1d(width), nn.Linear(width, 2))


def same(first: nn.Module, second: nn.Module) -> bool:
    return all(
        torch.equal(a, b) for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    )


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    save_weights(tmp_path / "encoder.pt", network(), ORIGIN)
    return tmp_path / "encoder.pt"


def test_saved_weights_are_loaded(saved: Path) -> None:
    other = network(seed=1)
    assert not same(other, network())
    load_weights(saved, other, "pretrain.yaml", ORIGIN)
    assert same(other, network())


def test_the_files_are_the_weights_and_a_note_of_their_origin(saved: Path) -> None:
    assert [path.name for path in visible(saved.parent)] == ["encoder.json", "encoder.pt"]
    assert json.loads(saved.with_suffix(".json").read_text()) == ORIGIN


def test_only_weights_are_in_the_file(saved: Path) -> None:
    state = torch.load(saved, weights_only=True)
    assert {name: tensor.shape for name, tensor in state.items()} == {
        name: tensor.shape for name, tensor in network().state_dict().items()
    }


def test_a_missing_file_names_the_stage_that_writes_it(tmp_path: Path) -> None:
    with pytest.raises(SemclError, match=r"(?s)earlier stage.*no .*encoder\.pt.*run pretrain\.yaml first.*--ckpt_dir"):
        load_weights(tmp_path / "encoder.pt", network(), "pretrain.yaml")


@pytest.mark.parametrize(("key", "found"), [("cohort", "a1b2c3"), ("labels", "d4e5f6")])
def test_weights_of_another_origin_are_refused(saved: Path, key: str, found: str) -> None:
    message = rf"(?s)another {key}.*found: +{key} {found} in .*encoder\.json.*{key} 999999.*run pretrain\.yaml again"
    with pytest.raises(SemclError, match=message):
        load_weights(saved, network(), "pretrain.yaml", ORIGIN | {key: "999999"})


def test_only_the_requested_parts_of_the_origin_must_agree(saved: Path) -> None:
    other = network(seed=1)
    load_weights(saved, other, "pretrain.yaml", {"labels": "d4e5f6"})
    assert same(other, network())


def test_weights_without_a_note_are_accepted_when_no_origin_is_required(saved: Path) -> None:
    saved.with_suffix(".json").unlink()
    other = network(seed=1)
    load_weights(saved, other, "pretrain.yaml")
    assert same(other, network())


def test_weights_without_a_note_are_refused_when_an_origin_is_required(saved: Path) -> None:
    saved.with_suffix(".json").unlink()
    with pytest.raises(SemclError, match=r"(?s)made from another cohort.*cohort not noted"):
        load_weights(saved, network(), "pretrain.yaml", {"cohort": "a1b2c3"})


@pytest.mark.parametrize(
    ("change", "found"),
    [
        pytest.param(lambda: network(width=6), r"7 entries .*first 0\.weight", id="wider"),
        pytest.param(lambda: network()[:2], r"2 entries .*first 2\.weight", id="entries that are unknown"),
        pytest.param(lambda: network().append(nn.Linear(2, 2)), r"2 entries .*first 3\.weight", id="missing"),
    ],
)
def test_weights_of_another_network_are_refused(saved: Path, change: Callable[[], nn.Module], found: str) -> None:
    other = change()
    before = {name: tensor.clone() for name, tensor in other.state_dict().items()}
    with pytest.raises(SemclError, match=rf"(?s)encoder\.pt does not fit.*{found}.*pretrain\.yaml was run with"):
        load_weights(saved, other, "pretrain.yaml", ORIGIN)
    assert all(torch.equal(before[name], tensor) for name, tensor in other.state_dict().items())


def test_weights_are_saved_when_the_run_has_completed(tmp_path: Path, table: LabelTable) -> None:
    path, learning = tmp_path / "models" / "encoder.pt", network()

    def step(engine: Engine, batch: float) -> None:
        assert not path.exists()
        with torch.no_grad():
            learning[0].bias.fill_(batch)

    trainer = Engine(step)
    SaveWeights(str(path), learning, ORIGIN, table).attach(trainer)
    trainer.run([1.0, 2.0, 7.0], max_epochs=1)
    assert torch.load(path, weights_only=True)["0.bias"].tolist() == [7.0] * 4
    assert json.loads(path.with_suffix(".json").read_text()) == ORIGIN
    assert LabelTable.load(path.parent) == table


def test_nothing_is_saved_by_a_run_that_fails(tmp_path: Path, table: LabelTable) -> None:
    def step(engine: Engine, batch: int) -> None:
        raise ArithmeticError("loss is not finite")

    trainer = Engine(step)
    SaveWeights(str(tmp_path / "encoder.pt"), network(), ORIGIN, table).attach(trainer)
    with pytest.raises(ArithmeticError, match="loss is not finite"):
        trainer.run([1], max_epochs=1)
    assert visible(tmp_path) == []


def test_weights_are_loaded_once_however_often_the_engine_runs(saved: Path) -> None:
    other = network(seed=1)
    trainer = Engine(lambda engine, batch: None)
    LoadWeights(str(saved), other, "pretrain.yaml", ORIGIN).attach(trainer)
    assert same(other, network())
    other.load_state_dict(network(seed=2).state_dict())  # as a federated round does before it trains
    trainer.run([0, 1], max_epochs=1)
    trainer.run([0, 1], max_epochs=2)
    assert same(other, network(seed=2))


def test_a_run_does_not_start_without_its_weights(tmp_path: Path) -> None:
    steps: list[int] = []
    trainer = Engine(lambda engine, batch: steps.append(batch))
    LoadWeights(str(tmp_path / "encoder.pt"), network(), "pretrain.yaml").attach(trainer)  # to look at, it may be made
    with pytest.raises(SemclError, match=r"run pretrain\.yaml first"):
        trainer.run([0, 1], max_epochs=1)
    assert steps == []


def test_without_a_path_a_run_starts_from_the_module_as_it_is() -> None:
    other = network(seed=1)
    LoadWeights(None, other, "pretrain.yaml", ORIGIN).attach(Engine(lambda engine, batch: None))
    assert same(other, network(seed=1))


def test_the_weights_of_the_best_validation_are_kept(tmp_path: Path) -> None:
    path, learning = tmp_path / "model_best.pt", network()
    values = iter([0.5, 0.7, 0.6, 0.65, 0.8])

    def evaluator(best: SaveBest) -> Engine:
        made = Engine(lambda engine, batch: None)
        made.state.key_metric_name = "dice"
        best.attach(made)
        made.add_event_handler(Events.EPOCH_COMPLETED, lambda: made.state.metrics.update(dice=next(values)))
        return made

    before = SaveBest(str(path), learning, ORIGIN)
    first = evaluator(before)
    for expected in (0.5, 0.7, 0.7):
        with torch.no_grad():
            learning[0].bias.add_(1)
        first.run([0], max_epochs=1)
        assert json.loads(path.with_suffix(".json").read_text()) == {**ORIGIN, "validated": f"{expected:.6f}"}
    assert torch.equal(torch.load(path)["0.bias"], learning[0].bias - 1)
    moved = SaveBest(str(tmp_path / "moved" / path.name), learning, ORIGIN)
    moved.load_state_dict(before.state_dict())
    evaluator(moved).run([0], max_epochs=1)
    assert not (tmp_path / "moved" / path.name).exists(), "0.65 is not better than 0.7"
    resumed = SaveBest(str(path), learning, ORIGIN)
    resumed.load_state_dict(before.state_dict())
    evaluator(resumed).run([0], max_epochs=1)
    assert torch.equal(torch.load(path)["0.bias"], learning[0].bias)


def test_the_best_weights_of_an_earlier_run_are_no_rivals_of_a_resumed_one(tmp_path: Path) -> None:
    """Which had not validated when it was interrupted."""
    path, learning = tmp_path / "model_best.pt", network()
    save_weights(path, network(1), {**ORIGIN, "validated": "0.850000"})
    resumed = SaveBest(str(path), learning, ORIGIN)
    resumed.load_state_dict(SaveBest(str(path), learning, ORIGIN).state_dict())
    evaluator = Engine(lambda engine, batch: None)
    evaluator.state.key_metric_name, evaluator.state.metrics = "dice", {"dice": 0.4}
    resumed(evaluator)
    assert torch.equal(torch.load(path)["0.bias"], learning[0].bias)


def test_each_training_round_has_its_own_best_weights(tmp_path: Path) -> None:
    evaluator, rounds = Engine(lambda engine, batch: None), ["fold0", "fold1"]
    evaluator.state.key_metric_name = "dice"
    SaveBest(lambda: str(tmp_path / f"{rounds[0]}.pt"), network(), ORIGIN).attach(evaluator)
    evaluator.add_event_handler(Events.EPOCH_COMPLETED, lambda: evaluator.state.metrics.update(dice=next(values)))
    values = iter([0.9, 0.4])
    for name in [*rounds]:
        evaluator.run([0], max_epochs=1)
        rounds.remove(name)
    found = {path.stem: json.loads(path.read_text())["validated"] for path in tmp_path.glob("fold*.json")}
    assert found == {"fold0": "0.900000", "fold1": "0.400000"}


def test_a_damaged_file_is_refused(saved: Path) -> None:
    saved.write_bytes(saved.read_bytes()[:100])
    with pytest.raises(SemclError, match=r"(?s)cannot be read as weights.*run pretrain.yaml again"):
        load_weights(saved, network(), "pretrain.yaml")


def test_a_trained_module_is_the_module_with_the_weights_of_a_file(saved: Path) -> None:
    other = network(seed=1)
    found = trained(other, str(saved), "pretrain.yaml")
    assert found is other
    assert same(found, network())


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (Path.unlink, r"(?s)earlier stage.*no .*encoder\.pt.*run pretrain\.yaml first"),
    "damaged": (lambda path: path.write_bytes(b"none"), r"(?s)cannot be read as weights.*run pretrain\.yaml again"),
    "of another network": (lambda path: save_weights(path, network(width=6), ORIGIN), r"encoder\.pt does not fit"),
}


@pytest.mark.parametrize(("harm", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_a_module_is_not_changed_by_a_file_that_does_not_fit(
    saved: Path, harm: Callable[[Path], object], message: str
) -> None:
    harm(saved)
    with pytest.raises(SemclError, match=message):
        trained(network(), str(saved), "pretrain.yaml")


def harmed(what: float) -> nn.Sequential:
    """A network with one weight, or one running variance, that is not finite."""
    made = network()
    with torch.no_grad():
        (made[1].running_var if what > 0 else made[2].weight)[0] = what
    return made


@pytest.mark.parametrize("what", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite_are_not_written_and_earlier_ones_stay(saved: Path, what: float) -> None:
    before = saved.read_bytes()
    with pytest.raises(
        SemclError, match=r"(?s)not finite are not written to encoder\.pt.*1 entries, first .*learning_rate"
    ):
        save_weights(saved, harmed(what), ORIGIN)
    assert saved.read_bytes() == before


@pytest.mark.parametrize("what", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite_are_not_loaded(saved: Path, what: float) -> None:
    torch.save(harmed(what).state_dict(), saved)
    other = network(seed=1)
    with pytest.raises(
        SemclError, match=r"(?s)encoder\.pt holds weights that are not finite.*run pretrain\.yaml again"
    ):
        load_weights(saved, other, "pretrain.yaml", ORIGIN)
    assert same(other, network(seed=1))
