"""Why an object is suspicious, in words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .comparison import Compared
from .examples import Examples
from .measures import AGREEMENT, MEASURES

SHOWN_REASONS = 3  # deviations in a reason
LEAST_SHOWN = 2.5  # robust standard deviations of one that is worth mentioning
DEVIATIONS = {  # measure -> what is less, what is more than usual
    "log_volume": ("smaller", "larger"),
    "extent_x": ("narrower", "wider"),
    "extent_y": ("less deep from back to front", "deeper from back to front"),
    "extent_z": ("shorter from feet to head", "longer from feet to head"),
    "x": ("further left", "further right"),
    "y": ("further back", "further forward"),
    "z": ("further down", "further up"),
    "among_x": ("further left among the organs", "further right among the organs"),
    "among_y": ("further back among the organs", "further forward among the organs"),
    "among_z": ("further down among the organs", "further up among the organs"),
    "compactness": ("with less surface", "with more surface"),
    "flatness": ("flatter", "rounder across"),
    "elongation": ("less elongated", "more elongated"),
    "log_pieces": ("in fewer pieces", "in more pieces"),
    "main_piece": ("with a smaller main piece", "with a larger main piece"),
    "stray": ("less spread out", "with pieces far apart"),
    "jump": ("with smoother slices", "with areas that jump from slice to slice"),
    "first": ("ending more gently at the feet", "cut off at the feet"),
    "last": ("ending more gently at the head", "cut off at the head"),
    "mean": ("darker", "brighter"),
    "sd": ("more even", "less even"),
    "p10": ("with darker dark parts", "with brighter dark parts"),
    "p90": ("with darker bright parts", "with brighter bright parts"),
    "around": ("in darker surroundings", "in brighter surroundings"),
    "edge": ("with a darker edge", "with a brighter edge"),
    "uneven": ("with more equal parts", "with a part of another intensity"),
    "odd_slice": ("with more equal slices", "with a slice of another intensity"),
    "contact": ("with more usual neighbours", "beside other neighbours"),
}


def reason(objects: Examples, compared: Compared, row: int, rests_on: Sequence[str]) -> str:
    """What is unusual about an object, the most unusual first; distances in robust standard deviations (SD)."""
    said = []
    if "agreement" in rests_on:
        same = dict(zip(AGREEMENT, objects.measures[row, len(MEASURES) :].tolist(), strict=True))
        if np.isfinite(same["agreement"]) and same["agreement"] < 0.5:
            said.append(f"agrees little with the attention map (Dice {same['agreement']:.2f})")
    own, other = compared.column("embedding:raw_own")[row], compared.column("embedding:raw_other")[row]
    if "embedding" in rests_on and np.isfinite(own) and other > own:
        name = str(compared.resembles[row]).replace("_", " ")
        said.append(f"looks more like {name} of other patients (cosine {other:.2f}) than like itself ({own:.2f})")
    names = [*MEASURES, "contact"]
    apart = np.nan_to_num([compared.column(f"plain:{name}")[row] for name in names])
    for place in np.argsort(-np.abs(apart))[:SHOWN_REASONS].tolist():
        if abs(apart[place]) >= LEAST_SHOWN:
            said.append(f"{DEVIATIONS[names[place]][int(apart[place] > 0)]} by {abs(apart[place]):.1f} SD")
    return "; ".join(said) or "as in other patients"
