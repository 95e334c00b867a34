"""SemCL: semantic-aware contrastive learning for multi-object segmentation, as an extension of MONAI.

Imported as ``scripts`` by the bundle's configs and as ``semcl`` where the package is installed. The names below are
public; CHANGELOG.md says what that means. Each is imported when it is first asked for, so that importing the package,
and the command line's help, take no time.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # for editors and type checkers; a test compares it with the table
    from .cohort.attention import require_attention
    from .cohort.coarse import CoarseInferer, CoarseModel, FoldSampler, ReadCoarse, cross_fit, write_maps
    from .cohort.datalist import Case, digest
    from .cohort.datalist import load as load_cases
    from .cohort.ignored import IgnoringLoss
    from .cohort.labels import LabelTable
    from .cohort.selection import leave_out, share_of_patients, with_pseudo_labels
    from .contrast.dataset import QueryDataset
    from .contrast.encoder import ContrastNet, QueryEncoder
    from .contrast.head import ClusterHead
    from .contrast.loss import SemanticContrastiveLoss
    from .contrast.meaning import PrepareViews
    from .contrast.memory import QueryMemory
    from .contrast.query import QueryGrid
    from .contrast.sampler import ClusterSampler
    from .contrast.store import QueryStore
    from .contrast.views import Views
    from .decode.aspp import AsppDecoder
    from .decode.calibration import Calibrate, Calibration, load_scales
    from .decode.dicom_seg import WriteDicomSeg
    from .decode.ensemble import Ensemble, LoadMembers
    from .decode.inferer import QueryInferer
    from .decode.predictions import Predictions
    from .decode.refiner import PrepareQueries, Refiner
    from .decode.turns import Turns
    from .decode.volumes import AsStored, PrepareVolume, ReadVolume, VolumeDataset, WriteLabelMap
    from .device import in_training, on_device
    from .errors import SemclError
    from .handover import LoadWeights, SaveWeights, trained
    from .job.checkpoint import Checkpoint
    from .job.job import Job
    from .job.trouble import plain_errors
    from .progress import AsSamples, LossCurve, Progress
    from .ranks import join_ranks, leave_ranks
    from .ranks import share as share_batch
    from .settings import bundle_root, load_common, models_dir
    from .version import __version__

_PUBLIC = {  # name: module that has it, and its name there if it is another
    "AsSamples": "progress",
    "AsStored": "decode.volumes",
    "AsppDecoder": "decode.aspp",
    "Calibrate": "decode.calibration",
    "Calibration": "decode.calibration",
    "Case": "cohort.datalist",
    "Checkpoint": "job.checkpoint",
    "ClusterHead": "contrast.head",
    "ClusterSampler": "contrast.sampler",
    "CoarseInferer": "cohort.coarse",
    "CoarseModel": "cohort.coarse",
    "ContrastNet": "contrast.encoder",
    "Ensemble": "decode.ensemble",
    "FoldSampler": "cohort.coarse",
    "IgnoringLoss": "cohort.ignored",
    "Job": "job.job",
    "LabelTable": "cohort.labels",
    "LoadMembers": "decode.ensemble",
    "LoadWeights": "handover",
    "LossCurve": "progress",
    "Predictions": "decode.predictions",
    "PrepareQueries": "decode.refiner",
    "PrepareViews": "contrast.meaning",
    "PrepareVolume": "decode.volumes",
    "Progress": "progress",
    "QueryDataset": "contrast.dataset",
    "QueryEncoder": "contrast.encoder",
    "QueryGrid": "contrast.query",
    "QueryInferer": "decode.inferer",
    "QueryMemory": "contrast.memory",
    "QueryStore": "contrast.store",
    "ReadCoarse": "cohort.coarse",
    "ReadVolume": "decode.volumes",
    "Refiner": "decode.refiner",
    "SaveWeights": "handover",
    "SemanticContrastiveLoss": "contrast.loss",
    "SemclError": "errors",
    "Turns": "decode.turns",
    "Views": "contrast.views",
    "VolumeDataset": "decode.volumes",
    "WriteDicomSeg": "decode.dicom_seg",
    "WriteLabelMap": "decode.volumes",
    "__version__": "version",
    "bundle_root": "settings",
    "cross_fit": "cohort.coarse",
    "digest": "cohort.datalist",
    "in_training": "device",
    "join_ranks": "ranks",
    "leave_out": "cohort.selection",
    "leave_ranks": "ranks",
    "load_cases": "cohort.datalist:load",
    "load_common": "settings",
    "load_scales": "decode.calibration",
    "models_dir": "settings",
    "on_device": "device",
    "plain_errors": "job.trouble",
    "require_attention": "cohort.attention",
    "share_batch": "ranks:share",
    "share_of_patients": "cohort.selection",
    "trained": "handover",
    "with_pseudo_labels": "cohort.selection",
    "write_maps": "cohort.coarse",
}

__all__ = list(_PUBLIC)


def __getattr__(name: str) -> Any:
    """Import a public name."""
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, own = _PUBLIC[name].partition(":")
    found = getattr(import_module(f".{module}", __name__), own or name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """Public names, and what is imported."""
    return sorted({*globals(), *_PUBLIC})
