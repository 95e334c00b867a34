"""How well an audit finds errors that were injected into a cohort, beside peers in the same run.

``python -m bench.audit --cohort COHORT --name NAME`` on a cohort with attention maps, coarse networks and a pretrained
encoder adds rows to bench/audit.csv, seed by seed: an interrupted run goes on. ``--table True`` prints them.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import fire
import numpy as np
from scipy import stats
from sklearn.metrics import roc_auc_score

from bench.audit_errors import SHARES, Cohort, clean_peers, injected
from scripts.audit.comparison import compare_with
from scripts.audit.examples import Examples, joined
from scripts.audit.kinds import OTHER_SCAN
from scripts.audit.phases import judge_phases
from scripts.audit.scan import LABEL, OPINION
from scripts.audit.suspicion import expect_dice, suspect

ROWS = Path(__file__).with_name("audit.csv")
COLUMNS = ("cohort", "task", "share", "seed", "method", "kind", "measure", "value")
SEEDS, FAILED = 5, 0.6
METHODS: dict[str, tuple[str, ...]] = {
    "size, place, intensity": ("plain",),
    "embeddings": ("embedding",),
    "both": ("plain", "embedding"),
    "size, place, intensity and attention map": ("plain", "agreement"),
    "both and attention map": ("plain", "agreement", "embedding"),
}
CONFIDENT, ENSEMBLE, RANDOM = "confident learning", "ensemble agreement", "random"


def usable(bank: Examples) -> dict[str, tuple[str, ...]]:
    """The methods for which there are embeddings."""
    return {name: groups for name, groups in METHODS.items() if bank.vectors.size or "embedding" not in groups}


def measured(wrong: np.ndarray, kinds: np.ndarray, scores: np.ndarray) -> Iterator[tuple[str, str, float]]:
    """Kind, measure and value: AUROC, and precision among as many of the most suspicious as there are errors."""
    scores = np.nan_to_num(scores, nan=float(np.nanmedian(scores)))
    for kind in ("all", *sorted(set(kinds[wrong].tolist()))):
        own = ~wrong | (wrong if kind == "all" else kinds == kind)
        truth, values = wrong[own], scores[own] + 1e-9 * np.random.default_rng(0).random(int(own.sum()))
        top = np.argsort(-values)[: int(truth.sum())]
        yield kind, "auroc", float(roc_auc_score(truth, values))
        yield kind, "precision", float(truth[top].mean())


def label_errors(cohort: Cohort, seed: int) -> Iterator[tuple[Any, ...]]:
    """Rows of one seed: every method at both shares of errors."""
    bank = cohort.collector.gather(cohort.cases, {})
    wrong, wrong_scores = injected(cohort, seed)
    clean_scores = clean_peers(cohort, bank[bank.clean])
    rng = np.random.default_rng(seed)
    for share in SHARES:
        kept = rng.random(len(wrong)) < share / max(SHARES)
        whole = np.unique(wrong.cases[wrong.kinds == OTHER_SCAN])
        kept[wrong.kinds == OTHER_SCAN] = np.isin(
            wrong.cases[wrong.kinds == OTHER_SCAN], whole[: max(1, round(len(whole) * share / max(SHARES)))]
        )
        if len(set(wrong.kinds[kept])) < 2:
            kept[:] = True
        errors_now = wrong[kept]
        replaced = set(zip(errors_now.cases.tolist(), errors_now.organs.tolist(), strict=True))
        clean = bank[bank.clean]
        stays = np.array([key not in replaced for key in zip(clean.cases.tolist(), clean.organs.tolist(), strict=True)])
        audited = joined([clean[stays], replace(errors_now, kinds=np.full(len(errors_now), ""))])
        known = joined([audited, bank[(bank.kinds != "") & (bank.sources == LABEL)]])
        truth = np.r_[np.zeros(int(stays.sum()), bool), np.ones(len(errors_now), bool)]
        kinds = np.r_[np.full(int(stays.sum()), "", "<U16"), errors_now.kinds]
        compared, learnt = compare_with(audited, audited), compare_with(known, audited)
        peers = np.concatenate([clean_scores[stays], wrong_scores[kept]])
        scores = {RANDOM: rng.random(len(truth)), CONFIDENT: peers[:, 0], ENSEMBLE: peers[:, 1]}
        for name, groups in usable(bank).items():
            scores[name] = suspect(audited, compared, known, learnt, groups, seed).suspicion
        for name, values in scores.items():
            for kind, measure, value in measured(truth, kinds, values):
                yield "label errors", share, seed, name, kind, measure, value


def predictions(cohort: Cohort, seed: int) -> Iterator[tuple[Any, ...]]:
    """Expected Dice of the coarse network's own maps, and its failures."""
    bank = cohort.collector.gather(cohort.cases, {})
    compared = compare_with(bank, bank[bank.clean])
    own = bank.sources == OPINION
    truth = bank.dice[own]
    for name, groups in usable(bank).items():
        if "agreement" in groups:  # of the attention map with itself
            continue
        found = expect_dice(bank[own], compared[own], bank, compared, FAILED, groups, seed)
        known = np.isfinite(found.dice)
        covered = (found.low <= truth) & (truth <= found.high)
        yield "predictions", "", seed, name, "all", "mae", float(np.abs(found.dice - truth)[known].mean())
        yield (
            "predictions",
            "",
            seed,
            name,
            "all",
            "rank correlation",
            float(stats.spearmanr(found.dice[known], truth[known])[0]),
        )
        yield "predictions", "", seed, name, "all", "r", float(np.corrcoef(found.dice[known], truth[known])[0, 1])
        yield "predictions", "", seed, name, "all", "covered", float(covered[known].mean())
        if 0 < (truth < FAILED).sum() < len(truth):
            yield (
                "predictions",
                "",
                seed,
                name,
                "failed",
                "auroc",
                float(roc_auc_score(truth[known] < FAILED, found.fails[known] - found.dice[known])),
            )


