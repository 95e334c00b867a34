"""Attention maps written by coarse networks that have been trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from .. import ranks
from ..bars import bar
from ..cohort.attention import attention_path, made_of, write_label_map
from ..cohort.case import Case, input_files
from ..cohort.label_table import LabelTable
from ..cohort.provenance import (
    ATTENTION,
    CROSS_FITTED,
    LABELLED_MAPS,
    has_note,
    note_attention,
    note_of,
    notes_in,
    provenance,
    stale_maps,
    with_learnt_labels,
)
from ..cohort.volume import read
from ..errors import SemclError
from ..freshness import newer
from ..intake.given_maps import ToolMaps, given_objects, put_over
from ..job.job import Job
from ..job.weights import load_weights
from ..previous import forget_previous, set_aside
from .attention_folder import claim_attention
from .inferer import CoarseInferer
from .makers import label_checksum, maker_of, network_checksum
from .map_plan import MapPlan, weights_path
from .simulated import SIMULATED_ERRORS, simulate_maps


def write_maps(
    cases: Sequence[Case],
    network: nn.Module,
    inferer: CoarseInferer,
    table: LabelTable,
    attention_dir: str,
    ckpt_dir: str,
    origin: Mapping[str, str],
    accepted: Mapping[str, Sequence[str]],
    device: torch.device,
    job: Job,
    tool: ToolMaps | None = None,
) -> None:
    """Write the attention maps of the job's share of cases with trained coarse networks, as ``cross_fit`` does.

    Maps of labelled cases are made in the way that is noted beside coarse.pt: cross-fitted, simulated, or none; where
    its network did not learn from a label map, as of another half of the patients, the scan is segmented by it.
    A map newer than its scan and its network is kept, unless it says that another network or map made it. A case that
    cannot be read is reported, and the rest is done.

    Args:
        cases: all cases of the cohort.
        network: loads each round's weights; on its device.
        inferer: predicts each case with the network that has not seen it.
        table: the label table.
        attention_dir: where <case>.nii.gz are written.
        ckpt_dir: holds coarse_fold<n>.pt and coarse.pt.
        origin: noted beside maps that are all new.
        accepted: cohorts and organs that weights and maps may have been made for, see ``learnt_from``.
        device: of the network.
        job: the run; its shard and its ranks share the cases.
        tool: maps of another tool, whose organs come from there.

    Raises:
        SemclError: when weights are missing or of another cohort, or ``attention_dir`` holds files of something else.
    """
    ranks.wait()  # until the first has written the weights
    made_with = note_of(weights_path(ckpt_dir, None))
    way, errors = made_with.get(LABELLED_MAPS, CROSS_FITTED), made_with.get(SIMULATED_ERRORS, 0.0)
    plan = MapPlan(with_learnt_labels(made_with, cases), way)
    ranks.first_alone(lambda: claim_attention(attention_dir, cases, tool))

    def load(fold: int | None) -> None:
        load_weights(weights_path(ckpt_dir, fold), network, "coarse.yaml", accepted)

    def current(case: Case, by: int, *sources: Path) -> bool:
        path = attention_path(attention_dir, case.id)
        read_too = tool.sources(case.id) if tool else ()
        maker = (made_of(path) or ("", "damaged"))[1]
        return newer(path, [case.image, *read_too, *sources]) and maker in ("", maker_of(case, by, tool))

    if _made_otherwise(attention_dir, way, accepted):
        for fold in plan.predicted:
            load(fold)  # or no map may be removed
    ranks.wait()
    note = {**provenance(origin, plan.cases, table), LABELLED_MAPS: way, SIMULATED_ERRORS: errors}
    ranks.first_alone(lambda: _begin_maps(plan, attention_dir, note, accepted, job))
    own, missing = MapPlan(job.part(plan.made), way), dict[int | None, list[Case]]()
    for fold, unseen in own.predicted.items():
        load(fold)
        by, weights = network_checksum(network), weights_path(ckpt_dir, fold)
        missing[fold] = [case for case in unseen if not current(case, by, weights)]
    simulated = [
        case
        for case in own.simulated
        if not current(case, label_checksum(case, errors), weights_path(ckpt_dir, None), *input_files([case]))
    ]
    ranks.wait()  # until every rank has its lists: only then may the first map be written
    for fold, unseen in missing.items():
        if unseen:
            load(fold)
            predict(ranks.own(unseen), network, inferer, table, attention_dir, device, job.fail, tool)
    simulate_maps(ranks.own(simulated), inferer, table, attention_dir, errors, job.fail, tool)
    job.share_failed()
    ranks.wait()
    if job.leads and not job.failed and all(attention_path(attention_dir, case.id).is_file() for case in plan.made):
        forget_previous(Path(attention_dir))


def _made_otherwise(attention_dir: str, way: str, accepted: Mapping[str, Sequence[str]]) -> bool:
    """Whether the maps were made for another split or other organs, or those of labelled cases in another way."""
    noted = [note for path, note in notes_in(Path(attention_dir)) if path.name == ATTENTION]
    return stale_maps(attention_dir, accepted) or any(note.get(LABELLED_MAPS, CROSS_FITTED) != way for note in noted)


def _begin_maps(
    plan: MapPlan, attention_dir: str, note: Mapping[str, Any], accepted: Mapping[str, Sequence[str]], job: Job
) -> None:
    """Record what the maps are made with, after setting aside those made with another split or in another way.

    Those of cases that get no map are set aside, too.
    """
    with job.one_at_a_time("attention"):
        stale = _made_otherwise(attention_dir, note[LABELLED_MAPS], accepted)
        outdated = plan.cases if stale else plan.without
        if outdated:
            set_aside(Path(attention_dir), [attention_path(attention_dir, case.id) for case in outdated])
        if stale or not has_note(attention_dir):
            note_attention(attention_dir, note)


def predict(
    cases: Sequence[Case],
    network: nn.Module,
    inferer: CoarseInferer,
    table: LabelTable,
    attention_dir: str,
    device: torch.device,
    fail: Callable[[str, object], None],
    tool: ToolMaps | None = None,
) -> None:
    """Write the attention maps of ``cases``; those that cannot be read are passed to ``fail``.

    Organs that the maps of ``tool`` have come from there.
    """
    network.eval()
    by = network_checksum(network)
    for case in bar(cases, total=len(cases), title="attention maps", unit="case", hidden=ranks.number() > 0):
        try:
            image = read(case.image, case.id, inferer.channels)
            given = given_objects(tool, image, case.image)
        except SemclError as error:
            fail(case.id, error)
            continue
        objects = put_over(inferer(image[None].to(device), network)[0, 0], given)
        write_label_map(attention_path(attention_dir, case.id), objects, image, table, maker_of(case, by, tool))
