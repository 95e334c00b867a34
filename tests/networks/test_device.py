"""Device: channels last for convolutions, and nothing else changed."""

from pathlib import Path

import pytest
import torch
from torch import nn

from scripts.errors import SemclError
from scripts.networks.device import engine_path, on_device

CONVOLUTIONS = [
    pytest.param(nn.Conv2d, torch.channels_last, (2, 4, 8, 8), id="2-D"),
    pytest.param(nn.Conv3d, torch.channels_last_3d, (2, 4, 8, 8, 8), id="3-D"),
]


@pytest.mark.parametrize(("layer", "layout", "shape"), CONVOLUTIONS)
def test_convolution_weights_lie_channels_last(layer: type, layout: torch.memory_format, shape: tuple) -> None:
    network = on_device(nn.Sequential(layer(4, 6, 3), nn.ReLU(), layer(6, 3, 3)), "cpu")
    for convolution in (network[0], network[2]):
        assert convolution.weight.is_contiguous(memory_format=layout)
        assert not convolution.weight.is_contiguous()


@pytest.mark.parametrize(("layer", "layout", "shape"), CONVOLUTIONS)
def test_values_and_outputs_are_unchanged(layer: type, layout: torch.memory_format, shape: tuple) -> None:
    torch.manual_seed(0)
    network, batch = nn.Sequential(layer(4, 6, 3), nn.ReLU(), layer(6, 3, 3)), torch.randn(shape)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    expected = network(batch)
    moved = on_device(network, torch.device("cpu"))
    assert all(torch.equal(before[name], tensor) for name, tensor in moved.state_dict().items())
    torch.testing.assert_close(moved(batch), expected)


def test_a_head_after_convolutions_keeps_its_layout() -> None:
    network = on_device(nn.Sequential(nn.Conv2d(2, 4, 3), nn.Flatten(), nn.Linear(4, 3)), "cpu")
    assert network[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert network[2].weight.is_contiguous()


def test_a_linear_network_works_as_before() -> None:
    network, batch = nn.Linear(4, 3), torch.randn(2, 4)
    expected = network(batch)
    assert torch.equal(on_device(network, "cpu")(batch), expected)


def test_a_network_without_weights_works() -> None:
    assert on_device(nn.ReLU(), "cpu")(torch.tensor([-1.0, 2.0])).tolist() == [0.0, 2.0]


def test_the_network_is_on_the_device_it_is_given() -> None:
    network = on_device(nn.Conv2d(2, 4, 3), "meta")
    assert {weight.device.type for weight in network.parameters()} == {"meta"}


def test_channels_last_can_be_left_out():
    network = on_device(nn.Conv2d(4, 6, 3), "cpu", channels_last=False)
    assert network.weight.is_contiguous()


@pytest.mark.parametrize("mode", ["default", "reduce-overhead"])
def test_a_compiled_network_is_compiled_in_place(monkeypatch, mode):
    compiled = []

    def compile_in_place(network: nn.Module, mode: str) -> None:
        compiled.append((network, mode))

    monkeypatch.setattr(nn.Module, "compile", compile_in_place)
    network = nn.Conv2d(4, 6, 3)
    assert on_device(network, "cpu", compiled=True, compile_mode=mode) is network
    assert compiled == [(network, mode)]
    assert list(network.state_dict()) == ["weight", "bias"]


def test_another_mode_of_compilation_is_refused():
    with pytest.raises(SemclError, match="compile_mode"):
        on_device(nn.Conv2d(4, 6, 3), "cpu", compile_mode="fast")


def test_an_engine_of_other_weights_or_arguments_is_another_file(tmp_path: Path) -> None:
    weights = [str(tmp_path / name) for name in ("model_fold0.pt", "model_fold1.pt")]
    paths = []
    for content, used, precision in (("0", 2, "fp32"), ("1", 2, "fp32"), ("1", 1, "fp32"), ("1", 1, "fp16")):
        for path in weights:
            Path(path).write_text("the same")
        Path(weights[1]).write_text(content)
        paths.append(engine_path(weights[:used], {"precision": precision}))
    assert len(set(paths)) == 4
    assert paths[3] == engine_path(weights[:1], {"precision": "fp16"})
    assert all(path.startswith(f"{weights[0]}.") for path in paths)
