"""Training of the coarse network, and the attention maps of all cases.

A map of a case the network was trained on would be far better than any that it gives at inference. So a labelled
training case's map comes from a network that has not seen its patient (cross-fitting), or is simulated from the label
map. Cases without a label map are not learnt from: the network of all labelled cases segments them, as at inference.
"""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from monai.engines import SupervisedTrainer

from .. import ranks
from ..cohort.attention import attention_path
from ..cohort.case import Case
from ..cohort.label_table import LabelTable
from ..cohort.provenance import ATTENTION, CROSS_FITTED, LABELLED_MAPS, learnt_labels, note_attention, provenance
from ..cohort.selection import require_annotated
from ..errors import SemclError
from ..intake.given_maps import ToolMaps
from ..job.checkpoint import Checkpoint
from ..job.weights import claim_weights, save_weights
from ..previous import forget_previous, set_aside
from ..printable import counted
from ..sidefiles import shown_note
from .attention_folder import claim_attention, claim_partial, empty_partial
from .fold_sampler import FoldSampler
from .inferer import CoarseInferer
from .map_plan import MapPlan, weights_path
from .maps import predict
from .simulated import SIMULATED_ERRORS, simulate_maps


def cross_fit(
    trainer: SupervisedTrainer,
    resets: Mapping[str, Any],
    sampler: FoldSampler,
    inferer: CoarseInferer,
    cases: Sequence[Case],
    table: LabelTable,
    attention_dir: str,
    ckpt_dir: str,
    origin: Mapping[str, Any],
    checkpoint: Checkpoint,
    maps: bool = True,
    labelled_maps: str = CROSS_FITTED,
    simulated_errors: float = 0.6,
    tool: ToolMaps | None = None,
) -> None:
    """Train once without each fold and once on all labelled cases; write all cases' attention maps and the weights.

    A case that cannot be read is reported, and the rest is done. Ranks train together and share the maps.

    Args:
        trainer: run once per round.
        resets: what starts each round from its present state: "network", optimizer, scheduler.
        sampler: of the trainer's loader.
        inferer: predicts the cases that the round has not seen: its fold or, in the last round, the test cases and
            those without a label map.
        cases: all cases of the cohort, without label maps that are not learnt from.
        table: the label table.
        attention_dir: where <case>.nii.gz are written.
        ckpt_dir: where coarse_fold<n>.pt, coarse.pt and labels.yaml are written.
        origin: recorded beside the weights.
        checkpoint: of the trainer; when it resumes, rounds before its own are skipped.
        maps: False: write the weights only (``write_maps`` writes the maps).
        labelled_maps: of the cases it is trained on: "cross-fitted", or without these rounds "simulated" or "none".
        simulated_errors: of simulated maps, see ``simulate_map``.
        tool: maps of another tool, whose organs come from there.

    Raises:
        SemclError: when ``attention_dir`` holds scans, label maps or anything else that this stage did not write.
    """
    plan = MapPlan(cases, labelled_maps)
    job, network, rounds = checkpoint.job, resets["network"], plan.rounds
    note = provenance(origin, cases, table)
    note |= learnt_labels(note, cases) | {LABELLED_MAPS: labelled_maps, SIMULATED_ERRORS: simulated_errors}
    start = {name: copy.deepcopy(part.state_dict()) for name, part in resets.items()}
    partial = Path(f"{attention_dir}.partial")  # never maps of two runs in one folder
    if maps:
        ranks.first_alone(lambda: _claim(cases, attention_dir, partial, tool))
    names = [weights_path(ckpt_dir, fold).name for fold in rounds]
    ranks.first_alone(lambda: claim_weights(Path(ckpt_dir), names, table, cases))
    first = checkpoint.resumed_round()
    done = {case.id for fold in rounds[:first] for case in plan.predicted.get(fold, [])}
    job.failed = [case for case in job.failed if case in done]
    for number, fold in list(enumerate(rounds))[first:]:
        checkpoint.round = number
        _train_round(trainer, resets, start, sampler, fold)
        if job.leads:
            table.save(ckpt_dir)
            save_weights(weights_path(ckpt_dir, fold), network, note)
        if maps:
            if number == 0:
                ranks.first_alone(lambda: empty_partial(partial))
            unseen = ranks.own(plan.predicted.get(fold, []))
            predict(unseen, network, inferer, table, str(partial), trainer.state.device, job.fail, tool)
        job.share_failed()
    if maps:
        simulate_maps(ranks.own(plan.simulated), inferer, table, str(partial), simulated_errors, job.fail, tool)
        job.share_failed()
    if maps and job.leads:
        without = {*job.failed, *(case.id for case in plan.without)}
        _require_maps(cases, partial, Path(attention_dir), note, without)
        note_attention(attention_dir, note)
        _move_maps(cases, partial, attention_dir, without)
        if not job.failed:
            forget_previous(Path(attention_dir))


