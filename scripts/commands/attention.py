"""``python -m scripts attention``."""

from __future__ import annotations

from pathlib import Path

from ..printable import counted
from .options import Listed, NewPath, checked


@checked
def attention(
    maps: str,
    names: str,
    dataset_dir: str,
    out: str | None = None,
    missing: str = "stop",
    allow: Listed = (),
    csv: NewPath | None = None,
    **unknown: object,
) -> None:
    """Make attention maps of label maps that another tool made of the cohort's scans: no coarse network is needed.

    Args:
        maps: folder with a label map per case, or a folder per case with a mask per organ.
        names: totalsegmentator, totalsegmentator_mr, or a YAML file with the organ of each number; masks are named by
            their files.
        dataset_dir: the cohort.
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
    from ..errors import one_of
    from ..intake import findings
    from ..intake.tool_layout import map_of
    from ..intake.tool_maps import read_map
    from ..intake.tool_names import read_numbers
    from ..outputs import Output

    one_of("missing", missing, ("stop", "leave"))
    table, cases, numbers = LabelTable.load(dataset_dir), datalist.load(dataset_dir), read_numbers(names)
    found = {case.id: map_of(Path(maps), case.id) for case in cases}
    _refuse_missing([name for name, path in found.items() if path is None], maps, missing == "stop")
    own = Output(Path(out) if out else Path(dataset_dir) / "attention", "attention maps of another tool", "--out")
    own.claim(input_files(cases))
    every, unused = list[findings.Finding](), set[str]()
    held = set[int]()
    for case in cases:
        path = found[case.id]
        if path is None:
            continue
        image = read(case.image, case.id)
        made = read_map(image, path, numbers, table)
        wrong = findings.allow(made.findings, allow)
        every += wrong
        unused |= set(made.unused)
        held |= set(made.objects.ravel().tolist())
        if not any(item.severity == ERROR for item in wrong):
            write_label_map(attention_path(own.folder, case.id), made.objects, image, table)
    if csv:
        findings.write_findings(Path(csv), every)
    if every:
        print(findings.as_text(every))
    lacking = [name for number, name in enumerate(table.names, start=1) if number not in held]
    print(f"{own.folder}: maps of {sum(path is not None for path in found.values())} of {counted(len(cases), 'case')}")
    print(f"without a map: {', '.join(lacking) or 'no organ'}; not in the label table: {len(unused)} of the tool's")
    _refuse_lacking(lacking, missing == "stop")
    findings.stop(every)


def _refuse_missing(cases: list[str], maps: str, stop: bool) -> None:
    from ..errors import SemclError

    if cases and stop:
        raise SemclError(
            "a case has no map", case=cases[0], found=f"{counted(len(cases), 'case')} without one in {maps}",
            expected="<case>.nii.gz, or a folder <case> of masks, for each", remedy="make them, or set --missing leave",
        )  # fmt: skip


def _refuse_lacking(organs: list[str], stop: bool) -> None:
    from ..errors import SemclError

    if organs and stop:
        raise SemclError(
            "organs of the label table are in no map", found=", ".join(organs), expected="every organ in some map",
            remedy="add their names to --names, train the coarse network for them (coarse.yaml --tool_maps), or set "
            "--missing leave: they get no attention, and are not segmented",
        )  # fmt: skip
