"""A study's results as Markdown, to be included in a page of documentation: tables.md."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..evaluate.wording import p_text


def markdown(content: Mapping[str, Any], name: str) -> str:
    """All tables of a study.

    Args:
        content: what ``StudyReport.content`` returns.
        name: the cohort's name.
    """
    parts = [f"Cohort `{name}`: {content['counts']} Dice, mean ± SD over patients of the mean over runs."]
    named = [line for table in content["tables"] for line in table["named"]]
    if named:
        parts.append(_differences("named before the run", named))
    parts += content["limits"]
    for table in content["tables"]:
        parts += [f"**{table['title']}.** {' '.join(table['words'])}", _by_organ(table, content["methods"])]
        if len(table["phases"]) > 1:
            parts.append(_by_phase(table, content["methods"]))
        if table["exploratory"]:
            parts.append(_differences("exploratory", table["exploratory"]))
        parts.append(_costs(table["costs"]))
    if content["embeddings"]:
        shown = embedded(content["embeddings"], content["methods"])
        parts.append(_embeddings(content["embeddings"], shown, len(content["tables"])))
    return "\n\n".join(parts) + "\n"


def _by_organ(table: Mapping[str, Any], methods: Sequence[str]) -> str:
    return _table(
        ["", *methods, "patients"],
        (
            [
                line["organ"].replace("_", " "),
                *(_mean_and_sd(line["found"][method], method == line["best"]) for method in methods),
                str(line["patients"]),
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


def _differences(title: str, lines: Sequence[Mapping[str, Any]]) -> str:
    """Contrasts with their intervals, verdicts and chances."""
    head = [title, "labels, budget", "difference", "95 % interval", "verdict"]
    head += ["better / equivalent / worse", "p, corrected", "detectable"]
    return _table(
        head,
        (
            [
                f"{line['first']} - {line['second']}",
                line["table"],
                f"{line['difference']:+.4f}",
                *(
                    ["-", line["verdict"], "-", "-", "-"]
                    if line["tested"] is None
                    else [
                        f"{line['tested']['low']:+.4f} to {line['tested']['high']:+.4f}",
                        line["verdict"],
                        " / ".join(f"{line['tested'][name]:.0%}" for name in ("better", "equivalent", "worse")),
                        p_text(line["p_corrected"], "-"),
                        f"{line['tested']['detectable']:.3f}",
                    ]
                ),
            ]
            for line in lines
        ),
    )


def embedded(lines: Sequence[Mapping[str, Any]], methods: Sequence[str]) -> list[str]:
    """The encoders whose embeddings were measured: the untrained one, then those of strategies that pretrain."""
    measured = {name for line in lines for name in line}
    return [name for name in ("untrained", "begun", *methods) if name in measured]


def _embeddings(lines: Sequence[Mapping[str, Any]], methods: Sequence[str], tables: int) -> str:
    return _table(
        ["embeddings" if tables == 1 else "embeddings, mean over all tables", *methods],
        (
            [line["measure"], *(f"{line[name]:.3f}" if name in line else "-" for name in methods)]
            for line in lines
        ),
    )  # fmt: skip


def _costs(costs: Iterable[Mapping[str, Any]]) -> str:
    head = ["cost of a run", "training, s", "planned, s", "samples", "TFLOP", "inference, s", "memory, MiB"]
    return _table(
        head,
        (
            [
                line["strategy"],
                f"{line.get('training_seconds', 0):.0f}",
                f"{line.get('planned_seconds', 0):.0f}",
                f"{line.get('samples', 0):,.0f}",
                f"{line.get('flops', 0) / 1e12:.1f}",
                f"{line.get('inference_seconds', 0):.0f}",
                f"{line.get('gpu_mib', line.get('resident_mib', 0)):,}",
            ]
            for line in costs
        ),
    )


def _table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows)


def _mean_and_sd(found: tuple[float, float | None], bold: bool = False) -> str:
    mean, sd = found
    text = f"{mean:.3f}" + ("" if sd is None else f" ± {sd:.3f}")
    return f"**{text}**" if bold else text
