"""SemCL: semantic-aware contrastive learning for multi-object segmentation, as an extension of MONAI.

Imported as ``scripts`` by the bundle's configs and as ``semcl`` where the package is installed. The names below are
public; CHANGELOG.md says what that means. Each is imported when it is first asked for, so that importing the package,
and the command line's help, take no time.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # for editors and type checkers; a test compares it with the table
    from .bundle_folder import bundle_root, models_dir
    from .coarse.cross_fitting import cross_fit
    from .coarse.fold_sampler import FoldSampler
    from .coarse.inferer import CoarseInferer, CoarseModel
    from .coarse.maps import write_maps
    from .coarse.samples import ReadCoarse
    from .cohort.attention import require_attention
    from .cohort.case import Case, digest
    from .cohort.datalist import load as load_cases
    from .cohort.label_table import LabelTable
    from .cohort.provenance import provenance, require_split, require_unseen
    from .cohort.selection import leave_out, share_of_patients, with_pseudo_labels
    from .contrast.loss import SemanticContrastiveLoss
    from .contrast.memory import QueryMemory
    from .contrast.positives import PrepareViews
    from .errors import SemclError
    from .job.checkpoint import Checkpoint
    from .job.job import Job
    from .job.plain_errors import plain_errors
    from .job.progress import AsSamples, LossCurve, Progress
    from .job.shared import shared
    from .job.weights import LoadWeights, SaveWeights, trained
    from .networks.cluster_head import ClusterHead
    from .networks.contrast_net import ContrastNet
    from .networks.decoder import AsppDecoder
    from .networks.device import in_training, on_device
    from .networks.encoder import QueryEncoder
    from .networks.pooling import make_pooling
    from .networks.segmentation_loss import IgnoringLoss
    from .queries.dataset import QueryDataset
    from .queries.grid import QueryGrid
    from .queries.sampler import ClusterSampler
    from .queries.store import QueryStore
    from .queries.views import Views
    from .ranks import join_ranks, leave_ranks
    from .ranks import share as share_batch
    from .refine.calibration import Calibration, load_scales
    from .refine.calibration_fit import Calibrate
    from .refine.dicom_seg import WriteDicomSeg
    from .refine.ensemble import Ensemble, LoadMembers
    from .refine.inferer import QueryInferer
    from .refine.predictions import Predictions
    from .refine.refiner import PrepareQueries, Refiner
    from .refine.test_time_augmentation import AugmentedInference
    from .refine.volumes import PrepareVolume, ReadVolume, ToStoredLabels, VolumeDataset, WriteLabelMap
    from .version import __version__

_PUBLIC = {  # name: module that has it, and its name there if it is another
    "AsSamples": "job.progress",
    "AsppDecoder": "networks.decoder",
    "AugmentedInference": "refine.test_time_augmentation",
    "Calibrate": "refine.calibration_fit",
    "Calibration": "refine.calibration",
    "Case": "cohort.case",
    "Checkpoint": "job.checkpoint",
    "ClusterHead": "networks.cluster_head",
    "ClusterSampler": "queries.sampler",
    "CoarseInferer": "coarse.inferer",
    "CoarseModel": "coarse.inferer",
    "ContrastNet": "networks.contrast_net",
    "Ensemble": "refine.ensemble",
    "FoldSampler": "coarse.fold_sampler",
    "IgnoringLoss": "networks.segmentation_loss",
    "Job": "job.job",
    "LabelTable": "cohort.label_table",
    "LoadMembers": "refine.ensemble",
    "LoadWeights": "job.weights",
    "LossCurve": "job.progress",
    "Predictions": "refine.predictions",
    "PrepareQueries": "refine.refiner",
    "PrepareViews": "contrast.positives",
    "PrepareVolume": "refine.volumes",
    "Progress": "job.progress",
    "QueryDataset": "queries.dataset",
    "QueryEncoder": "networks.encoder",
    "QueryGrid": "queries.grid",
    "QueryInferer": "refine.inferer",
    "QueryMemory": "contrast.memory",
    "QueryStore": "queries.store",
    "ReadCoarse": "coarse.samples",
    "ReadVolume": "refine.volumes",
    "Refiner": "refine.refiner",
    "SaveWeights": "job.weights",
    "SemanticContrastiveLoss": "contrast.loss",
    "SemclError": "errors",
    "ToStoredLabels": "refine.volumes",
    "Views": "queries.views",
    "VolumeDataset": "refine.volumes",
    "WriteDicomSeg": "refine.dicom_seg",
    "WriteLabelMap": "refine.volumes",
    "__version__": "version",
    "bundle_root": "bundle_folder",
    "cross_fit": "coarse.cross_fitting",
    "digest": "cohort.case",
    "in_training": "networks.device",
    "join_ranks": "ranks",
    "leave_out": "cohort.selection",
    "leave_ranks": "ranks",
    "load_cases": "cohort.datalist:load",
    "make_pooling": "networks.pooling",
    "load_scales": "refine.calibration",
    "models_dir": "bundle_folder",
    "on_device": "networks.device",
    "plain_errors": "job.plain_errors",
    "provenance": "cohort.provenance",
    "require_attention": "cohort.attention",
    "require_split": "cohort.provenance",
    "require_unseen": "cohort.provenance",
    "shared": "job.shared",
    "share_batch": "ranks:share",
    "share_of_patients": "cohort.selection",
    "trained": "job.weights",
    "with_pseudo_labels": "cohort.selection",
    "write_maps": "coarse.maps",
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