def phases(cohort: Cohort, seed: int) -> Iterator[tuple[Any, ...]]:
    """How often the phase of a scan is recognised when the datalist states a tenth of the phases wrongly."""
    bank = cohort.collector.gather(cohort.cases, {})
    clean, rng = bank[bank.clean], np.random.default_rng(seed)
    names = sorted(set(clean.phases.tolist()))
    if len(names) != 2:
        return
    wrong = rng.permutation(sorted(set(clean.cases.tolist())))[: max(1, round(0.1 * len(cohort.cases)))]
    swapped = np.isin(clean.cases, wrong)
    listed = np.where(swapped, np.where(clean.phases == names[0], names[1], names[0]), clean.phases)
    true = dict(zip(clean.cases.tolist(), clean.phases.tolist(), strict=True))
    for name, group in (("size, place, intensity", "plain"), ("embeddings", "embedding")):
        found = judge_phases(replace(clean, phases=listed), group, seed)
        if found is not None:
            right = [
                found.phases[int(row.argmax())] == true[case]
                for case, row in zip(found.cases, found.probabilities, strict=True)
            ]
            yield "phase", 0.1, seed, name, "all", "accuracy", float(np.mean(right))


TASKS = {"phase": phases, "predictions": predictions, "label errors": label_errors}


def main(cohort: str = "", name: str = "", overlay: str | None = None, table: bool = False, seeds: int = SEEDS) -> None:
    """Measure seeds that have no rows yet, or print the table."""
    if table:
        print(as_markdown())
        return
    made = Cohort(cohort, overlay)
    for seed in range(1, seeds + 1):
        for title, task in TASKS.items():
            done = {(row["cohort"], row["task"], row["seed"]) for row in rows()}
            if (name, title, str(seed)) in done:
                continue
            new = [[name, *row] for row in task(made, seed)]
            fresh = not ROWS.is_file()
            with open(ROWS, "a", newline="", encoding="utf-8") as file:
                csv.writer(file, lineterminator="\n").writerows([*([COLUMNS] if fresh else []), *new])
            print(f"{name}, seed {seed}: {task.__name__}, {len(new)} rows", flush=True)


def rows() -> list[dict[str, str]]:
    """The rows measured so far."""
    if not ROWS.is_file():
        return []
    with open(ROWS, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def as_markdown() -> str:
    """One table for each cohort, task, share and measure: a line per kind, a column per method, means over seeds.

    With 95 % intervals (t), where there are several seeds.
    """
    tables: dict[tuple[str, ...], dict[str, dict[str, list[float]]]] = {}
    for row in rows():
        table = tables.setdefault((row["cohort"], row["task"], row["share"], row["measure"]), {})
        table.setdefault(row["kind"], {}).setdefault(row["method"], []).append(float(row["value"]))
    lines: list[str] = []
    for (cohort, task, share, measure), kinds in tables.items():
        methods = list(dict.fromkeys(method for found in kinds.values() for method in found))
        seeds = max(len(values) for found in kinds.values() for values in found.values())
        wrong = f", {float(share):.0%} wrong" if share else ""
        lines += ["", f"{cohort}, {task}{wrong}: {measure}, {seeds} seed{'s' * (seeds > 1)}", ""]
        lines += ["| | " + " | ".join(methods) + " |", "|---|" + "---|" * len(methods)]
        for kind, found in kinds.items():
            lines.append(f"| {kind} | " + " | ".join(_mean(found.get(method, [])) for method in methods) + " |")
    return "\n".join(lines).strip()


def _mean(values: list[float]) -> str:
    if not values:
        return ""
    if len(values) < 2:
        return f"{values[0]:.2f}"
    return f"{np.mean(values):.2f} ± {stats.t.ppf(0.975, len(values) - 1) * stats.sem(values):.2f}"


if __name__ == "__main__":
    fire.Fire(main)
