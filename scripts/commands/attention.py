"""``python -m scripts attention``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..printable import counted
from .options import Listed, NewPath, checked

if TYPE_CHECKING:
    from ..cohort.case import Case
    from ..errors import SemclError
    from ..intake.given_maps import ToolMaps


@checked
def attention(
    dataset_dir: str,
    names: str,
    maps: str | None = None,
    coarse_command: str | None = None,
    out: str | None = None,
    missing: str = "stop",
    allow: Listed = (),
    csv: NewPath | None = None,
    **unknown: object,
) -> None:
    """Make attention maps of label maps that another tool made of the cohort's scans: no coarse network is needed.

    Args:
        dataset_dir: the cohort.
        names: totalsegmentator, totalsegmentator_mr, or a YAML file with the organ of each number; masks are named by
            their files.
        maps: folder with a label map per case, or a folder per case with a mask per organ.
        coarse_command: makes the map of each case that has none there: "TotalSegmentator -i {image} -o {out} --ml".
        out: folder of the attention maps; attention/ of the cohort unless given.
        missing: stop where a case or an organ of the label table has no map, or leave it out.
        allow: findings to accept, separated by commas.
        csv: file to write all findings to.
    """
    from ..cohort import datalist
    from ..cohort.attention import attention_path, write_label_map
    from ..cohort.case import input_files
    from ..cohort.label_table import LabelTable
    from ..cohort.volume import read
    from ..cohort.volume_errors import ERROR
    from ..errors import SemclError, one_of, raise_all
    from ..intake import findings
    from ..intake.given_maps import ToolMaps
    from ..intake.tool_maps import read_map
    from ..outputs import Output

    one_of("missing", missing, ("stop", "leave"))
    table, cases = LabelTable.load(dataset_dir), datalist.load(dataset_dir)
    tool = ToolMaps(maps, names, table, coarse_command, f"{dataset_dir}/tool_maps")
    _require_source(tool.used)
    _refuse_missing([case.id for case in cases if not tool.gives(case.id)], maps, missing == "stop")
    own = Output(Path(out) if out else Path(dataset_dir) / "attention", "attention maps of another tool", "--out")
    own.claim(input_files(cases))
    tool.claim(cases)
    every, unused = list[findings.Finding](), set[str]()
    held, with_map, failed = set[int](), 0, list[SemclError]()
    for case, path in _with_maps(tool, cases, failed):
        image = read(case.image, case.id)
        made = read_map(image, path, tool.numbers, table)
        wrong = findings.allow(made.findings, allow)
        every += wrong
        unused |= set(made.unused)
        held |= set(made.objects.ravel().tolist())
        with_map += 1
        if not any(item.severity == ERROR for item in wrong):
            write_label_map(attention_path(own.folder, case.id), made.objects, image, table)
    if csv:
        findings.write_findings(Path(csv), every)
    if every:
        print(findings.as_text(every))
    lacking = [name for number, name in enumerate(table.names, start=1) if number not in held]
    print(f"{own.folder}: maps of {with_map} of {counted(len(cases), 'case')}")
    print(f"without a map: {', '.join(lacking) or 'no organ'}; not in the label table: {len(unused)} of the tool's")
    raise_all(failed, "the command's maps")
    _refuse_lacking(lacking, missing == "stop")
    findings.stop(every)


def _with_maps(tool: ToolMaps, cases: list[Case], failed: list[SemclError]) -> Iterator[tuple[Case, Path]]:
    """The cases that have a map, or get one from the command; its errors are added to ``failed``."""
    from ..bars import bar
    from ..errors import SemclError

    for case in bar(cases, total=len(cases), title="attention", unit="case"):
        try:
            path = tool.file(case.id, case.image)
        except SemclError as error:
            failed.append(error)
            continue
        if path is not None:
            yield case, path


def _require_source(used: bool) -> None:
    from ..errors import SemclError

    if not used:
        raise SemclError(
            "there are no maps to make attention of", found="neither --maps nor --coarse_command",
            expected="a folder of label maps, or a command that makes them", remedy="give one, or both",
        )  # fmt: skip


def _refuse_missing(cases: list[str], maps: str | None, stop: bool) -> None:
    from ..errors import SemclError

    if cases and stop:
        raise SemclError(
            "a case has no map", case=cases[0], found=f"{counted(len(cases), 'case')} without one in {maps}",
            expected="<case>.nii.gz, or a folder <case> of masks, for each",
            remedy="make them, give --coarse_command to have them made, or set --missing leave",
        )  # fmt: skip


def _refuse_lacking(organs: list[str], stop: bool) -> None:
    from ..errors import SemclError

    if organs and stop:
        raise SemclError(
            "organs of the label table are in no map", found=", ".join(organs), expected="every organ in some map",
            remedy="add their names to --names, train the coarse network for them (coarse.yaml --tool_maps), or set "
            "--missing leave: they get no attention, and are not segmented",
        )  # fmt: skip
