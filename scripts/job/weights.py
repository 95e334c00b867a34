"""Weights that one stage hands to the next, with a note of their origin that is checked when they are loaded."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from torch import nn

from .. import ranks
from ..cohort.case import Case, input_files
from ..cohort.folder import as_written
from ..cohort.label_table import LABELS_FILE, LabelTable
from ..errors import SemclError
from ..files import write_text, written_whole
from ..finite import not_finite
from ..outputs import Output
from ..sidefiles import has_keys, read_note

Origin = Mapping[str, str | Sequence[str]]  # entry of a note -> the value it must have, or one of several


def claim_weights(
    folder: Path, names: Sequence[str], table: LabelTable | None = None, cases: Sequence[Case] = ()
) -> None:
    """Mark weights and their notes, and with a table its file too, as a stage's own, before they are written.

    Args:
        folder: of the weights; several stages write into it.
        names: of the weights.
        table: will be written as labels.yaml.
        cases: whose images and label maps must not lie in the folder.

    Raises:
        SemclError: when there is a file of such a name that no stage wrote, or the folder is that of scans.
    """

    def earlier(path: Path) -> bool:
        if path.name != LABELS_FILE:
            return has_keys(path.with_suffix(".json"), {"stage", "cohort"})
        try:
            known = LabelTable.read(path)
        except SemclError:
            return False
        return known == table or path.read_text(encoding="utf-8") == as_written(known)

    notes = [Path(name).with_suffix(".json").name for name in names]
    files = [*names, *notes, *([] if table is None else [LABELS_FILE])]
    models(folder).claim_files(files, earlier, input_files(cases))


def models(folder: Path) -> Output:
    """Return the folder of weights as an output of stages."""
    return Output(folder, "models", "--ckpt_dir")


def save_weights(path: Path, module: nn.Module, origin: Mapping[str, Any]) -> None:
    """Write a plain state dict and beside it, as <name>.json, its origin: stage, cohort, label table, settings.

    Raises:
        SemclError: for weights that are not finite, and in place of a file that no stage wrote; an existing file stays.
    """
    broken = not_finite(module.state_dict())
    if broken:
        raise SemclError(
            f"weights that are not finite are not written to {path.name}",
            found=f"NaN or infinity in {len(broken)} entries, first {broken[0]}",
            expected="finite weights",
            remedy="lower learning_rate, or set precision to float32, and train again; earlier weights are untouched",
        )
    claim_weights(path.parent, [path.name])
    with written_whole(path) as aside, open(aside, "wb") as file:  # torch would write a path's name into the file
        torch.save(module.state_dict(), file)
    write_text(path.with_suffix(".json"), json.dumps(dict(origin), indent=1))


def load_weights(path: Path, module: nn.Module, made_by: str, origin: Origin | None = None) -> None:
    """Load a state dict strictly.

    Args:
        path: the file.
        module: takes the weights.
        made_by: config of the stage that writes the file, named in errors.
        origin: entries that the note beside the file must have, each with a value or several; None for any origin.

    Raises:
        SemclError: when the file is missing, of another origin, of another network, or holds weights that are not
            finite.
    """
    remedy = f"run {made_by} first, or point --ckpt_dir at the folder that holds {path.name}"
    if not path.is_file():
        raise SemclError(
            "weights of an earlier stage are missing", found=f"no {path}", expected=path.name, remedy=remedy
        )
    note = path.with_suffix(".json")
    wanted_note = "the origin the stage notes beside its weights"
    noted = read_note(note, wanted_note, f"run {made_by} again") if origin and note.is_file() else {}
    for key, value in (origin or {}).items():
        accepted = [value] if isinstance(value, str) else value
        if noted.get(key) not in accepted:
            raise SemclError(
                f"{path.name} was made from {'other organs' if key == 'organs' else f'another {key}'}",
                found=f"{key} {noted.get(key, 'not noted')} in {note}",
                expected=f"{key} {' or '.join(accepted)}, that of dataset_dir",
                remedy=f"run {made_by} again on this cohort",
            )
    wanted = module.state_dict()
    try:
        state = dict(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # a damaged file raises whatever its reader meets first
        raise SemclError(
            f"{path.name} cannot be read as weights",
            found=f"{path}: {type(error).__name__}",
            expected="a state dict as torch.save writes it",
            remedy=f"run {made_by} again",
        ) from error
    wrong = [name for name in wanted if getattr(state.get(name), "shape", None) != wanted[name].shape]
    wrong += [name for name in state if name not in wanted]
    if wrong:
        raise SemclError(
            f"{path.name} does not fit the network of this config",
            found=f"{len(wrong)} entries missing, unknown or of another shape, first {wrong[0]}",
            expected="weights of the same architecture",
            remedy=f"give this stage the network numbers {made_by} was run with, or run that again",
        )
    broken = not_finite(state)
    if broken:
        raise SemclError(
            f"{path.name} holds weights that are not finite",
            found=f"NaN or infinity in {len(broken)} entries of {path}, first {broken[0]}",
            expected="finite weights",
            remedy=f"run {made_by} again, with a lower learning_rate if it was that run",
        )
    module.load_state_dict(state)


def trained(module: nn.Module, path: str, made_by: str) -> nn.Module:
    """Load weights into a module and return it; arguments and errors of ``load_weights``."""
    load_weights(Path(path), module, made_by)
    return module


class SaveWeights:
    """Handler: write a module's weights, and the label table they were made with, when the run has completed.

    Of several ranks the first writes.

    Args:
        path: the file.
        module: whose weights; None writes nothing.
        origin: noted beside it.
        table: written as labels.yaml into the same folder.
        cases: the cohort, in whose folders of scans nothing is written.
    """

    def __init__(
        self,
        path: str,
        module: nn.Module | None,
        origin: Mapping[str, Any],
        table: LabelTable,
        cases: Sequence[Case] = (),
    ) -> None:
        self.path, self.module, self.origin, self.table, self.cases = Path(path), module, origin, table, cases

    def attach(self, engine: Engine) -> None:
        """Attach to the engine."""
        if self.module is not None:
            engine.add_event_handler(Events.STARTED, self.claim)
        engine.add_event_handler(Events.COMPLETED, self)

    def claim(self, engine: Engine) -> None:
        """Mark the files as the stage's own; errors of ``claim_weights``."""
        ranks.first_alone(lambda: claim_weights(self.path.parent, [self.path.name], self.table, self.cases))

    def __call__(self, engine: Engine) -> None:
        if ranks.number() == 0 and self.module is not None:
            self.table.save(self.path.parent)
            save_weights(self.path, self.module, self.origin)