def require_rounds(
    cases: Sequence[Case], organs: Sequence[str], objects: Sequence[int] | None, labelled_maps: str
) -> None:
    """Check that every network of the stage learns each organ from one case at least.

    Args:
        cases: to learn from, with label maps.
        organs: of the label table.
        objects: numbers of those that the networks learn; None: all.
        labelled_maps: as ``cross_fit`` takes it.

    Raises:
        SemclError: as ``require_annotated``; naming the fold without which an organ is annotated nowhere.
    """
    require_annotated(cases, organs, objects)
    for fold in MapPlan(cases, labelled_maps).rounds[:-1]:
        others = [case for case in cases if case.fold != fold]
        if others:  # without any the sampler says what is wrong
            require_annotated(others, organs, objects, fold)


def _train_round(
    trainer: SupervisedTrainer,
    resets: Mapping[str, Any],
    start: Mapping[str, Any],
    sampler: FoldSampler,
    fold: int | None,
) -> None:
    """Train on all folds but one, from the state that every round starts from."""
    for name, part in resets.items():
        part.load_state_dict(copy.deepcopy(start[name]))
    sampler.hold_out(fold)
    trainer.run()


def _claim(cases: Sequence[Case], attention_dir: str, partial: Path, tool: ToolMaps | None) -> None:
    """Make sure that both folders are this stage's own."""
    claim_attention(attention_dir, cases, tool)
    claim_partial(partial, cases)


def _require_maps(
    cases: Sequence[Case], partial: Path, attention_dir: Path, note: Mapping[str, Any], without: Collection[str]
) -> None:
    """Check that each case has a map, or that a run of this note has moved it already.

    Raises:
        SemclError: when one has none, as where the run was begun with another folder.
    """
    folders = [partial]
    if shown_note(attention_dir / ATTENTION) == json.loads(json.dumps(note)):  # it is written before maps are moved
        folders.append(attention_dir)
    has = {case.id for case in cases for folder in folders if attention_path(folder, case.id).is_file()}
    missing = [case.id for case in cases if case.id not in {*has, *without}]
    if missing:
        raise SemclError(
            "the maps of rounds that were done before are missing",
            case=missing[0],
            found=f"{counted(len(missing), 'case')} without a map in {partial}",
            expected="the folder that the run was begun with",
            remedy="resume it with the attention_dir it was begun with, or leave out --resume to start over",
        )


def _move_maps(cases: Sequence[Case], partial: Path, attention_dir: str, without: Collection[str]) -> None:
    """Move the maps of a finished run into place; those of an earlier run of cases that have none now are set aside."""
    for case in cases:
        path = attention_path(attention_dir, case.id)
        path.parent.mkdir(parents=True, exist_ok=True)
        made = attention_path(partial, case.id)
        if case.id in without:
            set_aside(Path(attention_dir), [path])
        elif made.is_file():  # otherwise the run was interrupted here, and this one has been moved
            made.replace(path)
    shutil.rmtree(partial)
