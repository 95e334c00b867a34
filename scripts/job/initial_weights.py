"""Starting weights from a checkpoint of another tool: what fits by name and shape is taken, the rest reported."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine
from monai.networks.utils import copy_model_state
from torch import nn

from .. import ranks
from ..cohort.leaks import require_start_unseen
from ..cohort.provenance import note_of
from ..errors import SemclError
from ..finite import not_finite

NAMES_SHOWN = 5  # names per line of the report
PRETRAIN = "pretrain.yaml"  # the stage whose encoders see an attention mask
LEVELS_DOWN = 3  # parts of a prefix, and levels at which a checkpoint may hold its state dict
NUMPY_SCALARS: list[Any] = [np.float64(0).__reduce__()[0], np.dtype, np.dtypes.Float32DType, np.dtypes.Float64DType]
State = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class Taken:
    """What a network took from a checkpoint, by names in the network.

    Args:
        taken: entries with the checkpoint's values.
        widened: those of ``taken`` that see the image, whose weights for the attention mask are 0.
        folded: those of ``taken`` whose weights for the attention mask were left out.
        shapes: name -> both shapes, of entries that keep their values because these differ.
        missing: entries that keep their values because the checkpoint has none of that name.
        unused: number of the checkpoint's entries that the network has no use for.
        source: the first of the checkpoint's entries that were taken.
        rivals: of each other set of its entries that fits as well, the first.
    """

    taken: list[str]
    widened: list[str]
    folded: list[str]
    shapes: dict[str, str]
    missing: list[str]
    unused: int
    source: str = ""
    rivals: tuple[str, ...] = ()

    def __str__(self) -> str:
        every = len(self.taken) + len(self.shapes) + len(self.missing)
        lines = [f"{len(self.taken)} of {every} entries taken; {self.unused} of the file's unused"]
        if self.rivals:
            lines.append(f"from {self.source} on; {', '.join(self.rivals)} and what belongs to it would fit as well")
        differ = [f"{name} ({why})" for name, why in self.shapes.items()]
        for what, names in {
            "with weights of 0 for the attention mask": self.widened,
            "without their weights for the attention mask": self.folded,
            "random, of another shape": differ,
            "random, not in the file": self.missing,
        }.items():
            if names:
                more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
                lines.append(f"{len(names)} {what}: {', '.join(names[:NAMES_SHOWN])}{more}")
        return "\n  ".join(lines)


def read_checkpoint(path: Path) -> Any:
    """The content of a checkpoint file, read without running code from it (``weights_only``).

    Raises:
        SemclError: when it is missing, or holds more than tensors and plain values.
    """
    if not path.is_file():
        raise SemclError(
            "the starting weights are missing", found=f"no {path}", expected="a checkpoint",
            remedy="correct --initial_weights",
        )  # fmt: skip
    try:
        with torch.serialization.safe_globals(NUMPY_SCALARS):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file raises whatever its reader meets first
        raise SemclError(
            f"{path.name} cannot be read as weights",
            found=f"{path}: {type(error).__name__}",
            expected="a file of torch.save with tensors, numbers and text alone: others could run code",
            remedy="where you trust the file, load it with weights_only=False and save its state dict alone",
        ) from error


def states(content: Any) -> Iterator[State]:
    """The state dicts in a checkpoint: mappings of names to tensors, at whatever key they are."""
    return (state for _, state in _located(content))


def _located(content: Any, at: str = "", depth: int = LEVELS_DOWN) -> Iterator[tuple[str, State]]:
    """The state dicts in a checkpoint, each with the keys that it lies at, such as "model:"."""
    if isinstance(content, Mapping):
        tensors = {str(name): value for name, value in content.items() if isinstance(value, torch.Tensor)}
        if tensors:
            yield at, tensors
        for name, value in content.items() if depth else ():
            yield from _located(value, f"{at}{name}:", depth - 1)


def _storage(state: State, names: Mapping[str, str]) -> tuple[int, ...]:
    """Where the values that names stand for are kept, which tells whether two sets of entries are the same."""
    return tuple(state[name].data_ptr() for name in names.values())


def take_weights(content: Any, module: nn.Module, in_channels: int | None, masked: bool = False) -> Taken:
    """Give a module the weights of a checkpoint that fit it by name and shape.

    Names may differ by a prefix (``module.``, ``backbone.encoder.``). The state dict and the prefix that fit most
    entries are used. Weights for images alone are extended by zeros for the attention mask, so that features are those
    of the checkpoint whatever the mask.

    Args:
        content: of the checkpoint.
        module: takes the weights.
        in_channels: of the module's input, the last for the attention mask; None if it does not see one.
        masked: the checkpoint's first layers see an attention mask, which this module does not: it is left out.
    """
    own = module.state_dict()
    tried = [(at, state, names) for at, state in _located(content) for names in _names(state, own)]
    if not tried:
        return Taken([], [], [], {}, list(own), 0)
    fits = [(sum(_fitted(state[name], own[key], in_channels, masked) is not None for key, name in names.items()), at)
            for at, (_, state, names) in enumerate(tried)]  # fmt: skip
    best, chosen = max(fits, key=lambda one: (one[0], -one[1]))
    place, state, names = tried[chosen]
    sets = {_storage(one, others): f"{at}{next(iter(others.values()), '')}"
            for at, one, others in (tried[number] for fit, number in fits if fit == best)}  # fmt: skip
    sets.pop(_storage(state, names), None)
    made = {key: _fitted(state[name], own[key], in_channels, masked) for key, name in names.items()}
    found = {key: value for key, value in made.items() if value is not None}
    copy_model_state(module, found)
    channels = {key: value.shape[1:2] for key, value in found.items()}
    return Taken(
        taken=list(found),
        widened=[key for key in found if channels[key] > state[names[key]].shape[1:2]],
        folded=[key for key in found if channels[key] < state[names[key]].shape[1:2]],
        shapes={
            key: f"{tuple(own[key].shape)} here, {tuple(state[names[key]].shape)} there"
            for key, value in made.items()
            if value is None
        },
        missing=[key for key in own if key not in made],
        unused=len(state) - len(made),
        source=f"{place}{next(iter(names.values()), '')}",
        rivals=tuple(sets.values()) if best else (),
    )


def _names(state: State, own: State) -> Iterator[dict[str, str]]:
    """Name in the module -> name in the checkpoint, for each likely pair of prefixes."""
    own_prefixes = {"", *("".join(f"{part}." for part in name.split(".")[:1]) for name in list(own)[:1])}
    counts = Counter(
        "".join(f"{part}." for part in name.split(".")[:length]) for name in state for length in range(LEVELS_DOWN + 1)
    )
    for mine in sorted(own_prefixes):
        for theirs in sorted(counts):
            pairs = {key: theirs + key.removeprefix(mine) for key in own if key.startswith(mine)}
            found = {key: name for key, name in pairs.items() if name in state}
            if found:
                yield found


def _fitted(value: torch.Tensor, wanted: torch.Tensor, in_channels: int | None, masked: bool) -> torch.Tensor | None:
    """A checkpoint's value in the wanted shape; None if it does not fit."""
    if value.shape == wanted.shape:
        return value
    alike = value.ndim == wanted.ndim > 2 and value.shape[:1] + value.shape[2:] == wanted.shape[:1] + wanted.shape[2:]
    if alike and wanted.shape[1] == in_channels == value.shape[1] + 1:
        return torch.cat([value, torch.zeros_like(wanted[:, :1], dtype=value.dtype)], dim=1)
    if alike and masked and wanted.shape[1] == value.shape[1] - 1:
        return value[:, :-1]
    return None


