"""Sweeps: each strategy once for every value of a key."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import SemclError
from ..plain import parse_yaml
from .stage_keys import StageKeys, group
from .strategy import Strategy, refuse_own

GRID = {"grid", "spatial_dims", "patch_size", "spacing", "window", "extend", "islands"}  # what a query store depends on


def swept(strategies: Sequence[Strategy], sweep: str, keys_of: StageKeys, budget: bool = True) -> list[Strategy]:
    """Each strategy once for every value of ``sweep``: "key=value,value,..." or "stage.key=value,value,...".

    A strategy none of whose stages has the key is left as it is.

    Raises:
        SemclError: when the sweep does not have this form, its key is one the study sets itself or that no strategy
            reads, or it varies for one stage a key that all must share.
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
    refuse_own([key], f"--sweep {sweep}", keys_of, budget)
    stage, own = keys_of.split(key)
    if stage and group(own) in GRID:
        raise SemclError(
            "a sweep varies for one stage what all stages must share",
            found=repr(sweep),
            expected=f"the same {own} in all stages: they read one query store",
            remedy=f"set --sweep {own}={listed}",
        )
    found = []
    for strategy in strategies:
        given = {**strategy.numbers, key: values[0]}
        if any(key in keys_of.read_of(name, given) for name in strategy.all_stages):
            found += [Strategy(f"{strategy.name} {key}={value}", strategy.overlay, {key: value}) for value in values]
        else:
            found.append(strategy)
    if found == list(strategies):
        raise SemclError(
            "a sweep changes nothing",
            found=f"{sweep!r}, and no stage of {', '.join(strategy.name for strategy in strategies)} reads {key}",
            expected="a key of a stage that is run",
            remedy="add a strategy with such a stage to --strategies, or leave out --sweep",
        )
    return found
