"""The encoder of an nnU-Net v2 network, built from a plans file (package dynamic-network-architectures)."""

from __future__ import annotations

import pydoc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..errors import SemclError, one_of
from ..plain import read_json
from .network_encoder import NetworkEncoder, products

INSTALL = "pip install dynamic-network-architectures"


class NnUNetEncoder(NetworkEncoder):
    """Of the plain or residual encoder U-Net that a plans file describes; maps as nnU-Net's decoder gets them.

    nnU-Net's arrays have the axes (Z, Y, X), in the order of the plans' ``transpose_forward``; kernels and strides are
    those of these axes. So inputs (X, Y[, Z]) are given to it with them, and maps come back as (X, Y[, Z]).

    Args:
        spatial_dims: 2 or 3, as the configuration has.
        in_channels: channels of the image, plus one for the attention mask.
        plans: path of nnUNetPlans.json, or another plans file.
        configuration: such as 2d, 3d_fullres or 3d_lowres.

    Raises:
        SemclError: for a file without such a configuration, of other dimensions or slices that are not axial, and
            without the package.
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int = 2,
        plans: str = "nnUNetPlans.json",
        configuration: str = "3d_fullres",
    ) -> None:
        architecture = read_architecture(Path(plans), configuration)
        name, arguments = str(architecture["network_class_name"]), dict(architecture["arch_kwargs"])
        dims = int(str(arguments["conv_op"])[-2])  # torch.nn.modules.conv.Conv3d
        if dims != spatial_dims:
            raise SemclError(
                "a configuration of other dimensions",
                found=f"{configuration} of {plans}: {dims}-D",
                expected=f"{spatial_dims}-D, as spatial_dims says",
                remedy="set spatial_dims, or choose another configuration",
            )
        for key in architecture.get("_kw_requires_import", ()):
            arguments[key] = None if arguments[key] is None else _imported(arguments[key])
        super().__init__(
            _maker(_imported(name)),
            spatial_dims,
            in_channels,
            arguments["features_per_stage"],
            products(arguments["strides"]),
            arguments,
        )
        self.plans, self.configuration = plans, configuration
        self.axes = read_axes(Path(plans), dims)

    def take(self, network: Any) -> None:
        self.encoder = network.encoder

    def forward(self, inputs: torch.Tensor) -> list[torch.Tensor]:
        """Feature maps of inputs (B, C, X, Y[, Z]), finest first."""
        moved = inputs.permute(0, 1, *(2 + axis for axis in self.axes))
        back = [2 + self.axes.index(axis) for axis in range(len(self.axes))]
        return [found.permute(0, 1, *back) for found in self.encoder(moved)]


def read_axes(plans: Path, dims: int) -> list[int]:
    """Which of the axes X, Y[, Z] are those of nnU-Net's arrays, in their order.

    Raises:
        SemclError: when a 2-D configuration is of slices that are not axial.
    """
    content: Any = read_json(plans, "an nnU-Net plans file")
    forward = content.get("transpose_forward", [0, 1, 2])
    axes = [2 - int(axis) for axis in forward][-dims:]
    if sorted(axes) != list(range(dims)):
        raise SemclError(
            "a configuration of slices that are not axial",
            found=f"transpose_forward {forward} in {plans}",
            expected="[0, 1, 2] or [0, 2, 1], for queries are axial",
            remedy="choose a 3-D configuration",
        )
    return axes


def read_architecture(plans: Path, configuration: str) -> dict[str, Any]:
    """The architecture of a configuration of a plans file, its own or inherited.

    Raises:
        SemclError: when there is none.
    """
    content: Any = read_json(plans, "an nnU-Net plans file")
    known = content.get("configurations") if isinstance(content, dict) else None
    if not isinstance(known, dict):
        raise SemclError(
            f"{plans.name} is not a plans file", found="no configurations", expected="nnUNetPlans.json of nnU-Net v2",
            remedy="correct plans",
        )  # fmt: skip
    one_of("configuration", configuration, list(known))
    found = known[configuration]
    while "architecture" not in found and found.get("inherits_from") in known:
        found = known[found["inherits_from"]]
    if "architecture" not in found:
        raise SemclError(
            f"{plans.name} does not say which network is trained",
            found=f"{configuration} without architecture",
            expected="plans of nnU-Net 2.5 or later",
            remedy="plan the data set again with nnUNetv2_plan_experiment",
        )
    architecture: dict[str, Any] = found["architecture"]
    return architecture


def _maker(network: Any) -> Callable[..., nn.Module]:
    """Makes a network as nnU-Net does: with its names of the arguments, and its initial weights."""

    def make(spatial_dims: int, in_channels: int, out_channels: int, **arguments: Any) -> nn.Module:
        made: nn.Module = network(
            input_channels=in_channels, num_classes=out_channels, deep_supervision=True, **arguments
        )
        return made.apply(network.initialize) if hasattr(network, "initialize") else made

    make.__name__ = network.__name__
    return make


def _imported(path: str) -> Any:
    """What a dotted path of a plans file names."""
    try:
        found = pydoc.locate(path)
    except pydoc.ErrorDuringImport:
        found = None
    if found is None:
        raise SemclError(
            "a network of nnU-Net cannot be made", found=f"no {path}", expected="a class that can be imported",
            remedy=INSTALL,
        )  # fmt: skip
    return found
