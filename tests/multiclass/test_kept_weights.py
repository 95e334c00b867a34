"""Weights that a training keeps of those that it began with."""

import pytest
import torch
from ignite.engine import Engine, Events
from torch import nn

from scripts.multiclass.kept_weights import KeptWeights
from scripts.multiclass.teacher import Teacher


def trained(kept: KeptWeights, network: nn.Module, resumed: dict | None = None) -> nn.Module:
    """The network after a run in which each step adds 1 to its weight."""

    def step(engine: Engine, batch: object) -> None:
        with torch.no_grad():
            network.weight += 1

    engine = Engine(step)
    kept.attach(engine)
    if resumed is not None:  # as the checkpoint does, which comes after it
        engine.add_event_handler(Events.STARTED, lambda _: kept.load_state_dict(resumed))
    engine.run([0] * 4, max_epochs=1)
    return network


def one_weight(value: float) -> nn.Linear:
    network = nn.Linear(1, 1, bias=False)
    nn.init.constant_(network.weight, value)
    return network


@pytest.mark.parametrize(("share", "weight"), [(0.0, 14), (0.5, 12), (0.25, 13)])
def test_final_weights_lie_between_the_first_and_the_last(share, weight):
    network = one_weight(10)
    assert trained(KeptWeights(network, share), network).weight.item() == pytest.approx(weight)


def test_running_statistics_are_kept_alike_and_counts_are_left():
    network = nn.BatchNorm1d(1)
    kept = KeptWeights(network, 0.5)
    engine = Engine(lambda engine, batch: network(batch))
    kept.attach(engine)
    engine.run([torch.tensor([[2.0], [6.0]])], max_epochs=1)
    assert network.running_mean.item() == pytest.approx(0.2)  # of 0 and a tenth of 4
    assert network.num_batches_tracked == 1


def test_of_a_teacher_the_weights_are_kept_that_the_network_began_with():
    """It is made before the network takes weights, and follows them when the run starts."""
    network = one_weight(0)
    teacher = Teacher(network, "cpu", consistency=0.3, momentum=0.5)
    nn.init.constant_(network.weight, 10)  # as a handler before it loads them
    engine = Engine(lambda engine, batch: None)
    teacher.attach(engine)
    KeptWeights(teacher.final, 0.5).attach(engine)
    engine.run([0] * 4, max_epochs=1)
    assert teacher.final.weight.item() == pytest.approx(10)


def test_a_run_that_goes_on_keeps_what_it_had_begun_with():
    begun = KeptWeights(one_weight(10), 0.5)
    begun.begin(Engine(lambda engine, batch: None))
    network = one_weight(20)  # its file was replaced since
    assert trained(KeptWeights(network, 0.5), network, begun.state_dict()).weight.item() == pytest.approx(17)


def test_nothing_is_copied_where_nothing_is_kept():
    kept = KeptWeights(one_weight(1))
    engine = Engine(lambda engine, batch: None)
    kept.attach(engine)
    engine.run([0], max_epochs=1)
    assert kept.state_dict() == {}
