"""StageNumbers of the stages by the names that Auto3DSeg's own algorithms know.

``AutoRunner.set_training_params`` gives all algorithms the same names, and MONAI's fail on one with a ``#`` that their
configs lack. So beside them numbers need names without: ``num_epochs``, or ``train_skip_width`` for a stage's key.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..bundle_folder import bundle_folder
from ..coarse.config import coarse_config
from ..job.shipped_configs import shipped
from ..job.warm_up import warm_up_share

TRAINED = ("coarse", "pretrain", "train")  # stages that train
CHAIN_STAGES = (*TRAINED, "inference")
AMP = {True: "float16", False: "float32"}  # precision that amp stands for
LEAST_WARM_UP = 0.01  # share of the steps
KNOWN = {  # name: the keys it sets
    "learning_rate": ("train#learning_rate",),
    "num_epochs_per_validation": ("pretrain#val_interval", "train#val_interval"),
    "early_stop_patience": ("train#patience",),
    "num_workers": ("common#num_workers",),
    "amp": ("common#precision",),
}
StageNumbers = Mapping[str, Mapping[str, Any]]


def config_of(stage: str, numbers: StageNumbers) -> tuple[str, dict[str, Any]]:
    """The name of a stage's config, and numbers it needs besides its own; the coarse stage has two to choose from.

    Args:
        stage: one of ``CHAIN_STAGES``.
        numbers: by stage, and under "common" for all of them.
    """
    if stage != CHAIN_STAGES[0]:
        return stage, {}
    return coarse_config({**(numbers.get("common") or {}), **(numbers.get(stage) or {})})


def staged(given: Mapping[str, Any], numbers: StageNumbers) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """StageNumbers by stage with those given added, and the names among these that are other algorithms'.

    ``num_epochs`` is the length of train; the other stages that train become longer or shorter by the same factor.
    ``num_warmup_epochs`` is how long train's learning rate rises; in the others it rises for the same share.

    Args:
        given: by name: one of ``KNOWN`` or of those two, "stage#key" or "stage_key".
        numbers: by stage, and under "common" for all of them.
    """
    found = {group: dict(numbers.get(group) or {}) for group in ("common", *CHAIN_STAGES)}
    others = []
    for name in given:
        keys = KNOWN.get(name) or _keys(name, found)
        for key in keys:
            group, _, rest = key.partition("#")
            found[group][rest] = AMP[bool(given[name])] if name == "amp" else given[name]
        if not keys and name not in ("num_epochs", "num_warmup_epochs"):
            others.append(name)
    _set_lengths(found, given)
    return found, others


def _keys(name: str, groups: StageNumbers) -> tuple[str, ...]:
    group, hash_mark, key = name.partition("#") if "#" in name else name.partition("_")
    known = key and group in groups and (hash_mark == "#" or key in _shipped(group, groups))
    return (f"{group}#{key}",) if known else ()


def _shipped(group: str, numbers: StageNumbers) -> Mapping[str, Any]:
    config, _ = config_of(CHAIN_STAGES[0] if group == "common" else group, numbers)
    ships = shipped(bundle_folder(), config)
    return ships.common if group == "common" else ships.own


def _set_lengths(found: dict[str, dict[str, Any]], given: Mapping[str, Any]) -> None:
    """Set the epochs of each stage, and the share of its steps in which its learning rate rises."""
    if not {"num_epochs", "num_warmup_epochs"} & set(given):
        return
    before = {stage: _number("max_epochs", stage, found) for stage in TRAINED}
    epochs = given.get("num_epochs", before["train"])
    for stage in TRAINED:
        if "num_epochs" in given:
            found[stage]["max_epochs"] = max(1, round(before[stage] * epochs / before["train"]))
        if "num_warmup_epochs" in given:
            share = min(max(given["num_warmup_epochs"] / epochs, LEAST_WARM_UP), 1 - LEAST_WARM_UP)
            steps = _number("max_epochs", stage, found) * _number("epoch_length", stage, found)
            found[stage]["scheduler#pct_start"] = warm_up_share(share, steps)


def _number(key: str, stage: str, found: StageNumbers) -> int:
    in_effect = {**_shipped(stage, found), **found["common"], **found[stage]}
    return int(in_effect[key])
