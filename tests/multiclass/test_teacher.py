"""The mean teacher."""

import pytest
import torch
from ignite.engine import Engine
from torch import nn

from scripts.multiclass.teacher import Teacher


def trained(teacher: Teacher, network: nn.Module, steps: int, resumed: dict | None = None) -> list[float]:
    """Train for some steps, each of which adds 1 to the weight; the weights of the loss on guesses."""
    seen = []

    def step(engine: Engine, batch: int) -> None:
        seen.append(teacher.weight)
        network.weight.data += 1

    engine = Engine(step)
    teacher.attach(engine)
    if resumed is not None:
        teacher.load_state_dict(resumed)
    engine.run(range(steps))
    return seen


def one_weight() -> nn.Module:
    network = nn.Conv2d(1, 1, 1, bias=False)
    network.weight.data.fill_(2.0)
    return network


def test_it_is_the_moving_average_of_the_weights():
    network = one_weight()
    teacher = Teacher(network, "cpu", consistency=1.0, momentum=0.9)
    network.weight.data.fill_(5.0)  # what a handler loads
    trained(teacher, network, 2)
    after = 0.9 * 5 + 0.1 * 6
    assert teacher.final.weight.item() == pytest.approx(0.9 * after + 0.1 * 7)


def test_the_weight_of_guesses_rises():
    network = one_weight()
    assert trained(Teacher(network, "cpu", consistency=2.0, rise=4), network, 6) == [0.5, 1.0, 1.5, 2.0, 2.0, 2.0]


def test_without_consistency_there_is_none():
    network = one_weight()
    teacher = Teacher(network, "cpu")
    assert trained(teacher, network, 2) == [0, 0]
    assert teacher.final is network
    assert teacher.state_dict() == {}
    teacher.load_state_dict({})


def test_its_state_is_all_it_needs_to_go_on():
    network = one_weight()
    teacher = Teacher(network, "cpu", consistency=1.0)
    trained(teacher, network, 3)
    other = Teacher(one_weight(), "cpu", consistency=1.0)
    other.load_state_dict(teacher.state_dict())
    assert other.final.weight == teacher.final.weight
    assert teacher.final.weight != network.weight


def test_it_is_silent_where_it_is_not_confident():
    teacher = Teacher(nn.Identity(), "cpu", confidence=0.8)
    logits = torch.tensor([[[[4.0, 0.0, 0.0]], [[0.0, 5.0, 0.5]]]])
    assert teacher.guess(logits).flatten().tolist() == [0, 1, -1]
