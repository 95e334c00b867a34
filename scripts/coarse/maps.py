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
from ..cohort.case import Case
from ..cohort.label_table import LabelTable
from ..cohort.provenance import (
    ATTENTION,
    CROSS_FITTED,
    LABELLED_MAPS,
    SIMULATED,
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
from .simulated import SIMULATED_ERRORS, simulate_maps


def weights_path(ckpt_dir: str | Path, fold: int | None) -> Path:
    """Path of the coarse network's weights trained without ``fold``; None: on all training cases."""
    return Path(ckpt_dir) / ("coarse.pt" if fold is None else f"coarse_fold{fold}.pt")


def best_weights(ckpt_dir: str, fold: int | None) -> str:
    """Path of the weights with which validation was best: coarse_fold<n>_best.pt, coarse_best.pt."""
    last = weights_path(ckpt_dir, fold)
    return str(last.with_name(f"{last.stem}_best.pt"))


def held_out_fold(case: Case) -> int | None:
    """The fold without which the network was trained that segments a case; None: the one of all labelled cases."""
    return None if case.label is None else case.fold


def held_out_folds(cases: Sequence[Case]) -> list[int]:
    """The folds of the labelled training cases, in order: the rounds of cross-fitting before the last."""
    return sorted({fold for case in cases if (fold := held_out_fold(case)) is not None})


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
    cases = with_learnt_labels(made_with, cases)
    way, errors = made_with.get(LABELLED_MAPS, CROSS_FITTED), made_with.get(SIMULATED_ERRORS, 0.0)
    folds = {case.id: held_out_fold(case) if way == CROSS_FITTED else None for case in cases}
    learnt = {case.id for case in cases if held_out_fold(case) is not None and way != CROSS_FITTED}
    wanted = [case for case in cases if way == SIMULATED or case.id not in learnt]
    networks = {case.id: weights_path(ckpt_dir, folds[case.id]) for case in cases}
    ranks.first_alone(lambda: claim_attention(attention_dir, cases, networks, job, tool))
    note = {**provenance(origin, cases, table), LABELLED_MAPS: way, SIMULATED_ERRORS: errors}
    stale = _made_otherwise(attention_dir, way, accepted)
    for fold in dict.fromkeys(folds[case.id] for case in wanted if stale):
        load_weights(weights_path(ckpt_dir, fold), network, "coarse.yaml", accepted)  # or no map may be removed
    ranks.wait()
    without = [case for case in cases if case.id in learnt and way != SIMULATED]
    ranks.first_alone(lambda: _begin_maps(cases, attention_dir, note, accepted, job, without))
    own_part, made_by = job.part(wanted), dict[int | None, int]()
    for fold in dict.fromkeys(folds[case.id] for case in own_part if case.id not in learnt):
        load_weights(weights_path(ckpt_dir, fold), network, "coarse.yaml", accepted)
        made_by[fold] = network_checksum(network)
    missing: dict[int | None, list[Case]] = {}
    for case in own_part:
        sources = [case.image, networks[case.id], *(tool.sources(case.id) if tool else ())]
        if case.id in learnt and case.label is not None:
            sources.append(case.label)
        path = attention_path(attention_dir, case.id)
        by = label_checksum(case, errors) if case.id in learnt else made_by[folds[case.id]]
        if not newer(path, sources) or (made_of(path) or ("", "damaged"))[1] not in ("", maker_of(case, by, tool)):
            missing.setdefault(folds[case.id], []).append(case)
    ranks.wait()  # until every rank has its list: only then may the first map be written
    for fold, unseen in missing.items():
        load_weights(weights_path(ckpt_dir, fold), network, "coarse.yaml", accepted)
        own = ranks.own(unseen)
        seen, others = ([case for case in own if (case.id in learnt) == known] for known in (True, False))
        simulate_maps(seen, inferer, table, attention_dir, errors, job.fail, tool)
        predict(others, network, inferer, table, attention_dir, device, job.fail, tool)
    job.share_failed()
    ranks.wait()
    if job.leads and not job.failed and all(attention_path(attention_dir, case.id).is_file() for case in wanted):
        forget_previous(Path(attention_dir))


def _made_otherwise(attention_dir: str, way: str, accepted: Mapping[str, Sequence[str]]) -> bool:
    """Whether the maps were made for another split or other organs, or those of labelled cases in another way."""
    noted = [note for path, note in notes_in(Path(attention_dir)) if path.name == ATTENTION]
    return stale_maps(attention_dir, accepted) or any(note.get(LABELLED_MAPS, CROSS_FITTED) != way for note in noted)


def _begin_maps(
    cases: Sequence[Case],
    attention_dir: str,
    note: Mapping[str, Any],
    accepted: Mapping[str, Sequence[str]],
    job: Job,
    without: Sequence[Case],
) -> None:
    """Record what the maps are made with, after setting aside those made with another split or in another way.

    Those of cases ``without`` a map are set aside, too.
    """
    with job.one_at_a_time("attention"):
        stale = _made_otherwise(attention_dir, note[LABELLED_MAPS], accepted)
        if stale:
            set_aside(Path(attention_dir), [attention_path(attention_dir, case.id) for case in cases])
        elif without:
            set_aside(Path(attention_dir), [attention_path(attention_dir, case.id) for case in without])
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