class InitialWeights:
    """Handler: once attached, a module has what fits of another tool's checkpoint, and it is printed what that is.

    Args:
        path: the checkpoint; None leaves the module as it is.
        module: takes the weights.
        in_channels: of its input, the last for the attention mask; None if it does not see one.
        dataset_dir: a cohort, of which the weights may not have seen patients who are tested; None: they may.
        instead: weights that the module has begun with; then the checkpoint is left out, and that is said.
        over: weights of a part of the module that are left out, since the checkpoint has the whole; that is said too.

    Raises:
        SemclError: when attached, for a file that cannot be read, of which nothing fits, or that has seen a patient who
            is tested.
    """

    def __init__(
        self,
        path: str | None,
        module: nn.Module,
        in_channels: int | None = None,
        dataset_dir: str | None = None,
        instead: str | None = None,
        over: str | None = None,
    ) -> None:
        self.path, self.module, self.in_channels, self.dataset_dir = path, module, in_channels, dataset_dir
        self.instead, self.over = instead, over

    def attach(self, engine: Engine) -> None:
        """Take the weights; the engine itself is not needed."""
        if self.path is not None and self.instead is not None:
            if ranks.number() == 0:
                print(f"initial weights from {self.path} are left out: {self.instead} is what is learnt on from")
        elif self.path is not None:
            if self.over is not None and ranks.number() == 0:
                print(f"{self.over} is left out: initial weights from {self.path} are those of the whole network")
            if self.dataset_dir is not None:
                require_start_unseen(self.dataset_dir, [self.path])
            self.take(Path(self.path))

    def take(self, path: Path) -> None:
        """Give the module what fits of a checkpoint."""
        content = read_checkpoint(path)
        broken = not_finite({name: value for state in states(content) for name, value in state.items()})
        if broken:
            raise SemclError(
                f"{path.name} holds weights that are not finite",
                found=f"NaN or infinity in {len(broken)} entries, first {broken[0]}",
                expected="finite weights",
                remedy="choose another checkpoint",
            )
        own, stage = self.module.state_dict(), note_of(path).get("stage")
        taken = take_weights(content, self.module, self.in_channels, self.in_channels is None and stage == PRETRAIN)
        if not any(own[key].ndim > 1 for key in taken.taken):  # without a layer, constants of a norm are no use
            names = ", ".join(list(next(states(content), {}))[:NAMES_SHOWN])
            raise SemclError(
                f"nothing in {path.name} fits the network of this config",
                found=f"entries such as {names or 'none'} in {path}",
                expected=f"entries such as {', '.join(list(self.module.state_dict())[:NAMES_SHOWN])}",
                remedy="give this stage the network, and its numbers, that the checkpoint was trained with",
            )
        if ranks.number() == 0:
            print(f"initial weights from {path}: {taken}")
            first = [key for key in taken.taken if own[key].ndim > 2 and own[key].shape[1] == self.in_channels][:1]
            if first and first[0] not in taken.widened and stage is None:
                print(f"  the last of its {self.in_channels} input channels is taken for that of the attention mask")
