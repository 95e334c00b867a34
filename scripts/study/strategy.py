"""Training strategies: each is an overlay over the configs of the same stages."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import SemclError
from ..plain import parse_yaml, read_text, read_yaml, short

FOLDER = "strategies"  # of the bundle's configs
KEYS = "YAML with keys of the configs"
FLOOR = "coarse"  # the coarse map, which every strategy starts from
NO_PRETRAINING = "encoder_weights"  # an overlay with this key is not pretrained
SELF_TRAINING = "certain"  # an overlay with this threshold trains a second model, on the first one's maps too
GRID = {"grid", "spatial_dims", "patch_size", "spacing", "window", "extend", "islands"}  # what a query store depends on
FOLDERS = {
    "bundle_root",
    "dataset_dir",
    "output_dir",
    "ckpt_dir",
    "attention_dir",
    "store_dir",
    "prediction_dir",
    "pseudo_dir",
}
OWN = {*FOLDERS, NO_PRETRAINING, "section", "seed", "labelled", "freeze_encoder", "resume"}  # set by the study
AFTER_PRETRAINING = ("train", "inference")
STAGES = ("pretrain", "embed", *AFTER_PRETRAINING)  # of a unit; "stage.key" is a key for that stage alone


@dataclass(frozen=True)
class Strategy:
    """A strategy, or one point of a sweep of it.

    Args:
        name: the overlay's name, with the value for a point of a sweep.
        overlay: the config file.
        overrides: keys and values of the sweep; ``stage.key`` for one stage alone.
    """

    name: str
    overlay: Path
    overrides: dict[str, Any] = field(default_factory=dict)

    @property
    def content(self) -> dict[str, Any]:
        """The overlay's keys."""
        return read_overlay(self.overlay)

    def overrides_of(self, stage: str) -> dict[str, Any]:
        """The overrides for a stage."""
        given = {key: stages_and_key(key) for key in self.overrides}
        return {own: self.overrides[key] for key, (stages, own) in given.items() if stage in stages}

    @property
    def pretrains(self) -> bool:
        """Whether an encoder is pretrained."""
        return NO_PRETRAINING not in self.content

    @property
    def trains_itself(self) -> bool:
        """Whether a second model also learns from the first one's predictions on unlabelled scans."""
        return self.content.get(SELF_TRAINING) is not None

    @property
    def own_grid(self) -> bool:
        """Whether its queries may differ from those of other strategies."""
        return not GRID.isdisjoint(map(group, (*self.content, *self.overrides)))

    @property
    def about(self) -> str:
        """The overlay's description: its first comment lines."""
        lines = read_text(self.overlay).splitlines()
        first = next((number for number, line in enumerate(lines) if not line.startswith("#")), len(lines))
        return " ".join(line.removeprefix("#").strip() for line in lines[:first])


def read_overlay(path: Path) -> dict[str, Any]:
    """The keys of an overlay.

    Raises:
        SemclError: when the file holds something else.
    """
    found = read_yaml(path, KEYS)
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        raise SemclError(
            f"{path} is not an overlay",
            found="nothing: the file is empty" if found is None else short(found),
            expected=KEYS,
            remedy=f"edit {path}" if found is not None else "write {} into one that changes nothing, or leave it out",
        )
    return found


def group(key: str) -> str:
    """The first part of a key of a config: ``train`` of ``train#views#area``."""
    return key.replace("::", "#").partition("#")[0].lstrip("+")


def nested(keys: Iterable[str]) -> list[str]:
    """Those of a config's keys that lie within another: ``train#views#area``."""
    return [key for key in keys if group(key) != key.lstrip("+")]


def stages_and_key(key: str) -> tuple[tuple[str, ...], str]:
    """The stages a sweep's key applies to, and the bare key: ``pretrain.temperature`` is for pretrain alone."""
    stage, dot, own = key.partition(".")
    return ((stage,), own) if dot and stage in STAGES else (STAGES, key)


