"""A cohort with errors injected into it, and what peers of the audit make of them: confident learning, an ensemble."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.bundle import ConfigWorkflow

from scripts.audit.audit import Audit
from scripts.audit.collection import Collector
from scripts.audit.examples import Examples, joined
from scripts.audit.injection import Injector, another_map
from scripts.audit.kinds import OTHER_SCAN
from scripts.audit.scan import INJECTED, AuditScan
from scripts.coarse.map_plan import weights_path
from scripts.cohort.case import Case
from scripts.cohort.resampling import resample, resample_objects
from scripts.job.weights import load_weights

SHARES = (0.02, 0.1)  # of the objects that are wrong


class Cohort:
    """A cohort with all that a stage's config makes of it."""

    def __init__(self, folder: str, overlay: str | None) -> None:
        files = ["bundle/configs/audit.yaml", *([overlay] if overlay else [])]
        flow = ConfigWorkflow(files, bundle_root="bundle", dataset_dir=folder, logging_file=False, workflow_type=None)
        flow.initialize()
        self.audit: Audit = flow.parser.get_parsed_content("audit")
        self.network: torch.nn.Module = flow.parser.get_parsed_content("shared").coarse_network
        self.models, self.cases = Path(folder) / "models", self.audit.cases
        self.folds = sorted({case.fold for case in self.cases if case.fold is not None})
        self.collector = Collector(
            self.audit.reader, self.audit.folder / "examples", self.audit.made_with, self.audit.seed, self.audit._blur
        )

    def unseen(self, case: Case) -> list[Path]:
        """Weights of the coarse networks that have not seen a case."""
        folds = self.folds if case.fold is None else [case.fold]
        every = [weights_path(self.models, None)] if case.fold is None else []
        return [*every, *(weights_path(self.models, fold) for fold in folds)]

    def probabilities(self, case: Case, image: torch.Tensor) -> list[torch.Tensor]:
        """Probabilities (K + 1, *size) of each network that has not seen the case."""
        made = []
        for path in self.unseen(case):
            load_weights(path, self.network, "coarse.yaml")
            with torch.no_grad():
                scores = self.network.eval()(resample(image, self.audit.inferer.size)[None])[0]
            made.append(scores.softmax(0))
        return made


def errors(cohort: Cohort, seed: int) -> dict[str, list[tuple[int, str]]]:
    """Case -> objects and the errors that are injected into them; object 0: the map of another scan."""
    rng = np.random.default_rng(1000 + seed)
    reference = cohort.collector.gather(cohort.cases, {})
    clean = reference[reference.clean]
    chosen = rng.permutation(len(clean))[: round(max(SHARES) * len(clean))]
    kinds = rng.permutation(np.resize(INJECTED, len(chosen)))
    names = cohort.audit.table.names
    found: dict[str, list[tuple[int, str]]] = {}
    for row, kind in zip(chosen.tolist(), kinds.tolist(), strict=True):
        found.setdefault(str(clean.cases[row]), []).append((names.index(clean.organs[row]) + 1, kind))
    wrong_maps = rng.permutation(sorted(set(clean.cases.tolist())))[: max(1, round(max(SHARES) * len(cohort.cases)))]
    return found | {str(case): [(0, OTHER_SCAN)] for case in wrong_maps}


def peer_scores(cohort: Cohort, scan: AuditScan, maps: list[Any], numbers: list[list[int]]) -> np.ndarray:
    """Scores (N, 2) of objects by confident learning and by agreement with an ensemble."""
    size = cohort.audit.inferer.size
    members = cohort.probabilities(scan.case, scan.image)
    mean, called = torch.stack(members).mean(0), [one.argmax(0) for one in members]
    label = resample_objects(torch.from_numpy(np.ascontiguousarray(scan.label)), size)
    usual = torch.stack(
        [mean[k][label == k].mean() if (label == k).any() else torch.tensor(2.0) for k in range(len(mean))]
    )
    confident = torch.where(mean >= usual[:, None, None, None], mean, torch.zeros(()))
    made = []
    for objects, wanted in zip(maps, numbers, strict=True):
        given = resample_objects(torch.from_numpy(np.ascontiguousarray(objects)), size)
        suggested = torch.where(confident.amax(0) > 0, confident.argmax(0), given.long())
        for number in wanted:
            off = (suggested != given) & ((given == number) | (suggested == number))
            own = given == number
            dice = [
                2 * float((own & (one == number)).sum()) / max(1.0, float(own.sum() + (one == number).sum()))
                for one in called
            ]
            made.append((float(off.sum()) / max(1.0, float(own.sum())), 1 - float(np.mean(dice))))
    return np.array(made).reshape(-1, 2)


def injected(cohort: Cohort, seed: int) -> tuple[Examples, np.ndarray]:
    """The objects that are wrong in a seed's cohort, and their peers' scores."""
    parts, scores = [], []
    planned = errors(cohort, seed)
    for number, case in enumerate(cohort.cases):
        if case.id not in planned:
            continue
        scan = cohort.audit.reader.scan(case)
        injector = Injector(scan.label, scan.table, scan.size, np.random.default_rng([seed, number]))
        maps, numbers = [], []
        for organ, kind in planned[case.id]:
            if kind == OTHER_SCAN:
                donor = next(one for one in cohort.cases[::-1] if one.patient != case.patient)
                made = another_map(cohort.audit.reader.scan(donor).label, scan.label.shape)
            else:
                made = injector.inject(kind, organ)
            if made is not None:
                before = len(scan.added)
                scan.add(made, kind, only=organ or None)
                maps.append(made)
                numbers.append([scan.table.names.index(one["organs"]) + 1 for one in scan.added[before:]])
        scores.append(peer_scores(cohort, scan, maps, numbers))
        parts.append(scan.examples())
    return joined(parts), np.concatenate(scores)


def clean_peers(cohort: Cohort, clean: Examples) -> np.ndarray:
    """Peers' scores (N, 2) of the objects as they were found; kept in the cohort's folder."""
    path = cohort.audit.folder / "examples" / "peers.npy"
    if not path.is_file():
        parts = []
        for case in cohort.cases:
            scan = cohort.audit.reader.scan(case)
            wanted = [cohort.audit.table.names.index(name) + 1 for name in clean.organs[clean.cases == case.id]]
            parts.append(peer_scores(cohort, scan, [scan.label], [wanted]))
        np.save(path, np.concatenate(parts))
    return np.asarray(np.load(path))
