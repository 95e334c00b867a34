"""A study's results as Markdown, to be put into a page of docs: tables.md."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def markdown(content: Mapping[str, Any], methods: Sequence[str], name: str) -> str:
    """All tables of a study.

    Args:
        content: what ``Report.content`` gives.
        methods: the coarse map, then the strategies.
        name: of the cohort.
    """
    said = [f"Cohort `{name}`: {content['counts']} Dice, mean ± SD over patients of the mean over training runs."]
    for table in content["tables"]:
        told = table["words"].removeprefix(f"{table['title']}: ")
        said += [f"**{table['title']}**: {told}", _by_organ(table, methods)]
        if len(table["phases"]) > 1:
            said.append(_by_phase(table, methods))
        if table["against_baseline"]:
            said.append(_differences(table))
    if content["embeddings"]:
        said.append(_embeddings(content["embeddings"], embedded(content["embeddings"], methods)))
    said.append(_costs(content["costs"]))
    return "\n\n".join(said) + "\n"


def _by_organ(table: Mapping[str, Any], methods: Sequence[str]) -> str:
    head = ["", *methods, "patients", "p, next best", f"p, {table['baseline']}"]
    return _table(
        head,
        (
            [
                line["organ"].replace("_", " "),
                *(_spread(line["found"][method], method == line["best"]) for method in methods),
                str(line["patients"]),
                _p(line["p_next"]),
                _p(line["p_baseline"]),
            ]
            for line in table["organs"]
        ),
    )


def _by_phase(table: Mapping[str, Any], methods: Sequence[str]) -> str:
    return _table(
        ["all organs, by phase", *methods, "patients"],
        (
            [line["phase"], *(_spread(line["found"][method]) for method in methods), str(line["patients"])]
            for line in table["phases"]
        ),
    )


def _differences(table: Mapping[str, Any]) -> str:
    """Every strategy over the baseline: of all scans, and of each phase's where there are several."""
    found = [("all", lines[0]) for lines in table["against_baseline"].values()]
    if len(table["phases"]) > 1:
        found += [(part["phase"], line) for part in table["phases"] for line in part["against_baseline"]]
    return _table(
        [f"all organs, over {table['baseline']}", "scans", "difference", "95 % interval", "p"],
        (
            [line["second"], scans, f"{line['difference']:+.4f}",
             "-" if line["low"] is None else f"{line['low']:+.4f} to {line['high']:+.4f}", _p(line["p"])]
            for scans, line in found
        ),
    )  # fmt: skip


def embedded(lines: Sequence[Mapping[str, Any]], methods: Sequence[str]) -> list[str]:
    """What the embeddings of were measured: the untrained encoder, then the strategies that pretrain."""
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


def _spread(found: tuple[float, float | None], bold: bool = False) -> str:
    mean, sd = found
    text = f"{mean:.3f}" + ("" if sd is None else f" ± {sd:.3f}")
    return f"**{text}**" if bold else text


def _p(value: float | None) -> str:
    if value is None:
        return "-"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