def refuse_own(keys: Sequence[str], where: str) -> None:
    """Refuse keys that the study sets itself.

    Raises:
        SemclError: naming them.
    """
    taken = sorted({key for key in keys if group(key) in OWN})
    if taken:
        raise SemclError(
            f"the study sets {', '.join(taken)} itself",
            found=f"{', '.join(taken)} in {where}",
            expected="other keys of the configs",
            remedy="use --seeds, --labels, --protocols, --folds, --attention_dir or --out",
        )


def find_strategies(names: Sequence[str], bundle_root: Path) -> list[Strategy]:
    """Strategies, each by the name of an overlay in the bundle's configs/strategies or by the path of another file.

    Raises:
        SemclError: for no strategy at all, a missing one, one given twice, or a file that is not an overlay.
    """
    folder = bundle_root / "configs" / FOLDER
    shipped = {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    if not shipped:
        raise SemclError(
            "the bundle is missing",
            found=f"no overlays in {folder}",
            expected="the bundle's folder",
            remedy="set --bundle_root",
        )
    known = f"one of {', '.join(shipped)}, or the path of your own overlay"
    if not names:
        raise SemclError("no strategy is given", found="none", expected=known, remedy="set --strategies")
    found: list[Strategy] = []
    for name in names:
        path = shipped.get(name, Path(name))
        if not path.is_file():
            near = difflib.get_close_matches(name, shipped, 1)
            raise SemclError(
                "there is no such strategy",
                found=f"no {name}.yaml in {folder}, and no file {name}",
                expected=known,
                remedy=f"did you mean {near[0]}?" if near else "see docs/study.md for how to add one",
            )
        if path.stem == FLOOR or path.stem in {strategy.name for strategy in found}:
            raise SemclError(
                "two strategies of the same name",
                found=f"{path.stem} twice" if path.stem != FLOOR else f"{path}: {FLOOR} is the map that all start from",
                expected="different names",
                remedy="give each once, or rename the overlay",
            )
        strategy = Strategy(path.stem, path.resolve())
        refuse_own([key for key in strategy.content if key != NO_PRETRAINING], str(path))
        found.append(strategy)
    return found


def swept(strategies: Sequence[Strategy], sweep: str, bundle_root: Path) -> list[Strategy]:
    """Each strategy once for every value of ``sweep``: "key=value,value,..." or "stage.key=value,value,...".

    A strategy without pretraining is left as it is if only pretraining has the key.

    Raises:
        SemclError: when the sweep does not have this form, its key is one the study sets itself, or it varies for one
            stage a key that all must share.
    """
    key, _, listed = (part.strip() for part in sweep.partition("="))
    try:
        values = parse_yaml(f"[{listed}]", sweep, "values")
    except SemclError:
        values = []
    if not key or not values or None in values or len({str(value) for value in values}) < len(values):
        raise SemclError(
            "a sweep cannot be understood",
            found=repr(sweep),
            expected="key=value,value,... with a key of the configs, or stage.key for one stage alone; no value twice",
            remedy="for example --sweep temperature=0.05,0.1,0.2 or --sweep layers=[1,1,1,1],[2,2,2,2]",
        )
    stages, own = stages_and_key(key)
    refuse_own([own], f"--sweep {sweep}")
    if own != key and group(own) in GRID:
        raise SemclError(
            "a sweep varies for one stage what all stages must share",
            found=repr(sweep),
            expected=f"the same {own} in all stages: they read one query store",
            remedy=f"set --sweep {own}={listed}",
        )
    later = [stage for stage in stages if stage in AFTER_PRETRAINING]
    files = [*later, "common"] if later else []
    known = {name for file in files for name in read_overlay(bundle_root / "configs" / f"{file}.yaml")}
    found = []
    for strategy in strategies:
        if strategy.pretrains or group(own) in known:
            found += [Strategy(f"{strategy.name} {key}={value}", strategy.overlay, {key: value}) for value in values]
        else:
            found.append(strategy)
    return found
