"""The phase of each scan by its objects' embeddings and intensities, beside the one the datalist states."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression

from .comparison import Floats
from .examples import Examples
from .measures import MEASURE_GROUPS, MEASURES
from .suspicion import patient_folds

FEWEST_PATIENTS = 3  # of each phase
COMPONENTS = 16  # principal components of the embeddings
WEIGHT = 0.1  # inverse of the regularisation, strong, since some of the listed phases may be wrong
INTENSITIES = [MEASURES.index(name) for name in MEASURE_GROUPS["intensity"]]


@dataclass(frozen=True)
class PhaseVerdicts:
    """The phases of C scans.

    Args:
        cases: their ids.
        listed: (C,) phases in the datalist.
        phases: the P phases that are told apart.
        probabilities: (C, P); rows of NaN where there is no verdict.
        rests_on: "plain" or "embedding", whichever agrees with the list more often.
        agree: of each, the share of scans whose listed phase is the most probable one.
    """

    cases: list[str]
    listed: NDArray[np.str_]
    phases: list[str]
    probabilities: Floats
    rests_on: str
    agree: dict[str, float]


def judge_phases(objects: Examples, group: str | None = None, seed: int = 0) -> PhaseVerdicts | None:
    """The phase of each scan, by a model of other patients' scans; None with fewer than two phases to tell apart.

    Args:
        objects: objects of maps as they were found.
        group: "plain" (intensities against the organ's) or "embedding"; None: whichever agrees more with the list.
        seed: of the folds.
    """
    names, first = np.unique(objects.cases, return_index=True)
    phases = [
        str(phase)
        for phase in np.unique(objects.phases)
        if len(np.unique(objects.patients[objects.phases == phase])) >= FEWEST_PATIENTS
    ]
    if len(phases) < 2:
        return None
    listed = objects.phases[first]
    found, agree = {}, {}
    for one in ("plain", "embedding") if group is None else (group,):
        if one == "embedding" and not objects.vectors.size:
            continue
        found[one] = _by_scan(objects, _features(objects, one), names, phases, seed)
        known = np.isfinite(found[one][:, 0])
        agree[one] = float((np.array(phases)[found[one].argmax(1)] == listed)[known].mean()) if known.any() else 0.0
    if not found:  # no embeddings
        return None
    best = max(agree, key=lambda one: agree[one])
    return PhaseVerdicts(names.tolist(), listed, phases, found[best], best, agree)


def _features(objects: Examples, group: str) -> Floats:
    """Features (N, F) of objects in which organs look alike: differences from the organ's median over all scans."""
    if group == "embedding":
        values = objects.vectors.mean(1).astype(np.float64)
        values = PCA(min(COMPONENTS, *values.shape), random_state=0).fit_transform(_by_organ(values, objects.organs))
        scaled: Floats = values / max(float(values.std()), 1e-9)
        return scaled
    return _by_organ(objects.measures[:, INTENSITIES], objects.organs, scaled=True)


def _by_organ(values: Floats, organs: NDArray[np.str_], scaled: bool = False) -> Floats:
    made = values.copy()
    for organ in np.unique(organs):
        own = organs == organ
        made[own] -= np.median(values[own], 0)
        if scaled:
            made[own] /= np.maximum(made[own].std(0), 1e-6)
    return made


def _by_scan(objects: Examples, features: Floats, names: NDArray[np.str_], phases: list[str], seed: int) -> Floats:
    """Probabilities (C, P): the log-odds of a scan's objects are averaged, since they are far from independent."""
    made = np.full((len(names), len(phases)), np.nan)
    crossed = np.hstack([features * (objects.organs == organ)[:, None] for organ in np.unique(objects.organs)])
    features = np.hstack([features, crossed])  # one model for all organs, with corrections for each
    for part in patient_folds(objects.patients, seed=seed):
        fit = ~np.isin(objects.patients, list(part)) & np.isin(objects.phases, phases)
        if len(set(objects.phases[fit])) < len(phases):
            continue
        model = LogisticRegression(C=WEIGHT, max_iter=1000, class_weight="balanced")
        model.fit(features[fit], objects.phases[fit])
        for row, name in enumerate(names):
            own = objects.cases == name
            if own.any() and objects.patients[own][0] in part:
                logs = np.log(np.clip(model.predict_proba(features[own]), 1e-6, 1)).mean(0)
                odds = np.exp(3 * (logs - logs.max()))
                made[row] = odds / odds.sum()
    return made
