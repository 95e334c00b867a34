"""How suspicious an object is: the probability of an error, learnt from injected ones, cross-fitted by patient."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from .comparison import Compared, Floats
from .examples import Examples
from .kinds import OBJECT_KINDS

PREVALENCE = 0.05  # share of the objects of a cohort that are taken to be wrong
PATIENT_FOLDS = 5  # of the patients
TREES = 150
LEAF = 3  # examples in a leaf at least
GAIN = 0.003  # of AUROC, below which a group of features is left out
FEATURE_GROUPS = ("plain", "agreement", "embedding")  # in the order they are tried


@dataclass(frozen=True)
class Verdicts:
    """What is thought of N objects.

    Args:
        suspicion: (N,) probability that an object is wrong; NaN without a verdict.
        kinds: (N,) the most probable error.
        rests_on: groups of features that were used.
        measured: groups -> AUROC on injected errors in patients that the model had not seen.
    """

    suspicion: Floats
    kinds: NDArray[np.str_]
    rests_on: tuple[str, ...]
    measured: dict[str, float]


def patient_folds(*patients: NDArray[np.str_], seed: int = 0) -> Iterator[set[str]]:
    """The patients in parts, each of which is judged by a model that has not seen it."""
    names = sorted({str(name) for each in patients for name in each})
    order = np.random.default_rng(seed).permutation(names).tolist()
    count = min(PATIENT_FOLDS, len(order))
    yield from (set(order[number::count]) for number in range(count))


def suspect(
    objects: Examples,
    compared: Compared,
    known: Examples,
    known_compared: Compared,
    groups: Sequence[str] | None = None,
    seed: int = 0,
) -> Verdicts:
    """The probability that each object is wrong, by a model of other patients' objects with and without errors.

    Without examples of both there is no verdict on any object.

    Args:
        objects: to be judged.
        compared: their features.
        known: objects of label maps as they were found and with injected errors.
        known_compared: their features.
        groups: of features that are used; None: plain ones, and others where they help on injected errors.
        seed: of the folds and the trees.
    """
    learnt = known_compared.enough & np.isin(known.kinds, ["", *OBJECT_KINDS])
    known, wrong = known[learnt], known.kinds[learnt] != ""
    if len(set(wrong.tolist())) < 2:
        return Verdicts(np.full(len(objects), np.nan), np.full(len(objects), ""), (), {})
    measured: dict[str, float] = {}
    results: dict[tuple[str, ...], Judged] = {}

    def judged_by(used: tuple[str, ...]) -> float:
        results[used] = _cross_fitted(known_compared.group(*used)[learnt], known, compared.group(*used), objects, seed)
        measured[" + ".join(used)] = float(roc_auc_score(wrong, results[used].held_out))
        return measured[" + ".join(used)]

    chosen: tuple[str, ...] = tuple(groups or ())
    if chosen:
        judged_by(chosen)
    for group in FEATURE_GROUPS if groups is None else ():
        features = known_compared.group(group)
        if features.size and not np.isnan(features).all():
            gained = judged_by((*chosen, group)) - measured.get(" + ".join(chosen), 0)
            chosen = (*chosen, group) if gained > GAIN else chosen
    found = results[chosen]
    suspicion = _calibrated(found.scores, found.held_out, wrong)
    return Verdicts(np.where(compared.enough, suspicion, np.nan), found.kinds, chosen, measured)


@dataclass(frozen=True)
class Judged:
    """Scores (N,) of objects, their most probable errors, and scores of examples by models that had not seen them."""

    scores: Floats
    kinds: NDArray[np.str_]
    held_out: Floats


def _cross_fitted(learnt: Floats, known: Examples, judged: Floats, objects: Examples, seed: int) -> Judged:
    """Scores of an error, between 0 and 1, by models that have not seen the patient."""
    made = Judged(np.full(len(objects), np.nan), np.full(len(objects), "", "<U16"), np.full(len(known), 0.5))
    for part in patient_folds(known.patients, objects.patients, seed=seed):
        fit, own = ~np.isin(known.patients, list(part)), np.isin(objects.patients, list(part))
        if "" not in known.kinds[fit] or len(set(known.kinds[fit])) < 2:
            continue
        trees = ExtraTreesClassifier(TREES, min_samples_leaf=LEAF, random_state=seed, n_jobs=1)
        trees.fit(filled(learnt[fit]), known.kinds[fit], sample_weight=_weights(known.kinds[fit], 0.5))
        clean = trees.classes_.tolist().index("")
        errors = [number for number in range(len(trees.classes_)) if number != clean]
        if own.any():
            found = trees.predict_proba(filled(judged[own]))
            made.scores[own], made.kinds[own] = 1 - found[:, clean], trees.classes_[errors][found[:, errors].argmax(1)]
        if (~fit).any():
            made.held_out[~fit] = 1 - trees.predict_proba(filled(learnt[~fit]))[:, clean]
    return made


def _weights(kinds: NDArray[np.str_], prevalence: float) -> Floats:
    """Weights of examples with which errors have a prevalence, and each kind is as frequent as the others."""
    names, counts = np.unique(kinds, return_counts=True)
    share = np.where(names == "", 1 - prevalence, prevalence / max(1, len(names) - 1))
    weights: Floats = (share / counts)[np.searchsorted(names, kinds)] * len(kinds)
    return weights


def _calibrated(scores: Floats, held_out: Floats, wrong: NDArray[np.bool_]) -> Floats:
    """Probabilities of an error at a prevalence of ``PREVALENCE``: a logistic curve through held-out scores (Platt)."""

    def odds(values: Floats) -> Floats:
        clipped = np.clip(np.nan_to_num(values, nan=0.5), 0.005, 0.995)
        return np.asarray(np.log(clipped / (1 - clipped)))[:, None]

    weights = np.where(wrong, PREVALENCE / wrong.mean(), (1 - PREVALENCE) / (1 - wrong.mean()))
    curve = LogisticRegression(C=10.0).fit(odds(held_out), wrong, sample_weight=weights)
    probabilities: Floats = curve.predict_proba(odds(scores))[:, 1]
    return np.where(np.isfinite(scores), probabilities, np.nan)


def filled(features: Floats) -> Floats:
    """Features with 0, the usual, where they are unknown."""
    made: Floats = np.nan_to_num(features, nan=0.0)
    return made


@dataclass(frozen=True)
class ExpectedDice:
    """The Dice that N objects are expected to have with the truth.

    Args:
        dice: (N,) expected; NaN where nothing is known of the organ.
        low: (N,) lower end of the interval that holds 90 % of held-out objects of such an expectation.
        high: (N,) upper end.
        fails: (N,) the probability that the Dice is below what is usable.
    """

    dice: Floats
    low: Floats
    high: Floats
    fails: Floats


COVERED = 0.9  # share of held-out objects within the interval
ALIKE = 60  # held-out objects of the most similar expectation that it is taken from


def expect_dice(
    objects: Examples,
    compared: Compared,
    known: Examples,
    known_compared: Compared,
    usable: float = 0.6,
    groups: Sequence[str] = ("plain", "embedding"),
    seed: int = 0,
) -> ExpectedDice:
    """The Dice of each object, by a model of other patients' objects whose Dice is known.

    Args:
        objects: to be judged.
        compared: their features.
        known: objects of label maps, maps and injected errors of which the Dice is known.
        known_compared: their features.
        usable: the least Dice of a usable segmentation.
        groups: of features.
        seed: of the folds and the trees.
    """
    fit_for = known_compared.enough & np.isfinite(known.dice)
    known, learnt, judged = known[fit_for], known_compared.group(*groups)[fit_for], compared.group(*groups)
    dice, held_out = np.full(len(objects), np.nan), np.full(len(known), np.nan)
    for part in patient_folds(known.patients, objects.patients, seed=seed):
        fit = ~np.isin(known.patients, list(part))
        if not fit.any():
            continue
        trees = ExtraTreesRegressor(TREES, min_samples_leaf=LEAF, random_state=seed, n_jobs=1)
        trees.fit(filled(learnt[fit]), known.dice[fit])
        for found, features, patients in ((dice, judged, objects.patients), (held_out, learnt, known.patients)):
            own = np.isin(patients, list(part))
            if own.any():
                found[own] = trees.predict(filled(features[own]))
    measured = np.isfinite(held_out)
    dice = np.where(compared.enough & measured.any(), dice, np.nan)
    apart, held_out = (known.dice - held_out)[measured], held_out[measured]
    low, high, fails = dice.copy(), dice.copy(), dice.copy()
    for row in np.flatnonzero(np.isfinite(dice)):
        alike = apart[np.argsort(np.abs(held_out - dice[row]))[:ALIKE]]
        ends = dice[row] + np.quantile(alike, ((1 - COVERED) / 2, (1 + COVERED) / 2))
        low[row], high[row] = np.clip(ends, 0, 1)
        fails[row] = (dice[row] + alike < usable).mean()
    return ExpectedDice(dice, np.minimum(low, dice), np.maximum(high, dice), fails)
