"""The coarse stage: a low-resolution network over whole volumes gives each case its attention map.

Training cases are predicted by cross-fitting, by a network that has not seen their patient: a map of a case trained on
would be far better than any that inference will see.
"""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.engines import SupervisedTrainer
from monai.inferers import Inferer
from monai.transforms import Transform
from monai.utils import convert_to_tensor
from torch import nn
from torch.utils.data import Sampler
from tqdm import tqdm

from .. import ranks
from ..cohort.attention import (
    attention_path,
    write_label_map,
)
from ..cohort.case import Case, folds
from ..cohort.components import boxes
from ..cohort.label_table import LabelTable
from ..cohort.provenance import note_attention, provenance, stale_maps
from ..cohort.resampling import reach, resample, resample_objects, strongest
from ..cohort.volume import case_of, normalise, read, read_label
from ..errors import SemclError
from ..finite import refuse_broken
from ..job.checkpoint import Checkpoint
from ..job.job import Job
from ..job.weights import load_weights, save_weights
from .attention_folder import claim_attention, claim_partial


class ReadCoarse(Transform):
    """From a case to its low-resolution sample: image (C, *size) and label (1, *size).

    Args:
        table: the label table.
        size: grid (X, Y, Z) a whole volume is brought onto.
        window: intensities, as ``normalise`` takes them.
        channels: C of the images.
    """

    def __init__(
        self, table: LabelTable, size: Sequence[int], window: Sequence[float] | str, channels: int = 1
    ) -> None:
        self.table, self.size, self.window, self.channels = table, tuple(size), window, channels

    def __call__(self, data: Mapping[str, Case]) -> dict[str, Any]:
        case = data["case"]
        image = read(case.image, case.id, self.channels)
        objects = read_label(case, image, self.table)
        label = resample_objects(torch.from_numpy(objects), self.size)
        return {"image": resample(normalise(image.as_tensor(), self.window), self.size), "label": label[None]}


