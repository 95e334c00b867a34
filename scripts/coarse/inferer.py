"""Inference with the coarse network: whole volumes, segmented through a low-resolution grid."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.inferers import Inferer
from monai.utils import convert_to_tensor
from torch import nn

from ..cohort.case import Case
from ..cohort.resampling import resample
from ..cohort.volume import case_of
from ..cohort.window import normalise
from ..cohort.winners import winners
from ..finite import refuse_broken
from ..intake.given_maps import ToolMaps, needs_coarse, no_map, put_over
from ..job.weights import load_weights


class CoarseInferer(Inferer):
    """Segments a whole volume with the low-resolution network.

    Args:
        size: grid (X, Y, Z) the network works on.
        window: intensity window, as ``normalise`` takes it.
        channels: C, channels of the images.
        objects: object number of each of the network's classes after background; None: 1, 2, ...
    """

    def __init__(
        self,
        size: Sequence[int],
        window: Sequence[float] | str,
        channels: int = 1,
        objects: Sequence[int] | None = None,
    ) -> None:
        self.size, self.window, self.channels, self.objects = tuple(size), window, channels, objects

    def __call__(
        self, inputs: torch.Tensor, network: Callable[..., torch.Tensor], *args: Any, **kwargs: Any
    ) -> torch.Tensor:
        """Segment ``inputs`` (1, C, X, Y, Z; RAS, in the image's own units) into object numbers (1, 1, X, Y, Z).

        Scores are interpolated to full resolution before the argmax, so that edges are smooth.

        Raises:
            SemclError: for scores that are not finite.
        """
        image = convert_to_tensor(inputs, track_meta=False)[0]
        with torch.no_grad():
            scores = network(resample(normalise(image, self.window), self.size)[None])[0]
        refuse_broken(scores, "coarse", "the whole volume", case_of(inputs))
        return self.winners(scores, image.shape[1:])[None, None]

    def winners(self, scores: torch.Tensor, full: Sequence[int]) -> torch.Tensor:
        """Object numbers (X, Y, Z) at full resolution of scores (K + 1, *size) of the network's classes."""
        return winners(scores, full, self.objects)


class CoarseModel:
    """A trained coarse network that loads its weights on first use.

    Args:
        network: the network, on its device.
        weights: path of its weights.
        inferer: runs it over a volume.
        contradiction: the error of weights that were made with other settings, raised when they are needed.
    """

    def __init__(
        self, network: nn.Module, weights: str, inferer: CoarseInferer, contradiction: Exception | None = None
    ) -> None:
        self.network, self.weights, self.inferer, self.contradiction = network, Path(weights), inferer, contradiction
        self.loaded = False

    def __call__(self, inputs: torch.Tensor, given: torch.Tensor | None = None) -> torch.Tensor:
        """Object numbers (1, 1, X, Y, Z) of a volume (1, C, X, Y, Z), with those of a given map over them.

        Raises:
            SemclError: without a given map where the network was trained for the organs that such maps lack; and errors
                of ``load``.
        """
        if given is None and self.inferer.objects:
            raise no_map(case_of(inputs), "no map")
        self.load()
        return put_over(self.inferer(inputs, self.network), given)

    def load(self) -> None:
        """Load the weights, once; raises ``contradiction`` and what ``load_weights`` raises."""
        if self.loaded:
            return
        if self.contradiction is not None:
            raise self.contradiction
        load_weights(self.weights, self.network, "coarse.yaml")
        self.network.eval()
        self.loaded = True


class LoadCoarse:
    """Handler: load the coarse network when the run starts, if a case needs it; errors of its ``load``.

    Args:
        model: the coarse network.
        cases: the cases to segment.
        attention_dir: folder of their attention maps.
        tool: maps of another tool, which may take their place.
    """

    def __init__(
        self, model: CoarseModel, cases: Sequence[Case], attention_dir: str, tool: ToolMaps | None = None
    ) -> None:
        self.model, self.cases, self.attention_dir, self.tool = model, list(cases), attention_dir, tool

    def attach(self, engine: Engine) -> None:
        """Attach to the engine."""
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Engine) -> None:
        lacking = bool(self.model.inferer.objects)
        if any(needs_coarse(case.id, self.attention_dir, self.tool, lacking) for case in self.cases):
            self.model.load()