class SaveBest:
    """Handler of an evaluator: write a module's weights whenever its key metric is the highest so far in the run.

    The note beside them also says the metric, as "validated". Of several ranks the first writes. It is a part of a
    checkpoint.

    Args:
        path: the file, or a function that returns the one of the training round at present: each starts anew.
        module: whose weights.
        origin: noted beside it.
    """

    def __init__(self, path: str | Callable[[], str], module: nn.Module, origin: Mapping[str, str]) -> None:
        self.path, self.module, self.origin = path, module, origin
        self.best, self.of = -math.inf, ""

    def attach(self, engine: Engine) -> None:
        """Attach to the engine."""
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        path = Path(self.path() if callable(self.path) else self.path)
        if path.name != self.of:
            self.best, self.of = -math.inf, path.name
        state: Any = engine.state
        value = float(state.metrics[state.key_metric_name])
        if value > self.best and ranks.number() == 0:
            save_weights(path, self.module, {**self.origin, "validated": f"{value:.6f}"})
        self.best = max(self.best, value)

    def state_dict(self) -> dict[str, Any]:
        """The highest key metric so far, and the name of the file it is of."""
        return {"best": self.best, "of": self.of}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a ``state_dict``."""
        self.best, self.of = state["best"], state["of"]


class LoadWeights:
    """Handler: load an earlier stage's weights when it is attached; arguments and errors of ``load_weights``.

    That is once, before any run of the engine: a federated round starts from the weights that the server sent. A file
    that is missing is an error of the first run, since an engine is also made to look at its properties. ``path`` None
    leaves the module as it is.
    """

    def __init__(self, path: str | None, module: nn.Module, made_by: str, origin: Origin | None = None) -> None:
        self.path, self.module, self.made_by, self.origin = path, module, made_by, origin

    def attach(self, engine: Engine) -> None:
        """Load the weights, now or, where the file is missing, when the engine starts."""
        if self.path is not None and Path(self.path).is_file():
            self.load()
        elif self.path is not None:
            engine.add_event_handler(Events.STARTED, self.load)

    def load(self) -> None:
        """Load the weights."""
        load_weights(Path(str(self.path)), self.module, self.made_by, self.origin)