class FoldSampler(Sampler[int]):
    """Indices of an epoch, in shuffled turns over the cases outside ``held_out``; an epoch's length stays the same.

    Of several ranks each takes its part of every batch.

    Args:
        folds: fold of each case.
        length: samples an epoch, of all ranks together.
        seed: of the order, which is the same for any number of workers.
    """

    def __init__(self, folds: Sequence[int | None], length: int, seed: int = 0) -> None:
        self.folds, self.length, self.seed = list(folds), length, seed
        self.held_out: int | None = None
        self.epoch = 0

    def hold_out(self, fold: int | None) -> None:
        """Leave a fold out from now on (None: use all cases), counting epochs anew.

        Raises:
            SemclError: when no case is left.
        """
        if fold is not None and set(self.folds) == {fold}:
            raise SemclError(
                "a fold holds every labelled training case",
                found=f"{len(self.folds)} cases, all in fold {fold}",
                expected="label maps in two folds at least: each case's map comes from a network that has not seen it",
                remedy="label more patients, or prepare the cohort again with another --seed",
            )
        self.held_out, self.epoch = fold, 0

    def __len__(self) -> int:
        return len(ranks.own(range(self.length)))

    def __iter__(self) -> Iterator[int]:
        used = [index for index, fold in enumerate(self.folds) if self.held_out is None or fold != self.held_out]
        key = -1 if self.held_out is None else self.held_out
        rng = np.random.default_rng([self.seed, key + 1, self.epoch])
        self.epoch += 1
        turns = -(-self.length // len(used))
        order = np.concatenate([rng.permutation(used) for _ in range(turns)])
        return iter(ranks.own(order[: self.length]).tolist())


class CoarseInferer(Inferer):
    """Object numbers of a whole volume from the low-resolution network.

    Args:
        size: grid (X, Y, Z) the network works on.
        window: intensities, as ``normalise`` takes them.
        channels: C of the images.
    """

    def __init__(self, size: Sequence[int], window: Sequence[float] | str, channels: int = 1) -> None:
        self.size, self.window, self.channels = tuple(size), window, channels

    def __call__(
        self, inputs: torch.Tensor, network: Callable[..., torch.Tensor], *args: Any, **kwargs: Any
    ) -> torch.Tensor:
        """Segment ``inputs`` (1, C, X, Y, Z; RAS, the image's own units) into object numbers of the same shape.

        Scores are interpolated to full resolution before the decision, so edges are not blocks.

        Raises:
            SemclError: for scores that are not finite.
        """
        image = convert_to_tensor(inputs, track_meta=False)[0]
        with torch.no_grad():
            scores = network(resample(normalise(image, self.window), self.size)[None])[0]
        refuse_broken(scores, "coarse", "the whole volume", case_of(inputs))
        full = image.shape[1:]
        return strongest(self._candidates(scores, full), resample(scores[:1], full)[0])[None, None]

    def _candidates(
        self, scores: torch.Tensor, full: Sequence[int]
    ) -> Iterator[tuple[int, tuple[slice, ...], torch.Tensor]]:
        """Organs where they can win: interpolated, nothing passes background that does not pass it at a corner."""
        above = (scores[1:] > scores[:1]).cpu().numpy()
        for organ, mask in enumerate(above, start=1):
            (box,) = boxes(mask, 1)
            if box is not None:
                part = reach([ends.start for ends in box], [ends.stop for ends in box], self.size, full)
                yield organ, part, resample(scores[organ : organ + 1], full, part)[0]


class CoarseModel:
    """A trained coarse network that loads its weights when it is first needed.

    Args:
        network: the network, on its device.
        weights: its file.
        inferer: runs it over a volume.
    """

    def __init__(self, network: nn.Module, weights: str, inferer: CoarseInferer) -> None:
        self.network, self.weights, self.inferer = network, Path(weights), inferer
        self.loaded = False

    def __call__(self, inputs: torch.Tensor) -> torch.Tensor:
        """Object numbers (1, 1, X, Y, Z) of a volume of that shape; errors of ``load_weights``."""
        if not self.loaded:
            load_weights(self.weights, self.network, "coarse.yaml")
            self.network.eval()
            self.loaded = True
        return self.inferer(inputs, self.network)


def cross_fit(
    trainer: SupervisedTrainer,
    resets: Mapping[str, Any],
    sampler: FoldSampler,
    inferer: CoarseInferer,
    cases: Sequence[Case],
    table: LabelTable,
    attention_dir: str,
    ckpt_dir: str,
    origin: Mapping[str, str],
    checkpoint: Checkpoint,
    maps: bool = True,
) -> None:
    """Train once without each fold and once on all training cases; write every case's attention map and the weights.

    A case that cannot be read is named, and the others are done. Ranks train together and share the maps.

    Args:
        trainer: run once a round.
        resets: what starts each round from its present state: "network", optimizer, scheduler.
        sampler: of the trainer's loader.
        inferer: predicts the cases the round has not seen: its fold, or in the last round those to be tested.
        cases: all cases of the cohort.
        table: the label table.
        attention_dir: gets <case>.nii.gz.
        ckpt_dir: gets coarse_fold<n>.pt, coarse.pt and labels.yaml.
        origin: noted beside the weights.
        checkpoint: of the trainer; where it resumes, the rounds before its own are done.
        maps: False: write the weights alone (``write_maps`` writes the maps).

    Raises:
        SemclError: when ``attention_dir`` holds scans, label maps or anything else that is not the stage's own.
    """
    noted = provenance(origin, cases, table)
    start = {name: copy.deepcopy(part.state_dict()) for name, part in resets.items()}
    aside = Path(f"{attention_dir}.partial")  # maps of two runs must not lie side by side as if of one

    def claim() -> None:
        networks = {case.id: weights_path(ckpt_dir, case.fold) for case in cases}
        claim_attention(attention_dir, cases, networks, checkpoint.job)
        claim_partial(aside, cases, checkpoint.job.resume)

    if maps:
        ranks.first_alone(claim)
    first = checkpoint.resumed_round()
    network = resets["network"]
    if checkpoint.job.leads:
        table.save(ckpt_dir)
    rounds = [*folds(cases), None]
    done = {case.id for case in cases if case.fold in rounds[:first]}
    checkpoint.job.failed = [case for case in checkpoint.job.failed if case in done]
    for number, fold in enumerate(rounds):
        if number < first:
            continue
        for name, part in resets.items():
            part.load_state_dict(copy.deepcopy(start[name]))
        sampler.hold_out(fold)
        checkpoint.round = number
        trainer.run()
        if checkpoint.job.leads:
            save_weights(weights_path(ckpt_dir, fold), network, noted)
        if maps:
            unseen = ranks.own([case for case in cases if case.fold == fold])
            predict(unseen, network, inferer, table, str(aside), trainer.state.device, checkpoint.job.fail)
        checkpoint.job.share_failed()
    if maps and checkpoint.job.leads:
        note_attention(attention_dir, noted)
    for case in cases if maps and checkpoint.job.leads else []:
        path = attention_path(attention_dir, case.id)
        path.parent.mkdir(parents=True, exist_ok=True)
        made = attention_path(aside, case.id)
        if case.id in checkpoint.job.failed:
            path.unlink(missing_ok=True)
        elif made.is_file():  # or the run was interrupted here, and has moved it
            made.replace(path)
    if maps and checkpoint.job.leads:
        shutil.rmtree(aside)


def weights_path(ckpt_dir: str | Path, fold: int | None) -> Path:
    """Where the coarse network lies that was trained without a fold; None: on all training cases."""
    return Path(ckpt_dir) / ("coarse.pt" if fold is None else f"coarse_fold{fold}.pt")


def write_maps(
    cases: Sequence[Case],
    network: nn.Module,
    inferer: CoarseInferer,
    table: LabelTable,
    attention_dir: str,
    ckpt_dir: str,
    origin: Mapping[str, str],
    device: torch.device,
    job: Job,
) -> None:
    """Write the attention maps of the job's share of cases by coarse networks that are there, as ``cross_fit`` does.

    A map newer than its scan and its network stays. A case that cannot be read is named, and the others are done.

    Args:
        cases: all cases of the cohort.
        network: takes each round's weights, on its device.
        inferer: predicts a case by the network that has not seen it.
        table: the label table.
        attention_dir: gets <case>.nii.gz.
        ckpt_dir: holds coarse_fold<n>.pt and coarse.pt.
        origin: cohort and label table, which the weights must have been made from.
        device: of the network.
        job: the run; its shard and its ranks share the cases.

    Raises:
        SemclError: when weights are missing or of another cohort, or ``attention_dir`` holds what no such stage wrote.
    """
    networks = {case.id: weights_path(ckpt_dir, case.fold) for case in cases}
    ranks.first_alone(lambda: claim_attention(attention_dir, cases, networks, job))
    made_from, note = {key: origin[key] for key in ("cohort", "labels")}, provenance(origin, cases, table)
    for fold in dict.fromkeys(case.fold for case in cases if stale_maps(attention_dir, note)):
        load_weights(weights_path(ckpt_dir, fold), network, "coarse.yaml", made_from)  # or nothing may be removed
    ranks.wait()
    ranks.first_alone(lambda: _begin_maps(cases, attention_dir, note, job))
    missing: dict[int | None, list[Case]] = {}
    for case in job.part(cases):
        sources = case.image, weights_path(ckpt_dir, case.fold)
        if not _newer(attention_path(attention_dir, case.id), sources):
            missing.setdefault(case.fold, []).append(case)
    ranks.wait()  # until every rank has its list: then the first map may be written
    for fold, unseen in missing.items():
        load_weights(weights_path(ckpt_dir, fold), network, "coarse.yaml", made_from)
        predict(ranks.own(unseen), network, inferer, table, attention_dir, device, job.fail)


def _begin_maps(cases: Sequence[Case], attention_dir: str, note: Mapping[str, str], job: Job) -> None:
    """Note what the maps are made with; those an earlier split's note speaks of are removed first."""
    with job.one_at_a_time("attention"):
        for case in cases if stale_maps(attention_dir, note) else []:
            attention_path(attention_dir, case.id).unlink(missing_ok=True)
        note_attention(attention_dir, note)


def _newer(path: Path, sources: Sequence[Path]) -> bool:
    """Whether a file is there and newer than what it is made of."""
    made = path.stat().st_mtime_ns if path.is_file() else 0
    return all(source.exists() and made > source.stat().st_mtime_ns for source in sources)


def predict(
    cases: Sequence[Case],
    network: nn.Module,
    inferer: CoarseInferer,
    table: LabelTable,
    attention_dir: str,
    device: torch.device,
    fail: Callable[[str, object], None],
) -> None:
    """Write the attention maps of ``cases``; ``fail`` is told of those that cannot be read."""
    network.eval()
    for case in tqdm(cases, desc="attention", unit="case", leave=False, disable=ranks.number() > 0):
        try:
            image = read(case.image, case.id, inferer.channels)
        except SemclError as error:
            fail(case.id, error)
            continue
        objects = inferer(image[None].to(device), network)[0, 0]
        write_label_map(attention_path(attention_dir, case.id), objects, image, table)
