"""A study's results as Markdown, to be included in a page of documentation: tables.md."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..evaluate.wording import p_text


def markdown(content: Mapping[str, Any], methods: Sequence[str], name: str) -> str:
    """All tables of a study.

    Args:
        content: what ``StudyReport.content`` returns.
        methods: the coarse map, then the strategies.
        name: the cohort's name.
    """
    parts = [f"Cohort `{name}`: {content['counts']} Dice, mean ± SD over patients of the mean over training runs."]
    for table in content["tables"]:
        sentence = table["words"].removeprefix(f"{table['title']}: ")
        parts += [f"**{table['title']}**: {sentence}", _by_organ(table, methods)]
        if len(table["phases"]) > 1:
            parts.append(_by_phase(table, methods))
        if table["against_baseline"]:
            parts.append(_differences(table))
    if content["embeddings"]:
        parts.append(_embeddings(content["embeddings"], embedded(content["embeddings"], methods)))
    parts.append(_costs(content["costs"]))
    return "\n\n".join(parts) + "\n"


def _by_organ(table: Mapping[str, Any], methods: Sequence[str]) -> str:
    head = ["", *methods, "patients", "p, next best", f"p, {table['baseline']}"]
    return _table(
        head,
        (
            [
                line["organ"].replace("_", " "),
                *(_mean_and_sd(line["found"][method], method == line["best"]) for method in methods),
                str(line["patients"]),
                p_text(line["p_next"], "-"),
                p_text(line["p_baseline"], "-"),
            ]
            for line in table["organs"]
        ),
    )


def _by_phase(table: Mapping[str, Any], methods: Sequence[str]) -> str:
    return _table(
        ["all organs, by phase", *methods, "patients"],
        (
            [line["phase"], *(_mean_and_sd(line["found"][method]) for method in methods), str(line["patients"])]
            for line in table["phases"]
        ),
    )


def _differences(table: Mapping[str, Any]) -> str:
    """Every strategy against the baseline: on all scans, and on those of each phase where there are several."""
    found = [("all", lines[0]) for lines in table["against_baseline"].values()]
    if len(table["phases"]) > 1:
        found += [(phase["phase"], line) for phase in table["phases"] for line in phase["against_baseline"]]
    return _table(
        [f"all organs, over {table['baseline']}", "scans", "difference", "95 % interval", "p"],
        (
            [line["second"], scans, f"{line['difference']:+.4f}",
             "-" if line["low"] is None else f"{line['low']:+.4f} to {line['high']:+.4f}", p_text(line["p"], "-")]
            for scans, line in found
        ),
    )  # fmt: skip


def embedded(lines: Sequence[Mapping[str, Any]], methods: Sequence[str]) -> list[str]:
    """The encoders whose embeddings were measured: the untrained one, then those of strategies that pretrain."""
    measured = {name for line in lines for name in line}
    return [name for name in ("untrained", *methods) if name in measured]


def _embeddings(lines: Sequence[Mapping[str, Any]], methods: Sequence[str]) -> str:
    return _table(
        ["embeddings", *methods],
        (
            [line["measure"], *(f"{line[name]:.3f}" if name in line else "-" for name in methods)]
            for line in lines
        ),
    )  # fmt: skip


def _costs(costs: Iterable[Mapping[str, Any]]) -> str:
    return _table(
        ["cost of a run", *("pretraining, s", "queries"), *("training, s", "queries"), "inference, s", "memory, MiB"],
        (
            [line["strategy"], f"{line['pretrain_seconds']:.0f}", f"{line['pretrain_queries']:,}",
             f"{line['train_seconds']:.0f}", f"{line['train_queries']:,}", f"{line['inference_seconds']:.0f}",
             f"{line['resident_mib']:,}"]
            for line in costs
        ),
    )  # fmt: skip


def _table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows)


def _mean_and_sd(found: tuple[float, float | None], bold: bool = False) -> str:
    mean, sd = found
    text = f"{mean:.3f}" + ("" if sd is None else f" ± {sd:.3f}")
    return f"**{text}**" if bold else text
